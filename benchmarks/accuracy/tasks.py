"""Eight text classification tasks whose labels come with the text, and their seeded splits.

A task maps a short text to one of a few labels; a label's prompt is what its fixed head is made from. Texts that occur
twice are kept once, texts that occur with two labels are dropped, and a text is in one split alone.
"""

import hashlib
import random
from collections import defaultdict
from dataclasses import dataclass

from benchmarks.accuracy.texts import TASKS

SPLITS = {"train": 900, "val": 100, "test": 1000}
MAX_WORDS = 16


@dataclass(frozen=True)
class Task:
    """labels in a fixed order, one prompt a label, and per split a list of (text, label index)."""

    name: str
    labels: tuple[str, ...]
    prompts: tuple[str, ...]
    splits: dict[str, list[tuple[str, int]]]

    @property
    def fingerprint(self) -> str:
        """Changes when any text, label or split does: results say which data they were measured on."""
        return hashlib.blake2b(repr((self.labels, self.prompts, self.splits)).encode(), digest_size=8).hexdigest()


def load(name: str, sizes: dict[str, int] | None = None) -> Task:
    """Builds a task: the same texts, labels and splits on every machine that has the pinned packages."""
    texts, words, prompt = TASKS[name]
    seen: dict[str, set[str]] = defaultdict(set)
    for label, text in texts():
        short = " ".join(text.split()[:MAX_WORDS])
        if label in words and len(short) > 2:
            seen[short].add(label)
    by_label: dict[str, list[str]] = defaultdict(list)
    for text, found in sorted(seen.items()):
        if len(found) == 1:
            by_label[next(iter(found))].append(text)
    rng = random.Random(f"{name} 0")
    sizes = sizes or SPLITS
    cap = -(-2 * sum(SPLITS.values()) // len(words))  # no label has more than twice its even share
    pool = []
    for index, label in enumerate(words):
        chosen = by_label[label]
        rng.shuffle(chosen)
        pool += [(text, index) for text in chosen[:cap]]
    rng.shuffle(pool)
    if len(pool) < sum(SPLITS.values()):
        raise ValueError(f"task {name!r}: expected at least {sum(SPLITS.values())} texts, found {len(pool)}")
    splits, start = {}, 0
    for split, size in SPLITS.items():  # cut at fixed places, so that a quick run sees a part of the full run's splits
        splits[split] = pool[start : start + min(size, sizes.get(split, size))]
        start += size
    return Task(name, tuple(words), tuple(prompt.format(word) for word in words.values()), splits)
