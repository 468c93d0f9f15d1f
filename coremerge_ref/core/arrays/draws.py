"""Random numbers drawn on the host, the same on every backend."""

import hashlib

import numpy as np


def uniform_numbers(seed: int, layer: str, task: int, shape: tuple[int, int]) -> np.ndarray:
    """Host array (p, q) of random numbers in [0, 1).

    Philox keyed by a hash of (seed, layer, task): they depend on nothing else, so they are the same on every backend
    and device, in every batch grouping and order of layers.
    """
    key = int.from_bytes(hashlib.blake2b(f"{seed}|{layer}|{task}".encode(), digest_size=16).digest(), "little")
    return np.random.Generator(np.random.Philox(key=key)).random(shape[0] * shape[1]).reshape(shape)
