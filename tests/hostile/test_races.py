"""Several at once: no reader sees the config of one merge with the weights of another; one wins, others are told."""

import os
import subprocess
import sys
from pathlib import Path

import adapter_folders
import pytest
from bounded import MORE

from coremerge_ref.adapters.formats.place import Place


def test_readers_see_whole_outputs(tmp_path: Path) -> None:
    for seed, name in enumerate(("one", "two")):
        adapter_folders.write(tmp_path / name, adapter_folders.lora_tensors(seed), base_model_name_or_path=name)
    ran = subprocess.run(
        [sys.executable, str(Path(__file__).parent / "racing.py"), str(tmp_path), str(40 * MORE)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr[-3000:]
    assert sorted(os.listdir(tmp_path)) == ["one", "out", "two"]


def test_one_of_many_wins(tmp_path: Path) -> None:
    adapter_folders.write(tmp_path / "a")
    words = [sys.executable, "-m", "coremerge_ref", "merge", str(tmp_path / "a"), "-o", str(tmp_path / "out")]
    jobs = [subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(4 * MORE)]
    said = [job.communicate()[1] for job in jobs]
    assert sorted(job.returncode for job in jobs) == [0] + [2] * (len(jobs) - 1), said
    assert all("already exists" in text or "changed while" in text for text in said if text)
    assert sorted(os.listdir(tmp_path)) == ["a", "out"]


def test_a_folder_is_another_when_its_config_is(tmp_path: Path) -> None:
    """The number of a removed folder goes to the next: a reader that slept through two merges saw no difference."""
    adapter_folders.write(tmp_path / "a")
    place = Place(tmp_path / "a")
    config = place.path / "adapter_config.json"
    assert place.fields
    assert place.is_there
    (tmp_path / "new").write_text(config.read_text() + " ")
    os.replace(tmp_path / "new", config)
    assert not place.is_there
    place.look()
    assert place.is_there


def test_a_folder_that_was_away_and_is_back_is_another(tmp_path: Path) -> None:
    """A merge that finds another's output exchanges back: what a reader opened in between was the other's."""
    folder = adapter_folders.write(tmp_path / "a")
    place, before = Place(folder), os.stat(folder).st_ctime_ns
    for _ in range(100_000):  # the clock of some file systems ticks in milliseconds
        os.rename(folder, tmp_path / "away")
        os.rename(tmp_path / "away", folder)
        if os.stat(folder).st_ctime_ns != before:
            break
    else:
        pytest.skip("this file system does not say when a folder was renamed")
    assert not place.is_there
