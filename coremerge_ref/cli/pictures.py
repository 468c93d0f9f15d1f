"""Pictures that commands draw with matplotlib (the extra "plot")."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from coremerge_ref.analysis.explain.picture import check_place
from coremerge_ref.errors import ParameterError

if TYPE_CHECKING:
    from coremerge_ref.cli.measuring import Overlap

KEPT, LOST = "#1f5fa8", "#b9b9b9"  # read apart without colour, too: one is dark


def check_picture(path: str) -> None:
    """ParameterError, before any work, if a picture cannot be drawn to `path`."""
    check_place(path)
    with _figure(path):
        pass


@contextmanager
def _figure(path: str) -> Iterator[Any]:
    """A matplotlib figure to draw on. ParameterError where there is none, or no picture of that name."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ParameterError("plot: matplotlib is not installed; pip install matplotlib") from error
    figure = Figure(layout="constrained")
    ending = path.rpartition(".")[2].lower()
    if ending not in figure.canvas.get_supported_filetypes():
        raise ParameterError(f"plot: cannot write a picture called {path!r}; choose a name ending in .png or .svg")
    yield figure


def _save(figure: Any, path: str) -> None:
    try:
        figure.savefig(path)
    except (ValueError, OSError) as error:
        raise ParameterError(f"plot: cannot write the picture {path!r}: {error}; choose another place") from error


def draw_kept(layers: Mapping[str, Mapping[str, Any]], path: str) -> None:
    """For each layer, in the adapter's order, its rank before and after, and the share of ‖ΔW‖_F that was lost."""
    with _figure(path) as figure:
        figure.set_size_inches(max(6.0, min(24.0, 2 + 0.12 * len(layers))), 5.5)
        ranks, errors = figure.subplots(2, 1, sharex=True)
        places = range(len(layers))
        if all("of" in facts for facts in layers.values()):
            ranks.bar(places, [facts["of"] for facts in layers.values()], color=LOST, label="before")
        ranks.bar(places, [facts["rank"] for facts in layers.values()], color=KEPT, label="kept")
        ranks.set_ylabel("rank")
        ranks.legend(frameon=False, ncols=2, loc="lower right", bbox_to_anchor=(1, 1))
        errors.bar(places, [facts["error"] for facts in layers.values()], color=KEPT)
        errors.set_ylabel("lost, ‖ΔW − ΔWₖ‖ / ‖ΔW‖")
        if len(layers) <= 60:
            errors.set_xticks(places, list(layers), rotation=90, fontsize=6)
        else:
            errors.set_xlabel(f"{len(layers)} layers, in the order of the adapter")
        _save(figure, path)


def draw_measured(
    names: Sequence[str], measured: Sequence[Mapping[str, Mapping[str, Any]]], pairs: "Sequence[Overlap]", path: str
) -> None:
    """For each adapter the energy that k directions hold, and for each two how much their singular vectors overlap."""
    from coremerge_ref.cli.measuring import energy_curve

    labels = [name if len(name) <= 24 else f"…{name[-23:]}" for name in names]
    with _figure(path) as figure:
        panels = figure.subplots(1, 3 if pairs else 1, squeeze=False)[0]
        figure.set_size_inches(5 + (4 + 0.5 * len(names)) * (len(panels) - 1), 4)
        for name, found in zip(labels, measured, strict=True):
            curve = energy_curve(list(found.values()))
            panels[0].plot(range(len(curve)), curve, marker=".", label=name)
        panels[0].set_xlabel("directions")
        panels[0].xaxis.get_major_locator().set_params(integer=True)
        panels[0].set_ylabel("share of ‖ΔW‖², mean over modules")
        panels[0].set_ylim(0, 1.02)
        panels[0].legend(frameon=False, fontsize=7)
        for panel, side in zip(panels[1:], ("left", "right"), strict=False):
            table = [[1.0 if i == j else float("nan") for j in range(len(names))] for i in range(len(names))]
            for pair in pairs:
                i, j = pair.places
                table[i][j] = table[j][i] = pair.means[side]
            panel.imshow(table, vmin=0, vmax=1, cmap="Blues")
            panel.set_title(f"overlap, {side} singular vectors", fontsize=9)
            panel.set_xticks(range(len(names)), labels, rotation=90, fontsize=7)
            panel.set_yticks(range(len(names)), labels, fontsize=7)
            for i, row in enumerate(table):
                for j, value in enumerate(row):
                    if value == value:
                        dark = "white" if value > 0.6 else "black"
                        panel.text(j, i, f"{value:.2f}", ha="center", va="center", fontsize=7, color=dark)
        _save(figure, path)
