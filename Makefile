# Everything runs in a virtual environment of its own; each target makes what it needs from a fresh clone.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export OPENBLAS_NUM_THREADS ?= 1
export OMP_NUM_THREADS ?= 1
# every command that the tests start compiles the package anew where Python may not write what it compiled
unexport PYTHONDONTWRITEBYTECODE
PIP := $(BIN)/python -m pip install --quiet --constraint .ci/constraints.txt

.PHONY: demo test weekly quick lowest extras pythons dist hostile peers lint proofs docs bench gpu fuzz mutants clean

demo: $(VENV)/.package
	$(BIN)/coremerge demo

# a file's tests go to one process, so that what they share (fixtures, compilations of JAX) is made once
test: $(VENV)/.test
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not weekly" $(ARGS)

# what takes long and would see no fault that `make test` does not
weekly: $(VENV)/.test
	$(BIN)/python -m pytest -m weekly $(ARGS)

# NumPy as the only array library, without what is slow: the core, the methods, the properties that see every planted fault
# (tests/properties/test_planted_faults.py), and what every change can break
NOW := not slow and not weekly
QUICK := tests/core tests/methods tests/properties/test_every_space_and_kind.py $(wildcard tests/test_*.py)
quick: $(VENV)/.quick
	$(VENV)/quick/bin/python -m pytest -n 2 --dist loadfile -m "$(NOW)" $(QUICK) $(ARGS)

# the same with the lowest versions that pyproject.toml allows
lowest: $(VENV)/.lowest
	$(VENV)/lowest/bin/python -m pytest -m "$(NOW)" $(QUICK) $(ARGS)

# the same with other versions of Python: make pythons PYTHONS="/somewhere/python3.12 python3.13"
PYTHONS ?= python3.12 python3.13
pythons:
	set -e; for python in $(PYTHONS); do \
	  place=build/pythons/$$(basename $$python); \
	  $$python -m venv --clear $$place; \
	  $$place/bin/python -m pip install --quiet --constraint .ci/constraints.txt --editable '.[conformance]' gmpy2 pytest-xdist; \
	  $$place/bin/python -m pytest -n 2 --dist loadfile -m "$(NOW)" $(QUICK) $(ARGS); \
	done

# each extra by itself in an empty environment: it installs, the package imports and says what it finds, and its tests pass
extras:
	$(PYTHON) .ci/extras.py $(ARGS)

# a wheel and a source archive, checked, and run in an empty environment with NumPy alone
dist: $(VENV)/.dist
	rm -rf dist build/lib build/installed
	$(VENV)/dist/bin/python -m build --outdir dist .
	$(VENV)/dist/bin/twine check --strict dist/*
	$(VENV)/dist/bin/check-wheel-contents dist/*.whl
	$(PYTHON) -m venv build/installed
	build/installed/bin/python -m pip install --quiet --constraint .ci/constraints.txt dist/*.whl
	cd build/installed && env -u PYTHONPATH bin/python -P $(CURDIR)/.ci/installed.py

# thousands of damaged files, a kill before every call to the file system, long races; `make test` has a few hundred
hostile: $(VENV)/.test
	COREMERGE_SECONDS=1 COREMERGE_HOSTILE=20 COREMERGE_EXAMPLES=10000 $(BIN)/python -m pytest tests/hostile tests/adapters/test_adapter_damage.py $(ARGS)

peers: $(VENV)/.peers
	$(BIN)/python -m pytest tests/peers $(ARGS)

lint: $(VENV)/.test $(VENV)/.lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.test
	$(BIN)/python -m benchmarks $(ARGS)

# twenty thousand random merges against 60 digits; CI runs 300 (tests/benchmarks/test_fuzz.py)
fuzz: $(VENV)/.test
	$(BIN)/python -m benchmarks.fuzz $(ARGS)

# on a machine with an NVIDIA card, with the CuPy and torch that PYTHON has: tests and benchmark, under ten minutes together
gpu:
	$(PYTHON) -m benchmarks.gpu_check $(ARGS)

docs: $(VENV)/.docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --config-file docs/mkdocs/mkdocs.yml

# hours; a random sample in minutes: make mutants ARGS="--sample 150 --seed 1 core methods"; not part of CI
mutants: $(VENV)/.mutants
	$(BIN)/python -m benchmarks.mutation $(ARGS)

proofs:
	$(MAKE) -C proofs

clean:
	rm -rf $(VENV) build dist .pytest_cache .hypothesis .mypy_cache .ruff_cache

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.package: pyproject.toml | $(VENV)/bin/python
	$(PIP) --editable .
	touch $@

$(VENV)/.quick: pyproject.toml .ci/constraints.txt | $(VENV)/bin/python
	$(PYTHON) -m venv $(VENV)/quick
	$(VENV)/quick/bin/python -m pip install --quiet --constraint .ci/constraints.txt --editable '.[conformance]' gmpy2 pytest-xdist
	touch $@

$(VENV)/.lowest: pyproject.toml .ci/lowest.txt | $(VENV)/bin/python
	$(PYTHON) -m venv $(VENV)/lowest
	$(VENV)/lowest/bin/python -m pip install --quiet --constraint .ci/lowest.txt --editable '.[conformance]'
	touch $@

# apart from the rest, whose versions these do not go with
$(VENV)/.dist: .ci/dist.txt | $(VENV)/bin/python
	$(PYTHON) -m venv $(VENV)/dist
	$(VENV)/dist/bin/python -m pip install --quiet --requirement .ci/dist.txt
	touch $@

# torch by itself and first, so that nothing else chooses its build
$(VENV)/.test: pyproject.toml .ci/constraints.txt benchmarks/accuracy/requirements.txt | $(VENV)/bin/python
	$(PIP) torch
	$(PIP) --editable '.[test,formats]' --requirement benchmarks/accuracy/requirements.txt
	touch $@ $(VENV)/.package

$(VENV)/.peers: $(VENV)/.test
	$(PIP) --editable '.[test,formats,peers]'
	touch $@

$(VENV)/.docs: pyproject.toml .ci/constraints.txt | $(VENV)/bin/python
	$(PIP) --editable '.[docs]'
	touch $@

$(VENV)/.lint: pyproject.toml .ci/constraints.txt | $(VENV)/bin/python
	$(PIP) --editable '.[lint]'
	touch $@

$(VENV)/.mutants: $(VENV)/.test
	$(PIP) --editable '.[test,mutants]'
	touch $@
