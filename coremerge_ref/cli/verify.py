"""coremerge verify: is a merged folder what its record says."""

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from coremerge_ref.cli.reporting import counted, emit, note, progress, say_lines

_NOT_AS_RECORDED = 1
_AGAIN = {
    "identical": "gives the recorded result, bit for bit",
    "equal to rounding": "gives the same to rounding ({:.2g} eps)",
    "different": "gives another result ({:.2g} eps from this one)",
    None: "was not done, since inputs are not as recorded",
}


def verify(
    merged: Annotated[str, typer.Argument(metavar="MERGED", help="A folder or file that coremerge merge wrote.")],
    root: Annotated[
        Path | None, typer.Option(help="Where the paths of the inputs begin. [here, or the folder beside MERGED]")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """Check that a merged folder is what its coremerge.json says: hash inputs and outputs, and merge again.

    Another machine or version may round differently: "equal to rounding" is right too. Exit code 1 where anything is
    not as recorded.

    \b
    coremerge verify merged
    coremerge verify downloads/merged --root downloads/adapters
    """
    from coremerge_ref.adapters import merge_folders
    from coremerge_ref.adapters.files import folder_at
    from coremerge_ref.adapters.record import NAME as RECORD
    from coremerge_ref.adapters.replace_file import record_beside
    from coremerge_ref.adapters.verify import (
        SAME,
        Verification,
        checked_files,
        checked_input,
        compared,
        found_at,
        read_record,
    )
    from coremerge_ref.cli.merge import arguments
    from coremerge_ref.cli.settings import merged_settings

    result = Path(merged)
    one_file = result.is_file()
    folder = result.parent if one_file else folder_at(result)
    record_path = record_beside(result, RECORD) if one_file else folder / RECORD
    record = read_record(record_path)
    settings = merged_settings(record_path, {})
    outputs = checked_files(folder, record["outputs"])
    places = [found_at(each["path"], root, folder) for each in record["inputs"]]
    inputs: dict[str, str] = {}
    for place, each in zip(places, record["inputs"], strict=True):
        inputs |= checked_input(place, each["sha256"])
    again, ratio = None, None
    if set(inputs.values()) == {SAME}:
        pipeline, where, given = arguments(settings)
        with tempfile.TemporaryDirectory(prefix="coremerge-verify-") as temporary:
            with progress("merging again", shown=not json) as report:
                again_in = Path(temporary) if one_file else Path(temporary) / "merged"
                target = again_in / result.name if one_file else again_in
                merge_folders(places, target, pipeline, where, progress=report, **{**given, "dry_run": False})
            again, ratio = compared(folder, again_in, record["outputs"])
    found = Verification(outputs, inputs, again, ratio)
    if json:
        emit(found.as_json())
    else:
        for path, state in {**outputs, **inputs}.items():
            if state != SAME:
                note(f"{path}: {state}, not what was recorded")
        done = _AGAIN[again].format(ratio)
        verdict = "as recorded" if found.ok else "NOT as recorded"
        say_lines(f"{merged}: {verdict}; {counted(len(places), 'input')}; merging again {done}")
    if not found.ok:
        raise typer.Exit(_NOT_AS_RECORDED)
