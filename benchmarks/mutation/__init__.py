"""Do the tests notice when the code is wrong? `python -m benchmarks.mutation`, which is `make mutants`."""
