"""Generated tables in Markdown pages, between markers."""

import re
from pathlib import Path


def put(path: Path, name: str, text: str) -> None:
    """Replaces what stands between the markers <!-- name --> and <!-- /name --> of a Markdown file."""
    page = path.read_text(encoding="utf-8")
    made, times = re.subn(
        rf"(<!-- {name} -->\n).*?(\n?<!-- /{name} -->)", lambda m: m[1] + text + "\n" + m[2].lstrip("\n"), page,
        flags=re.DOTALL,
    )  # fmt: skip
    if times != 1:
        raise SystemExit(
            f"{path}: expected markers <!-- {name} --> and <!-- /{name} --> once, found them {times} times"
        )
    path.write_text(made, encoding="utf-8")
