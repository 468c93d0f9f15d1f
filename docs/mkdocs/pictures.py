"""Draws the pictures of the front page and of "How it works": python docs/mkdocs/pictures.py [FOLDER].

Plain SVG with a light ground of its own, so that it can be read on dark pages too; each time the same, byte for byte.
"""

import sys
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parents[1] / "img"
TASKS = ("#4c78a8", "#e07b1a", "#4a9a4a")
MERGED, FRAME, DARK, SOFT = "#8e5ea2", "#8a94a6", "#1f2430", "#5b6472"


def box(x: float, y: float, width: float, height: float, color: str, dashed: bool = False) -> str:
    """A matrix; a dashed one is never formed."""
    look = f'fill="none" stroke="{color}" stroke-dasharray="4 3"' if dashed else f'fill="{color}"'
    return f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="2" {look}/>'


def text(x: float, y: float, words: str, color: str = DARK, size: int = 13, anchor: str = "middle") -> str:
    """Words, by default centred at x."""
    return f'<text x="{x:g}" y="{y:g}" fill="{color}" font-size="{size}" text-anchor="{anchor}">{words}</text>'


def arrow(x: float, y: float, length: float, words: str = "", below: str = "") -> str:
    """An arrow to the right, with words above and below it."""
    end = x + length
    drawn = f"M{x:g} {y:g} H{end:g} M{end - 7:g} {y - 5:g} L{end:g} {y:g} L{end - 7:g} {y + 5:g}"
    line = f'<path d="{drawn}" fill="none" stroke="{SOFT}" stroke-width="2"/>'
    middle = x + length / 2
    return line + text(middle, y - 9, words, SOFT, 12) + text(middle, y + 19, below, SOFT, 12)


def pair(x: float, y: float, color: str, tall: float = 52, thin: float = 12) -> str:
    """The factors of an update: B, tall, and A, wide."""
    return box(x, y, thin, tall, color) + box(x + thin + 5, y, tall, thin, color)


def picture(title: str, width: int, height: int, *parts: str) -> str:
    """The SVG file."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img" font-family="system-ui, sans-serif">\n<title>{title}</title>\n'
        f'<rect width="{width}" height="{height}" rx="8" fill="#f7f8fb"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def merge() -> str:
    """T pairs, core matrices, one merge, one pair."""
    rows = [28, 98, 168]
    parts = [text(24, 20, "adapters: pairs B, A", anchor="start")]
    parts += [text(308, 20, "core matrices"), text(655, 20, "one adapter")]
    for t, (y, color) in enumerate(zip(rows, TASKS, strict=True)):
        parts += [pair(30, y, color), text(80, y + 38, f"ΔW{'₁₂₃'[t]}", SOFT)]
        parts += [arrow(120, y + 26, 140, "exact" if t == 0 else ""), box(290, y + 8, 36, 36, color)]
        parts += [text(308, y + 31, f"M{'₁₂₃'[t]}", "#ffffff")]
    parts += [arrow(350, 124, 90, "merge", "any method"), box(460, 106, 36, 36, MERGED), text(478, 129, "M", "#ffffff")]
    parts += [arrow(516, 124, 80, "back"), pair(620, 98, MERGED)]
    says = "large matrices are never formed: everything happens in small ones, and loses nothing"
    parts += [text(360, 240, says, SOFT, 12)]
    return picture("Pairs B and A become small core matrices, are merged there, and become one pair", 720, 256, *parts)


def frames() -> str:
    """The stacks of the factors, and the frames that span them."""
    parts = [text(110, 24, "all B side by side"), text(250, 24, "U")]
    parts += [text(470, 24, "all A, one above another"), text(650, 24, "Vᵀ")]
    for t, color in enumerate(TASKS):
        parts += [box(68 + 28 * t, 38, 26, 150, color), text(81 + 28 * t, 117, f"B{'₁₂₃'[t]}", "#ffffff")]
        parts += [box(395, 72 + 28 * t, 150, 26, color), text(470, 90 + 28 * t, f"A{'₁₂₃'[t]}", "#ffffff")]
    parts += [arrow(160, 113, 50), box(222, 38, 56, 150, FRAME), arrow(553, 113, 40), box(600, 84, 104, 56, FRAME)]
    parts += [text(250, 117, "m × p", "#ffffff"), text(652, 117, "q × n", "#ffffff")]
    parts += [text(20, 212, "orthonormal columns that span every B's columns", SOFT, 12, "start")]
    parts += [text(704, 212, "orthonormal rows that span every A's rows", SOFT, 12, "end")]
    return picture("Stacks of the factors and the frames U and V that span them", 720, 228, *parts)


def cores() -> str:
    """One update, exactly, as frame times core matrix times frame."""
    color = TASKS[0]
    parts = [box(40, 40, 150, 150, color, dashed=True), text(115, 112, "ΔW₁")]
    parts += [text(115, 130, "m × n, not formed", SOFT, 12)]
    parts += [text(220, 120, "=", size=22), pair(250, 40, color, 150, 22), text(352, 100, "B₁ A₁", SOFT)]
    parts += [text(460, 120, "=", size=22), box(484, 40, 48, 150, FRAME), text(508, 118, "U", "#ffffff")]
    parts += [box(540, 40, 48, 48, color), text(564, 69, "M₁", "#ffffff"), text(564, 104, "p × q", SOFT, 12)]
    parts += [box(596, 40, 104, 48, FRAME), text(648, 69, "Vᵀ", "#ffffff")]
    says = "M₁ = Uᵀ ΔW₁ V is computed from the factors; nothing of ΔW₁ lies outside the two frames"
    parts += [text(360, 218, says, SOFT, 12)]
    return picture("An update is exactly U times its core matrix times V transposed", 720, 234, *parts)


def stacked_spectrum() -> list[float]:
    """Those of [B₁ B₂ B₃], columns scaled to norm 1, where B₃ is B₁ again: six live ones, three that are zero."""
    rng = np.random.default_rng(0)
    B1, B2 = rng.normal(size=(40, 3)), rng.normal(size=(40, 3))
    stack = np.concatenate([B1, B2, B1], axis=1)
    return [float(s) for s in np.linalg.svd(stack / np.linalg.norm(stack, axis=0), compute_uv=False)]


def cuts() -> str:
    """Singular values of a stack in which one adapter comes twice: what is live, what is null, and the cut between."""
    floor, top, left, step = 196, 34, 92, 62
    parts = [f'<path d="M{left - 8} {top - 6} V{floor} H686" fill="none" stroke="{SOFT}" stroke-width="1.5"/>']
    height = {1.0: floor - 8 - (floor - 8 - top), -17.0: floor}

    def level(decade: float) -> float:
        return height[1.0] + (1.0 - decade) / 18 * (floor - height[1.0])

    for decade in (0, -5, -10, -15):
        label = "1" if decade == 0 else f"1e{decade}"
        parts.append(text(left - 14, level(decade) + 4, label, SOFT, 12, "end"))
    for i, value in enumerate(stacked_spectrum()):
        live = value > 1e-12  # zero is 1e-16 here, give or take what the machine rounds: drawn at one height
        y = level(round(float(np.log10(value)), 1) if live else -16.0)
        parts.append(box(left + step * i + 8, y, step - 22, floor - y, TASKS[0] if live else "#b9c0cc"))
    cut = level(float(np.log10(64 * 2.0**-52)))
    parts.append(f'<path d="M{left - 8} {cut:.1f} H686" stroke="#c0392b" stroke-width="1.5" stroke-dasharray="6 4"/>')
    parts += [text(680, cut - 7, "the cut: 64 eps of the largest", "#c0392b", 12, "end")]
    parts += [text(left + 3 * step, 222, "six live directions"), text(left + 7.5 * step, 222, "three null ones", SOFT)]
    return picture("Singular values of a stack with a duplicated adapter: six live, three null", 720, 236, *parts)


PICTURES = {"merge": merge, "frames": frames, "cores": cores, "cuts": cuts}


def main(folder: Path = FOLDER) -> None:
    """Writes one file for each picture."""
    for name, draw in PICTURES.items():
        (folder / f"{name}.svg").write_text(draw(), encoding="utf-8")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
