"""Spectra as pictures: where each point and line stands, and what is refused."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from said import parts

import coremerge_ref as cm
from coremerge_ref.analysis.explain.explanation import Bound, Explanation, Explanations
from coremerge_ref.analysis.explain.picture import CUT, DROPPED, KEPT, MOST, check_place, drawn
from coremerge_ref.perturbation.carried import Spectrum

pytest.importorskip("matplotlib")

BOUND = Bound("float64", 2.0**-52, 1.0, 1.0, 2.0**-52, "sensitive", "why")
ONE = Explanation("q", "tsv", "core", (4, 4), 2, 2, 2, {}, BOUND, BOUND, (), ())
FIRST = Spectrum("tsv", "M_t", np.array([4.0, 2.0, 0.0]), 2, 1.0, 0)
SECOND = Spectrum("tsv", "M_t", np.array([8.0]), 1, None, 1)
OTHER = Spectrum("core", "[B]", np.array([3.0, 1.0]), 0, 0.0)


def points(axes: Any) -> list[tuple[str, bool, list[float], list[float]]]:
    """(colour, full, x, y) of each series."""
    return [
        (line.get_color(), line.get_markerfacecolor() != "none", line.get_xdata().tolist(), line.get_ydata().tolist())
        for line in axes.get_lines()
        if line.get_marker() == "o" and len(line.get_xdata())
    ]


def test_values_stand_side_by_side_relative_to_the_largest_kept_ones_full_and_others_hollow() -> None:
    figure = drawn([replace(ONE, spectra=(FIRST, SECOND, OTHER))], None)
    tsv, core = figure.axes
    assert [axes.get_title() for axes in (tsv, core)] == ["tsv: M_t", "core: [B]"]
    assert points(tsv) == [
        (KEPT, True, [1, 2], [0.5, 0.25]),
        (DROPPED, False, [3], [1e-18]),  # zero at the floor
        (KEPT, True, [5], [1.0]),  # the next task after a blank
    ]
    assert points(core) == [(DROPPED, False, [1, 2], [1.0, pytest.approx(1 / 3)])]
    upright = [(line.get_xdata()[0], line.get_color()) for line in tsv.get_lines() if line.get_linestyle() == "--"]
    assert upright == [(2.5, CUT)]  # where some are kept, and not all
    assert not any(line.get_linestyle() == "--" for line in core.get_lines())
    (level,) = tsv.collections
    assert [segment.tolist() for segment in level.get_segments()] == [[[0.5, 0.125], [3.5, 0.125]]]
    assert not core.collections  # a cut of zero is none
    for axes in (tsv, core):
        assert axes.get_yscale() == "log"
        assert axes.get_xticks().tolist() == []
        assert {label.get_size() for label in axes.get_yticklabels()} == {7}
        assert axes.title.get_size() == 8


def test_a_layer_is_a_row_with_its_name_and_verdict() -> None:
    many = [
        replace(ONE, spectra=(FIRST, OTHER)),
        replace(ONE, layer="", spectra=(OTHER,)),
    ]
    figure = drawn(many, None)
    assert figure.get_size_inches().tolist() == pytest.approx([3.4 * 2, 2.9 * 2])
    assert [axes.get_ylabel() for axes in figure.axes] == ["q\nsensitive", "", "tsv\nsensitive", ""]
    assert [axes.axison for axes in figure.axes] == [True, True, True, False]
    empty = Spectrum("tsv", "M_t", np.array([0.0]), 0, None)
    assert points(drawn([replace(ONE, spectra=(empty,))], None).axes[0]) == [(DROPPED, False, [1], [1e-18])]


def test_the_worst_layers_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    layers = {str(i): replace(ONE, layer=str(i), spectra=(SECOND,)) for i in range(MOST + 2)}
    layers["13"] = replace(layers["13"], bound=replace(BOUND, verdict="ill-posed"))
    figure = Explanations(layers).plot()
    assert len(figure.axes) == MOST == 12
    assert figure.axes[0].get_ylabel().startswith("13\n")
    assert len(layers["0"].plot().axes) == 1


def test_nothing_to_draw_is_said() -> None:
    for given in ([], [ONE]):
        with pytest.raises(cm.ParameterError, match=parts("plot: … no singular values to draw … core or knots")):
            drawn(given, None)


# ---- files -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("ending", ["png", "svg", "PNG", "pdf"])
def test_a_picture_is_written_and_may_be_written_over(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{ending}"
    for _ in range(2):
        drawn([replace(ONE, spectra=(SECOND,))], path)
        assert path.stat().st_size > 500


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.txt", None, "plot: … .png or .svg … a.txt"),
        ("a", None, "plot: … .png or .svg … a"),
        ("nowhere/a.png", None, "plot: cannot write … nowhere/a.png … folder is not there"),
        ("a.png", b"a letter", "plot: expected nothing or a picture … a.png … something else"),
        ("a.svg", b"", "plot: expected nothing or a picture … a.svg … something else"),
    ],
)
def test_what_is_no_place_for_a_picture_is_refused(name: str, content: bytes | None, said: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(cm.ParameterError, match=parts(said)):
        check_place(tmp_path / name)


@pytest.mark.parametrize("head", [b"\x89PNG..", b"%PDF-1.4", b"%!PS", b"RIFF", b"x" * 900 + b"<svg"])
def test_pictures_are_known_by_how_they_begin(head: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(head)
    assert check_place(tmp_path / "a.png") is None
    (tmp_path / "a.png").write_bytes(b"x" + head if b"<svg" not in head else b"x" * 100 + head)
    with pytest.raises(cm.ParameterError):
        check_place(tmp_path / "a.png")


def test_a_folder_and_a_link_to_nothing_are_no_places(tmp_path: Path) -> None:
    (tmp_path / "a.png").mkdir()
    (tmp_path / "b.png").symlink_to(tmp_path / "nothing.png")
    for name in ("a.png", "b.png"):
        with pytest.raises(cm.ParameterError, match="something else"):
            check_place(tmp_path / name)


def test_what_cannot_be_written_is_said_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib.figure import Figure

    def full(self: Any, path: Any) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(Figure, "savefig", full)
    with pytest.raises(cm.ParameterError, match=parts("plot: cannot write the picture … a.png … no space left")):
        drawn([replace(ONE, spectra=(SECOND,))], tmp_path / "a.png")
