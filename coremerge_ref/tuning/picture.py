"""What a search tried, drawn with matplotlib (the extra "plot")."""

from pathlib import Path
from typing import Any

import numpy as np

from coremerge_ref.errors import ParameterError
from coremerge_ref.tuning.found import COMPLETE, Found

_MOST = 10  # methods with a colour of their own: the best
_OTHERS = "#b9b9b9"


def drawn(found: Found, path: str | Path | None = None) -> Any:
    """Scores over the trials, with the best so far, and over α, coloured by method; a figure, saved to `path` if given.

    ParameterError where matplotlib is missing or cannot write such a file.
    """
    try:
        from matplotlib import colormaps
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ParameterError("plot: matplotlib is not installed; pip install matplotlib") from error
    figure = Figure(figsize=(9.6, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    ranked = list(dict.fromkeys(trial.method for trial in found.ranked))
    colours = dict(zip(ranked[:_MOST], colormaps["tab10"].colors, strict=False))  # type: ignore[attr-defined]
    scored = [trial for trial in found.trials if trial.state == COMPLETE and trial.score is not None]
    for method in [*ranked[_MOST:], *ranked[:_MOST]]:
        mine = [trial for trial in scored if trial.method == method]
        for axes, xs in ((left, [trial.number for trial in mine]), (right, [trial.alpha for trial in mine])):
            axes.scatter(xs, [trial.score for trial in mine], s=18, color=colours.get(method, _OTHERS), label=method)
    best = (np.minimum if found.minimize else np.maximum).accumulate([trial.score or 0.0 for trial in scored])
    left.step([trial.number for trial in scored], best, where="post", color="black", linewidth=1, label="best so far")
    best_trial = found.best
    right.scatter([best_trial.alpha], [best_trial.score], s=90, facecolors="none", edgecolors="black")
    left.set(xlabel="trial", ylabel="score")
    right.set(xlabel="α", xscale="log")
    handles, labels = left.get_legend_handles_labels()
    shown = [(h, name) for h, name in zip(handles, labels, strict=True) if name in colours or name == "best so far"]
    figure.legend(*zip(*shown, strict=True), loc="outside right center", fontsize=8, frameon=False)
    if path is not None:
        try:
            figure.savefig(path)
        except (ValueError, OSError) as error:
            raise ParameterError(
                f"plot: cannot write the picture {str(path)!r}: {error}; choose a name ending in .png or .svg"
            ) from error
    return figure
