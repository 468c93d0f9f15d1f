"""Images of signs: letters and symbols from the fonts that matplotlib carries, and scikit-learn's written digits."""

from functools import cache
from pathlib import Path

import matplotlib as mpl
import numpy as np
from PIL import Image, ImageDraw, ImageFont
from sklearn.datasets import load_digits

from coremerge_ref.demo.tasks import TASKS

FONTS = Path(mpl.get_data_path()) / "fonts" / "ttf"  # DejaVu, free to use; STIX, SIL Open Font License
PLAIN = "DejaVuSans"  # what a clean drawing is
FACES = (
    "DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSerif", "DejaVuSerif-Bold", "DejaVuSerif-Italic",
    "DejaVuSansMono", "DejaVuSansMono-Bold", "STIXGeneral", "STIXGeneralBol",
)  # fmt: skip
SANS = ("DejaVuSans", "DejaVuSans-Bold", "DejaVuSansMono", "DejaVuSansMono-Bold")  # those that have every symbol
SYMBOLS = ("arrows", "maths", "shapes")
DRAWN, POINTS, INSIDE, SIDE = 64, 48, 52, 8  # pixels of the drawing, font size, pixels that a sign fills, final pixels
SPLITS = {"validation": 120, "test": 200, "train": 1000}
RANGES = (  # letters that the base model learns: Latin, Greek, Cyrillic, Armenian, Georgian, punctuation, phonetic
    (0x21, 0x5B), (0x61, 0x7B), (0x391, 0x3CA), (0x410, 0x450), (0x531, 0x557), (0x561, 0x587), (0x10D0, 0x10F1),
    (0x250, 0x2A0),
)  # fmt: skip


def draw(sign: str, face: str, rng: np.random.Generator | None = None) -> np.ndarray:
    """(8, 8) with values 0 to 16, 8-bit; turned, stretched, sheared and shifted a little by `rng`, or not at all."""
    drawing, size = _drawing(sign, face)
    zoom, shift = INSIDE / size, np.zeros(2)
    turn = np.eye(2) / zoom
    if rng is not None:
        angle, stretch, shear = rng.uniform(-0.2, 0.2), rng.uniform(0.85, 1.1, 2), rng.uniform(-0.2, 0.2)
        c, s = np.cos(angle), np.sin(angle)
        turn = np.linalg.inv(np.array([[c, -s], [s, c]]) @ [[1, shear], [0, 1]] @ np.diag(stretch)) / zoom
        shift = rng.uniform(-4, 4, 2)
    middle = np.full(2, DRAWN / 2)
    offset = middle - turn @ (middle + shift)
    matrix = (*turn[0], offset[0], *turn[1], offset[1])
    image = drawing.transform((DRAWN, DRAWN), Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)
    small = np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BOX), dtype=np.float32)
    return np.round(small * (16 / 255)).astype(np.uint8)


@cache
def _drawing(sign: str, face: str) -> tuple[Image.Image, int]:
    """The sign in the middle of a square, and its larger side."""
    left, top, right, bottom = _font(face).getbbox(sign)
    image = Image.new("L", (DRAWN, DRAWN), 0)
    at = (DRAWN / 2 - (left + right) / 2, DRAWN / 2 - (top + bottom) / 2)
    ImageDraw.Draw(image).text(at, sign, fill=255, font=_font(face))
    return image, max(right - left, bottom - top)


@cache
def _font(face: str) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(FONTS / f"{face}.ttf"), POINTS)


@cache
def has(sign: str, face: str) -> bool:
    """Whether the font has the sign: it draws something, and not what it draws for a sign that no font has."""
    mask = _font(face).getmask(sign)
    return mask.getbbox() is not None and bytes(mask) != bytes(_font(face).getmask("\U0010fffe"))


def pool() -> list[str]:
    """The letters that the base model learns: none is a sign of a task."""
    used = {sign for task in TASKS.values() for sign in task.signs}
    return [c for first, end in RANGES for c in map(chr, range(first, end)) if c not in used and has(c, PLAIN)]


def drawings(signs: list[str], each: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, 8, 8) and labels (N,): `each` of every sign, in fonts that have it."""
    rng = np.random.default_rng(seed)
    images, labels = [], []
    for label, sign in enumerate(signs):
        faces = [face for face in FACES if has(sign, face)]
        images += [draw(sign, faces[rng.integers(len(faces))], rng) for _ in range(each)]
        labels += [label] * each
    return np.stack(images), np.array(labels)


def classes(task: str) -> np.ndarray:
    """One clean drawing a sign (10, 8, 8)."""
    return np.stack([draw(sign, PLAIN) for sign in TASKS[task].signs])


def split(task: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Images (N, 8, 8) and labels (N,), 8-bit, of the task's three parts; no image is in two."""
    seed, total = 100 + list(TASKS).index(task), sum(SPLITS.values())
    if task == "digits":
        digits = load_digits()
        images, labels = digits.images.astype(np.uint8), digits.target
        order = np.random.default_rng(seed).permutation(len(labels))
    else:
        rng, faces = np.random.default_rng(seed), SANS if task in SYMBOLS else FACES
        labels = rng.integers(len(TASKS[task].signs), size=2 * total)
        images = np.stack([draw(TASKS[task].signs[i], faces[rng.integers(len(faces))], rng) for i in labels])
        order = np.arange(len(labels))
    _, first = np.unique(images[order], axis=0, return_index=True)  # images that come twice are kept once
    order = order[np.sort(first)][:total]
    parts = np.split(order, np.cumsum(list(SPLITS.values()))[:-1])
    return {part: (images[i], labels[i].astype(np.uint8)) for part, i in zip(SPLITS, parts, strict=True)}
