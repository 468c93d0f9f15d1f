"""Merges that replace one output again and again, and readers of it, in processes of their own.

python racing.py FOLDER ROUNDS: exits with 1 if a reader saw the config of one merge and the weights of another, and
prints how often each side did its work.
"""

import os
import sys
import traceback
from pathlib import Path

from coremerge_ref.adapters import Adapter, merge_folders
from coremerge_ref.errors import AdapterError

REFUSED = ("changed while", "was replaced while", "again and again", "already exists")


def write(folder: Path, name: str, rounds: int) -> int:
    """How many of so many merges of `name` took the output's place."""
    done = 0
    for _ in range(rounds):
        try:
            merge_folders([folder / name], folder / "out", "ta", force=True)
            done += 1
        except AdapterError as error:
            expect_refusal(error)
    return done


def read(folder: Path, known: dict[str, bytes], rounds: int) -> int:
    """How many of so many openings gave the weights that belong to the config."""
    done = 0
    for _ in range(rounds):
        try:
            adapter = Adapter(folder / "out")
            loaded = adapter.load(adapter.modules)
        except AdapterError as error:
            expect_refusal(error)
            continue
        base = adapter.config.base_model_name_or_path
        assert base is not None
        assert digest(loaded) == known[base], f"the config of {base} with weights of the other"
        done += 1
    return done


def expect_refusal(error: AdapterError) -> None:
    """Raises it again if it is not what the others explain."""
    if not any(words in str(error) for words in REFUSED):
        raise error


def digest(loaded: dict) -> bytes:
    """The bytes of all factors."""
    return b"".join(x.tobytes() for name in sorted(loaded) for x in (loaded[name].B, loaded[name].A))


def main() -> None:
    """Two writers, three readers."""
    folder, rounds = Path(sys.argv[1]), int(sys.argv[2])
    known = {}
    for name in ("one", "two"):
        merge_folders([folder / name], folder / "out", "ta", force=True)
        adapter = Adapter(folder / "out")
        known[name] = digest(adapter.load(adapter.modules))
    assert len(set(known.values())) == 2
    children = {}
    for name in ("one", "two"):
        children[spawn(lambda name=name: write(folder, name, rounds))] = f"merges of {name}"
    for number in range(3):
        children[spawn(lambda: read(folder, known, 10 * rounds))] = f"readings {number}"
    failed = False
    for child, what in children.items():
        _, status = os.waitpid(child, 0)
        code = os.waitstatus_to_exitcode(status)
        print(what, "did some of its work" if code == 0 else f"ended with {code}")
        failed |= code != 0
    sys.exit(failed)


def spawn(work) -> int:
    """The id of a child that does it; its exit code is 0 if some of the work was done and nothing was wrong."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = 0 if work() else 2
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    return child


if __name__ == "__main__":
    main()
