"""The cases as files: there and back, what they hold, and what no file may make the check do or believe."""

import hashlib
import json
import os
import shutil
import subprocess
from dataclasses import replace

import jsonschema
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from said import parts

from coremerge_ref import conformance
from coremerge_ref.conformance.configs import EVERY_SPACE
from coremerge_ref.conformance.provenance import case_set_hash, version
from coremerge_ref.conformance.vectors import FORMAT, NOTES, flags, manifest, record, tensors

ONLY = ["/generic", "bfloat16"]


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    return conformance.export(tmp_path_factory.mktemp("vectors") / "v", only=ONLY)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return conformance.export(tmp_path_factory.mktemp("whole") / "v")


def right(folder):
    manifest = json.loads((folder / "manifest.json").read_text())
    tensors = load_file(folder / "vectors.safetensors")
    return {r["output"]: tensors[r["expected"]] for r in manifest["cases"]}


def saved(outputs, folder):
    save_file({k: np.ascontiguousarray(x) for k, x in outputs.items()}, folder / "outputs.safetensors")
    return folder / "outputs.safetensors"


def test_right_and_wrong_outputs(exported, tmp_path):
    outputs = right(exported)
    report = conformance.check(exported, saved(outputs, tmp_path), only=ONLY)
    assert report.ok
    assert report.counts["pass"] + report.counts["ambiguous"] == len(outputs)
    assert not conformance.check(exported, saved({k: 2 * x for k, x in outputs.items()}, tmp_path), only=ONLY).ok


def test_the_kit_says_which_cases_there_are(exported, whole, tmp_path):
    """One right output of all is no success, and neither is a manifest cut to what was answered."""
    one = dict(list(right(exported).items())[:1])
    (name,) = (key.removeprefix("output/") for key in one)
    cut = conformance.export(tmp_path / "cut", only=name)
    for folder in (exported, whole, cut):
        report = conformance.check(folder, saved(one, tmp_path))
        assert not report.ok
        assert len(report.missing) == len(conformance.cases()) - 1
        assert f"{len(report.missing)} of the kit's cases have no output" in report.summary()
        assert conformance.check(folder, saved(one, tmp_path), allow_partial=True).ok
        assert conformance.check(folder, saved(one, tmp_path), only=name).ok
    assert not conformance.check(cut, saved({}, tmp_path), allow_partial=True).ok


def test_the_manifest_is_of_its_schema(whole):
    manifest = json.loads((whole / "manifest.json").read_text())
    schema = json.loads((whole / "manifest.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(manifest, schema)
    assert set(schema["$defs"]["case"]["required"]) == set(manifest["cases"][0])
    assert [r["name"] for r in manifest["cases"]] == [c.name for c in conformance.cases()]
    for damage in ({"format": 3}, {"cases": [{"name": "x"}]}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({**manifest, **damage}, schema)


def test_all_files_are_hashed(exported):
    sums = dict(reversed(line.split("  ")) for line in (exported / "SHA256SUMS").read_text().splitlines())
    assert set(sums) == {"vectors.safetensors", "manifest.json", "manifest.schema.json"}
    for name, digest in sums.items():
        assert hashlib.sha256((exported / name).read_bytes()).hexdigest() == digest
    if shutil.which("sha256sum"):
        subprocess.run(
            ["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=exported, check=True, capture_output=True
        )


def test_others_can_judge_by_what_is_in_the_files(whole):
    manifest, tensors = json.loads((whole / "manifest.json").read_text()), load_file(whole / "vectors.safetensors")
    known = {c.name: c for c in conformance.cases()}
    undecided = 0
    for entry in manifest["cases"]:
        case = known[entry["name"]]
        assert entry["bound"] == case.bound
        assert entry["tolerance"] == case.tolerance
        assert entry["kappa"] * entry["scale"] == pytest.approx(entry["bound"], rel=1e-12, abs=1e-300)
        if entry["undecided"] is not None:
            undecided += 1
            assert np.array_equal(tensors[entry["undecided"]], case.undecided)
            assert list(tensors[entry["undecided"]].shape) == entry["live"] or case.method == "drm"
            assert len(entry["possible"]) == tensors[entry["undecided"]].sum()
            assert all(len(values) > 1 for values in entry["possible"])
    assert undecided == sum(c.undecided is not None for c in known.values()) > 0


def test_narrow_inputs_come_in_float32_too(exported):
    manifest, tensors = (
        json.loads((exported / "manifest.json").read_text()),
        load_file(exported / "vectors.safetensors"),
    )
    narrow = 0
    for entry in manifest["cases"]:
        for update in entry["updates"]:
            narrow += tensors[update["B"]].dtype.name == "bfloat16"
            assert ("B_float32" in update) is (tensors[update["B"]].dtype.name in ("bfloat16", "float16"))
            for letter in "BA" if "B_float32" in update else "":
                wide = tensors[update[f"{letter}_float32"]]
                assert wide.dtype == np.float32
                assert np.array_equal(wide, tensors[update[letter]].astype(np.float32))
    assert narrow


def test_column_major_outputs_are_named(exported, tmp_path):
    turned = {k: np.ravel(x, order="F").reshape(x.shape) for k, x in right(exported).items() if x.ndim == 2}
    report = conformance.check(exported, saved(turned, tmp_path), only=ONLY)
    assert next(iter(report.diagnoses())).startswith("column-major")


def test_dtypes_and_shapes_of_outputs(exported, tmp_path):
    import ml_dtypes

    name = "output/ta/core/bfloat16"
    x = right(exported)[name]
    for given, verdict in (
        (x.astype(ml_dtypes.bfloat16), "pass"),
        (x.astype(np.float32), "fail"),
        (x[None], "fail"),
        (np.zeros((2, 3)), "fail"),
        (np.zeros((0, 3)), "fail"),
    ):
        report = conformance.check(exported, saved({name: given}, tmp_path), only="ta/core/bfloat16")
        assert [r.verdict for r in report.results] == [verdict]


def test_float32_has_its_own_tolerances(tmp_path):
    folder = conformance.export(tmp_path / "v", only="tsv/", precision="float32")
    manifest = json.loads((folder / "manifest.json").read_text())
    names = [c.name for c in conformance.cases("tsv/", precision="float32")]
    assert [r["name"] for r in manifest["cases"]] == names
    assert manifest["precision"] == "float32"
    outputs = {k: x * (1 + 2.0**-24) for k, x in right(folder).items()}
    report = conformance.check(folder, saved(outputs, tmp_path), only="tsv/")
    assert report.ok, report.summary()
    assert report.provenance.precision == "float32"


# ---- hostile files -----------------------------------------------------------------------------------------------


def rewritten(change):
    def damage(folder):
        manifest = json.loads((folder / "manifest.json").read_text())
        manifest = change(manifest) or manifest
        (folder / "manifest.json").write_text(json.dumps(manifest))

    return damage


def replaced(name, make):
    def damage(folder):
        (folder / name).unlink()
        make(folder / name)

    return damage


def text(content):
    return replaced("manifest.json", lambda path: path.write_bytes(content))


def entry(**fields):
    return rewritten(lambda m: m["cases"][0].update(fields))


HOSTILE = {
    "files: a device": rewritten(lambda m: m.update(files={"/dev/zero": "0" * 64})),
    "files: a parent's": rewritten(lambda m: m.update(files={"../secret": "0" * 64})),
    "files: absolute": rewritten(lambda m: m.update(files={"/etc/passwd": "0" * 64})),
    "files: none": rewritten(lambda m: m.update(files={})),
    "files: a list": rewritten(lambda m: m.update(files=["vectors.safetensors"])),
    "files: more": rewritten(lambda m: m["files"].update(other="0" * 64)),
    "files: a number for a hash": rewritten(lambda m: m.update(files={"vectors.safetensors": 3})),
    "files: another hash": rewritten(lambda m: m.update(files={"vectors.safetensors": "0" * 64})),
    "no files": rewritten(lambda m: m.pop("files") and None),
    "cases: none": rewritten(lambda m: m.pop("cases") and None),
    "cases: a number": rewritten(lambda m: m.update(cases=3)),
    "cases: numbers": rewritten(lambda m: m.update(cases=[3])),
    "cases: no name": rewritten(lambda m: m["cases"][0].pop("name") and None),
    "cases: a list for a name": entry(name=["x"]),
    "cases: another name": entry(name="ta/core/no_such\x1b[31m"),
    "cases: a long name": entry(name="x" * 10**5),
    "cases: twice": rewritten(lambda m: m["cases"].append(m["cases"][0])),
    "cases: a wider tolerance": entry(tolerance=1e9),
    "cases: another expected": entry(expected="input/generic/0/B"),
    "cases: another space": entry(space="full" * 10**5),
    "another format": rewritten(lambda m: m.update(format="coremerge-conformance-1")),
    "a long format": rewritten(lambda m: m.update(format="x" * 10**5)),
    "a number for a format": rewritten(lambda m: m.update(format=3)),
    "another precision": rewritten(lambda m: m.update(precision="float8")),
    "a long precision": rewritten(lambda m: m.update(precision="x" * 10**5)),
    "a list for a precision": rewritten(lambda m: m.update(precision=["float64"])),
    "another case set": rewritten(lambda m: m.update(case_set="0" * 64)),
    "something more": rewritten(lambda m: m.update(more=1)),
    "something of a long name": rewritten(lambda m: m.update({"x" * 10**5: 1})),
    "a list": rewritten(lambda m: [m]),
    "no JSON": text(b"{"),
    "no UTF-8": text(b'{"format": "\xff\xfe"}'),
    "NaN": text(b'{"format": NaN}'),
    "nested": text(b"[" * 10**6),
    "a long number": text(b"1" * 10**6),
    "empty": text(b""),
    "a FIFO": replaced("manifest.json", os.mkfifo),
    "a folder": replaced("manifest.json", os.mkdir),
    "a link": replaced("manifest.json", lambda path: path.symlink_to("/dev/zero")),
    "a sparse file": replaced("manifest.json", lambda path: os.truncate(path, 1 << 40) if path.touch() is None else 0),
    "tensors: a FIFO": replaced("vectors.safetensors", os.mkfifo),
    "tensors: a link": replaced("vectors.safetensors", lambda path: path.symlink_to("/dev/zero")),
    "tensors: other bytes": lambda folder: (folder / "vectors.safetensors").write_bytes(b"x"),
    "tensors: gone": lambda folder: (folder / "vectors.safetensors").unlink(),
}


@pytest.mark.parametrize("damage", HOSTILE.values(), ids=HOSTILE)
def test_hostile_folders_are_refused_in_one_line(damage, exported, tmp_path):
    folder = tmp_path / "v"
    shutil.copytree(exported, folder)
    outputs = saved(right(exported), tmp_path)
    damage(folder)
    with pytest.raises((ValueError, OSError)) as caught:
        conformance.check(folder, outputs, only=ONLY)
    message = str(caught.value)
    assert str(folder) in message
    assert len(message) < len(str(folder)) + 400
    assert message.isprintable()


SAID = {
    "files: none": "manifest.json: … vectors.safetensors under files … export again",
    "files: more": "manifest.json: … vectors.safetensors under files … export again",
    "files: another hash": "vectors.safetensors … sha256 … export again",
    "cases: none": "manifest.json: None … each once; export again",
    "cases: no name": "manifest.json: None … each once; export again",
    "cases: a list for a name": "manifest.json: ['x'] … each once; export again",
    "cases: another name": r"manifest.json: 'ta/core/no_such\x1b[31m' … each once; export again",
    "cases: a long name": "manifest.json: 'xxxx … (100002 characters) … each once; export again",
    "cases: twice": "manifest.json: … twice … each once; export again",
    "cases: a wider tolerance": "manifest.json: cases differs … export again",
    "another format": f"manifest.json: format 'coremerge-conformance-1' … {FORMAT!r} … export again",
    "a number for a format": f"manifest.json: format 3 … {FORMAT!r} … export again",
    "another precision": "manifest.json: precision 'float8' … float64, float32 … export again",
    "a list for a precision": "manifest.json: precision ['float64'] … float64, float32 … export again",
    "another case set": "manifest.json: case_set differs … export again",
    "something more": "manifest.json: more differs … export again",
    "a list": f"manifest.json: format 'list' … {FORMAT!r} … export again",
    "no JSON": "manifest.json: no JSON … export again",
    "NaN": "manifest.json: no JSON … NaN … export again",
    "a FIFO": "manifest.json: … regular file",
    "a link": "manifest.json: … regular file",
    "a sparse file": "manifest.json: larger … 32 MB",
    "tensors: a FIFO": "vectors.safetensors: … regular file",
    "tensors: other bytes": "vectors.safetensors … sha256 … export again",
}


@pytest.mark.parametrize("name", SAID)
def test_what_is_wrong_with_a_folder_is_named(name, exported, tmp_path):
    folder = tmp_path / "v"
    shutil.copytree(exported, folder)
    outputs = saved(right(exported), tmp_path)
    HOSTILE[name](folder)
    with pytest.raises(ValueError, match=parts(SAID[name])):
        conformance.check(folder, outputs, only=ONLY)


def raw(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def float64(first, last, shape=(1,)):
    return {"dtype": "F64", "shape": list(shape), "data_offsets": [first, last]}


OUTPUTS = {
    "nothing": b"",
    "junk": b"junk" * 10,
    "a header of 1 GiB": (1 << 30).to_bytes(8, "little") + b"{}",
    "no JSON": raw(b"{"),
    "negative offsets": raw({"output/ta/core/generic": float64(-8, 0)}, b"\0" * 8),
    "overlapping offsets": raw({"a": float64(0, 8), "b": float64(4, 12)}, b"\0" * 12),
    "offsets behind the end": raw({"output/ta/core/generic": float64(0, 8 << 30, (1 << 30,))}),
    "a shape that overflows": raw({"a": float64(0, 8, (1 << 62, 1 << 62))}, b"\0" * 8),
    "another dtype": raw({"a": {"dtype": "F65", "shape": [1], "data_offsets": [0, 8]}}, b"\0" * 8),
    "a name that draws": raw({"output/\x1b[31m" + "x" * 10**5: float64(0, 8)}, b"\0" * 8),
}


@pytest.mark.parametrize("content", OUTPUTS.values(), ids=OUTPUTS)
def test_hostile_outputs_are_refused_in_one_line(content, exported, tmp_path):
    (tmp_path / "outputs.safetensors").write_bytes(content)
    with pytest.raises(ValueError, match="outputs") as caught:
        conformance.check(exported, tmp_path / "outputs.safetensors", only=ONLY)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 1000


def test_outputs_that_are_no_file(exported, tmp_path):
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path, tmp_path / "fifo", "/dev/zero"):
        with pytest.raises(ValueError, match="regular file"):
            conformance.check(exported, path)


def test_nothing_is_overwritten(exported):
    before = (exported / "manifest.json").read_bytes()
    with pytest.raises(FileExistsError):
        conformance.export(exported)
    assert (exported / "manifest.json").read_bytes() == before
    assert json.loads(before)["format"] == FORMAT


# ---- what an entry says ------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ta/core/generic", ["exact"]),
        ("iso-size/full/generic", ["ill-posed", "exact"]),
        ("ta/core/denormal", ["subnormal", "exact"]),
        ("ta/core/float32", ["low-precision", "exact"]),
        ("ta/core/float16", ["low-precision", "exact"]),
        ("ta/core/bfloat16", ["low-precision"]),
        ("ta/core/batch", ["batch", "exact"]),
        ("ta/core/rank0", ["rank-0", "exact"]),
        ("ta/core/nothing", ["rank-0", "exact"]),
        ("dare/core/generic", ["masks"]),
        ("dare/core/tie_stack", ["ill-posed", "masks"]),
    ],
)
def test_the_notes_that_apply_to_a_case_are_flags(name, expected):
    (case,) = (c for c in conformance.cases(name) if c.name == name)
    assert flags(case) == expected
    assert set(flags(case)) <= set(NOTES)


def test_a_float64_factor_beside_narrow_ones_is_no_low_precision():
    case = conformance.cases("ta/core/float32")[0]
    (B, A, s), *rest = case.updates
    mixed = replace(case, updates=[(B.astype(np.float64), A, s), *rest])
    assert "low-precision" not in flags(mixed)


def test_an_entry_names_its_tensors_and_says_all_that_judging_needs():
    for name in ("dare/full/generic", "ties-count/core/generic", "ta/core/bfloat16"):
        (case,) = (c for c in conformance.cases(name) if c.name == name)
        entry, arrays = record(case), tensors(case)
        named = {
            "expected": case.expected,
            "masks": case.masks,
            "undecided": case.undecided,
        }
        for key, array in named.items():
            assert entry[key] == (None if array is None else f"{key}/{name}")
            assert array is None or arrays[entry[key]] is array
        assert entry["output"] == f"output/{name}"
        for t, ((B, A, s), update) in enumerate(zip(case.updates, entry["updates"], strict=True)):
            assert (update["B"], update["A"]) == (f"input/{case.family}/{t}/B", f"input/{case.family}/{t}/A")
            assert update["scale"] == s
            assert arrays[update["B"]] is B
            assert arrays[update["A"]] is A
            if case.family == "bfloat16":
                assert update["B_float32"] == f"input/bfloat16/{t}/B.float32"
                assert update["A_float32"] == f"input/bfloat16/{t}/A.float32"
            assert ("A_float32" in update) is (case.family == "bfloat16")
        facts = {key: getattr(case, key) for key in ("name", "method", "space", "params", "family", "note", "freedom")}
        facts |= {key: getattr(case, key) for key in ("tolerance", "expected_error", "kappa", "bound", "scale")}
        assert {key: entry[key] for key in facts} == facts
        assert entry["shape"] == [10, 8]
        assert entry["live"] == list(case.live)
        assert entry["reasons"] == list(case.reasons)
        assert entry["possible"] == [list(values) for values in case.possible]
        assert entry["flags"] == flags(case)


@pytest.mark.parametrize(("precision", "eps"), [("float64", "2.22045e-16"), ("float32", "1.19209e-07")])
def test_the_manifest_says_what_it_is_of(precision, eps):
    chosen = conformance.cases("ta/core/ge", precision=precision)
    whole = manifest(chosen, precision)
    assert (whole["format"], whole["precision"], whole["kit"]) == (FORMAT, precision, version())
    assert whole["case_set"] == case_set_hash(chosen)
    assert whole["tolerance"] == f"Frobenius norm of the error <= 50 * kappa * {eps} * scale + rounding"
    assert "60 digits" in whole["provenance"]
    assert "2509.17786" in whole["provenance"]
    assert (whole["notes"], set(whole["spaces"])) == (NOTES, set(EVERY_SPACE))
    assert [entry["name"] for entry in whole["cases"]] == [case.name for case in chosen]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nothing", "outputs.safetensors: no safetensors file: … header"),
        ("a header of 1 GiB", "outputs.safetensors: no safetensors file: … header"),
        ("no JSON", "outputs.safetensors: no safetensors file: … header"),
        ("overlapping offsets", "outputs.safetensors: no safetensors file: … offset"),
        ("offsets behind the end", "outputs.safetensors: no safetensors file: "),
        ("a name that draws", r"outputs.safetensors: no such cases: \x1b[31m"),
    ],
)
def test_what_is_wrong_with_outputs_is_named(name, said, exported, tmp_path):
    (tmp_path / "outputs.safetensors").write_bytes(OUTPUTS[name])
    with pytest.raises(ValueError, match="(?i)" + parts(said)) as caught:
        conformance.check(exported, tmp_path / "outputs.safetensors", only=ONLY)
    assert "None" not in str(caught.value)


def test_outputs_of_no_case_are_named_three_at_most_in_their_order(exported, tmp_path):
    given = {f"output/x{i}": np.zeros((1, 1)) for i in (5, 3, 4, 1)} | {"x1": np.zeros((1, 1))}
    with pytest.raises(ValueError, match=r"no such cases: x1, x3, x4$"):
        conformance.check(exported, saved(given, tmp_path), only=ONLY)


def test_outputs_may_be_named_as_their_case_is(exported, tmp_path):
    right_ones = right(exported)
    short = {name.removeprefix("output/"): x for name, x in right_ones.items()}
    assert conformance.check(exported, saved(short, tmp_path), only=ONLY).ok
    name = "ta/core/generic"
    both = {f"output/{name}": right_ones[f"output/{name}"], name: 2 * right_ones[f"output/{name}"]}
    report = conformance.check(exported, saved(both, tmp_path), only=name)
    assert report.counts == {"pass": 1}  # the longer name counts
    report = conformance.check(exported, saved({name: short[name]}, tmp_path), only="ta/core/gen")
    assert (report.ok, report.missing) == (True, [])
    report = conformance.check(exported, saved({name: short[name]}, tmp_path), only="ta/full/generic")
    assert report.missing == ["ta/full/generic"]
    assert [r.diagnosis for r in report.results] == ["no output for this case"]
    assert (report.ok, report.allow_partial) == (False, False)
