"""hf:// ids: read from a cache made by hand, offline, with huggingface_hub itself; nothing here asks the network."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import adapter_folders as folders
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from coremerge_ref.adapters import Adapter, extract_adapter, merge_folders
from coremerge_ref.adapters.hub import HubId, is_hub_id, located
from coremerge_ref.errors import AdapterError, ParameterError

hub = pytest.importorskip("huggingface_hub")
COMMIT, OLDER = "0123456789" * 4, "abcdef0123" * 4


def cached(cache: Path, repo: str, files: dict[str, Path], commit: str = COMMIT, ref: str = "main") -> None:
    """A repository in the cache, as huggingface_hub lays it out: blobs, links to them by commit, and a branch."""
    root = cache / f"models--{repo.replace('/', '--')}"
    (root / "blobs").mkdir(parents=True, exist_ok=True)
    for name, source in files.items():
        blob = root / "blobs" / f"{commit[:6]}-{name.replace('/', '-')}"
        shutil.copyfile(source, blob)
        link = root / "snapshots" / commit / name
        link.parent.mkdir(parents=True, exist_ok=True)
        os.symlink(os.path.relpath(blob, link.parent), link)
    (root / "refs").mkdir(exist_ok=True)
    (root / "refs" / ref).write_text(commit)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and no network."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "cache"


def parts(folder: Path, inside: str = "") -> dict[str, Path]:
    return {inside + path.name: path for path in folder.iterdir()}


def test_adapters_by_branch_tag_commit_folder_and_file(cache: Path, tmp_path: Path) -> None:
    one, two = (folders.write(tmp_path / str(t), folders.lora_tensors(t)) for t in range(2))
    cached(cache, "org/name", parts(one))
    cached(cache, "org/name", parts(two), OLDER, "v1")
    cached(cache, "org/several", parts(two, "math/"))
    single = tmp_path / "style.safetensors"
    save_file({"lora_unet_q.lora_down.weight": np.ones((1, 3)), "lora_unet_q.lora_up.weight": np.ones((2, 1))}, single)
    cached(cache, "org/styles", {"style.safetensors": single, "deep/down/style.safetensors": single})
    for text, given, commit in (
        ("hf://org/name", one, COMMIT),
        ("hf://org/name@main", one, COMMIT),
        ("hf://org/name@v1", two, OLDER),
        (f"hf://org/name@{OLDER}", two, OLDER),
        ("hf://org/several/math", two, COMMIT),
        ("hf://org/styles/style.safetensors", single, COMMIT),
        ("hf://org/styles/deep/down/style.safetensors@main", single, COMMIT),
    ):
        adapter, local = Adapter(text), Adapter(given)
        assert adapter.called == f"{text.partition('@')[0]}@{commit}"
        assert adapter.modules == local.modules
        mine, theirs = (each.load(each.modules) for each in (adapter, local))
        assert all(np.array_equal(mine[name].A, theirs[name].A) for name in theirs)


def test_a_merge_records_the_commits_and_verifies(cache: Path, tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from coremerge_ref.cli import build

    for t, name in enumerate(("org/a", "org/b")):
        cached(cache, name, parts(folders.write(tmp_path / str(t), folders.lora_tensors(t))))
    run = CliRunner().invoke
    out = str(tmp_path / "out")
    done = run(build(), ["merge", "hf://org/a", "hf://org/b@main", "-o", out])
    assert done.exit_code == 0, done.output
    record = json.loads((tmp_path / "out" / "coremerge.json").read_text())
    assert [each["path"] for each in record["inputs"]] == [f"hf://org/{x}@{COMMIT}" for x in "ab"]
    assert record["recipe"]["adapters"] == ["hf://org/a", "hf://org/b@main"]
    verified = run(build(), ["verify", out])
    assert verified.exit_code == 0, verified.output
    assert f"hf://org/a@{COMMIT}" in run(build(), ["inspect", "hf://org/a"]).output


def test_base_models(cache: Path, tmp_path: Path) -> None:
    shapes = {"layers.0.q.weight": (4, 5), "conv.weight": (4, 3, 3, 3), "emb.weight": (7, 3)}
    for name, size in (("base", 1.0), ("tuned", 2.0)):
        (tmp_path / name).mkdir()
        save_file({n: np.full(s, size, np.float32) for n, s in shapes.items()}, tmp_path / name / "model.safetensors")
        (tmp_path / name / "config.json").write_text(json.dumps({"model_type": "none"}))
        cached(cache, f"org/{name}", parts(tmp_path / name))
    adapter = folders.write(tmp_path / "a")
    merge_folders([adapter], tmp_path / "out", "ta", into="hf://org/base")
    merge_folders([adapter], tmp_path / "local", "ta", into=tmp_path / "base")
    one, two = (load_file(tmp_path / name / "model.safetensors") for name in ("out", "local"))
    assert all(np.array_equal(one[name], two[name]) for name in two)
    assert json.loads((tmp_path / "out" / "coremerge.json").read_text())["base"]["path"] == f"hf://org/base@{COMMIT}"
    extract_adapter("hf://org/base@main", "hf://org/tuned", tmp_path / "lora", rank=1)
    config = json.loads((tmp_path / "lora" / "adapter_config.json").read_text())
    assert (config["base_model_name_or_path"], config["revision"]) == ("org/base", COMMIT)


@pytest.mark.parametrize("text", ["hf://org/none", "hf://org/name@v9", "hf://org/name/none.safetensors"])
def test_what_the_cache_lacks_offline_is_one_line(text: str, cache: Path, tmp_path: Path) -> None:
    cached(cache, "org/name", parts(folders.write(tmp_path / "a")))
    with pytest.raises(AdapterError, match="cannot be had from the hub or its cache") as caught:
        Adapter(text)
    assert "\n" not in str(caught.value)


def test_a_repository_without_an_adapter_says_what_to_give(cache: Path, tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("x")
    cached(cache, "org/other", {"x.txt": tmp_path / "x.txt"})
    with pytest.raises(AdapterError, match=r"expected .*adapter_config\.json"):
        Adapter("hf://org/other")


@pytest.mark.parametrize("text", ["hf://", "hf://name", "hf://org/", "hf://org/name@", "hf://org/na me", "hf://o/n/../x",
                                  "hf://org/name@a@b", "hf:///x/y"])  # fmt: skip
def test_what_is_no_id(text: str) -> None:
    with pytest.raises(ParameterError, match="expected hf://org/name"):
        located(text, ())


def test_ids_are_written_as_they_are_read() -> None:
    for text in ("hf://a/b", "hf://a/b@v1.0", "hf://a/b/c/d", "hf://a/b/c.safetensors@refs/pr/1"):
        assert str(HubId.of(text)) == text
    assert not is_hub_id("org/name")
    assert not is_hub_id(Path("hf://a/b"))
    assert located("org/name", ()) == (Path("org/name"), "org/name")


def test_without_huggingface_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ParameterError, match="pip install huggingface_hub"):
        located("hf://a/b", ())


def test_only_what_an_adapter_is_made_of_is_asked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A repository may hold a whole model besides: its files are not fetched."""
    asked: list[dict[str, Any]] = []

    def snapshot_download(repo: str, **given: Any) -> str:
        asked.append(given)
        return str(folders.write(tmp_path / COMMIT))

    monkeypatch.setattr(hub, "snapshot_download", snapshot_download)
    Adapter("hf://org/name@v1")
    from huggingface_hub.utils import filter_repo_objects

    there = [
        "adapter_config.json",
        "adapter_model.safetensors",
        "model-00001-of-00002.safetensors",
        "checkpoint-5/adapter_model.safetensors",
        "checkpoint-5/coremerge.json",
    ]
    patterns = {key: asked[0][key] for key in ("allow_patterns", "ignore_patterns")}
    assert list(filter_repo_objects(there, **patterns)) == there[:2]
    assert asked[0]["revision"] == "v1"


@pytest.mark.parametrize("off", [True, False])
@pytest.mark.parametrize("there", [True, False])
def test_progress_bars_are_as_they_were_afterwards(off: bool, there: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import utils

    during: list[bool] = []

    def snapshot_download(repo: str, **given: Any) -> str:
        during.append(utils.are_progress_bars_disabled())
        if not there:
            raise OSError("no network\nat all")
        return f"/cache/{COMMIT}"

    monkeypatch.setattr(hub, "snapshot_download", snapshot_download)
    before = utils.are_progress_bars_disabled()
    (utils.disable_progress_bars if off else utils.enable_progress_bars)()
    try:
        if there:
            assert located("hf://org/name/a/b@v1", ()) == (Path(f"/cache/{COMMIT}/a/b"), f"hf://org/name/a/b@{COMMIT}")
        else:
            with pytest.raises(AdapterError, match=r"^'hf://org/name': .*no network; .*HF_HUB_OFFLINE"):
                located("hf://org/name", ())
        assert (during, utils.are_progress_bars_disabled()) == ([True], off)
    finally:
        (utils.disable_progress_bars if before else utils.enable_progress_bars)()


def test_of_a_folder_in_a_repository_its_own_files_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(hub, "snapshot_download", lambda repo, **given: asked.append((repo, given)) or f"/c/{COMMIT}")
    located("hf://org/name/deep/er", ("x.json", "*.txt"))
    [(repo, given)] = asked
    assert (repo, given["revision"]) == ("org/name", None)
    assert (given["allow_patterns"], given["ignore_patterns"]) == (["deep/er/x.json", "deep/er/*.txt"], ["deep/er/*/*"])


def test_of_a_file_in_a_folder_the_commit_is_found_in_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def download(repo: str, inside: str, **given: Any) -> str:
        asked.append((repo, inside, given))
        return f"/cache/snapshots/{COMMIT}/{inside}"

    monkeypatch.setattr(hub, "hf_hub_download", download)
    for name in ("x.safetensors", "deep/er/x.gguf"):
        place, called = located(f"hf://org/name/{name}@dev", ())
        assert (place, called) == (Path(f"/cache/snapshots/{COMMIT}/{name}"), f"hf://org/name/{name}@{COMMIT}")
        assert asked.pop() == ("org/name", name, {"revision": "dev"})
