"""The spectra with their cuts, drawn with matplotlib (the extra "plot")."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from coremerge_ref.errors import ParameterError

if TYPE_CHECKING:
    from coremerge_ref.analysis.explain.explanation import Explanation
    from coremerge_ref.perturbation.carried import Spectrum

MOST = 12  # layers in one picture
_PICTURES = (b"\x89PNG", b"%PDF", b"%!PS", b"\xff\xd8\xff", b"RIFF", b"II*\0", b"\x1f\x8b")  # what matplotlib writes
KEPT, DROPPED, CUT = "#1f5fa8", "#b9b9b9", "#c43c2c"


def drawn(explanations: Sequence["Explanation"], path: str | Path | None) -> Any:
    """One row a layer, one panel a kind of spectrum, tasks side by side; a figure, saved to `path` if given.

    Raises ParameterError where matplotlib is missing or cannot write such a file, and where there is nothing to draw.
    """
    figure = _figure()
    panels = [_panels(e.spectra) for e in explanations]
    width = max(map(len, panels), default=0)
    if width == 0:
        raise ParameterError(
            "plot: expected a merge that looks at singular values, got one that has no singular values to draw; use "
            "core or knots space, or leave out the plot"
        )
    figure.set_size_inches(3.4 * width, 2.9 * len(panels))
    axes = figure.subplots(len(panels), width, squeeze=False)
    for e, row, places in zip(explanations, panels, axes, strict=True):
        for place in places[len(row) :]:
            place.set_axis_off()
        for place, (title, spectra) in zip(places, row, strict=False):
            _panel(place, title, spectra)
        places[0].set_ylabel(f"{e.layer or e.method}\n{e.verdict}", fontsize=8)
    if path is not None:
        check_place(path)
        try:
            figure.savefig(path)
        except (ValueError, OSError) as error:
            raise ParameterError(f"plot: cannot write the picture {str(path)!r}: {error}; choose another") from error
    return figure


def check_place(path: str | Path) -> None:
    """ParameterError if no picture can be written to `path`: its ending, its folder, or what is there."""
    endings = _figure().canvas.get_supported_filetypes()
    if Path(path).suffix.removeprefix(".").lower() not in endings:
        raise ParameterError(
            f"plot: expected a name ending in .png or .svg (or .{', .'.join(sorted(endings))}), got {str(path)!r}"
        )
    head = b""
    try:
        if not os.path.lexists(path):
            if not Path(path).absolute().parent.is_dir():
                raise ParameterError(
                    f"plot: cannot write the picture {str(path)!r}: its folder is not there; create it"
                )
            return
        if os.path.isfile(path):
            with open(path, "rb") as file:
                head = file.read(1000)
    except OSError as error:
        raise ParameterError(f"plot: cannot write the picture {str(path)!r}: {error}; choose another name") from error
    if not head.startswith(_PICTURES) and b"<svg" not in head:
        raise ParameterError(
            f"plot: expected nothing or a picture at {str(path)!r}, got something else; choose another name"
        )


def _figure() -> Any:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ParameterError("plot: matplotlib is not installed; pip install matplotlib") from error
    return Figure(layout="constrained")


def _panels(spectra: Sequence["Spectrum"]) -> list[tuple[str, list["Spectrum"]]]:
    found: dict[str, list[Spectrum]] = {}
    for spectrum in spectra:
        found.setdefault(f"{spectrum.stage}: {spectrum.what}", []).append(spectrum)
    return list(found.items())


def _panel(place: Any, title: str, spectra: list["Spectrum"]) -> None:
    """Singular values relative to the largest, on a logarithmic axis: kept ones full, others hollow, cuts as lines."""
    largest = max([float(s.values.max(initial=0.0)) for s in spectra]) or 1.0
    floor, x = 1e-18, 1
    for s in spectra:
        at = np.arange(x, x + len(s.values))
        y = np.maximum(s.values / largest, floor)
        place.plot(at[: s.kept], y[: s.kept], "o", ms=3.5, color=KEPT)
        place.plot(at[s.kept :], y[s.kept :], "o", ms=3.5, mfc="none", color=DROPPED)
        if 0 < s.kept < len(s.values):
            place.axvline(x + s.kept - 0.5, color=CUT, lw=0.8, ls="--")
        if s.cut:
            place.hlines(max(s.cut / largest, floor), x - 0.5, x + len(s.values) - 0.5, color=CUT, lw=0.8)
        x += len(s.values) + 1
    place.set_yscale("log")
    place.set_title(title, fontsize=8)
    place.tick_params(labelsize=7)
    place.set_xticks([])
