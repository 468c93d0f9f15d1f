"""The demo's transformer in NumPy: an image is a sequence of eight rows. benchmarks/demo_adapters has it in torch."""

from collections.abc import Mapping

import numpy as np

HEADS = 4
NORM_EPS = 1e-5
Weights = Mapping[str, np.ndarray]  # the torch model's state dict: arrays of one dtype, by name


def embed(weights: Weights, images: np.ndarray) -> np.ndarray:
    """Images (N, 8, 8) in [0, 1] to vectors of norm 1 (N, width)."""
    x = _linear(weights, "embed", images) + weights["position"]
    depth = sum(name.endswith(".q.weight") for name in weights)
    for i in range(depth):
        x = _block(weights, f"blocks.{i}.", x)
    x = _norm(weights, "norm", x).mean(axis=1)
    return x / np.sqrt(np.sum(x * x, axis=-1, keepdims=True))


def _block(weights: Weights, name: str, x: np.ndarray) -> np.ndarray:
    """Pre-norm self-attention, then a two-layer perceptron, each added to what came in: (N, 8, width) to the same."""
    h = _norm(weights, name + "norm1", x)
    q, k, v = (_heads(_linear(weights, name + layer, h)) for layer in "qkv")
    mixed = _softmax(q @ np.matrix_transpose(k) / q.shape[-1] ** 0.5) @ v  # (N, heads, 8, width / heads)
    x = x + _linear(weights, name + "o", mixed.swapaxes(1, 2).reshape(x.shape))
    hidden = np.maximum(_linear(weights, name + "up", _norm(weights, name + "norm2", x)), 0)
    return x + _linear(weights, name + "down", hidden)


def _heads(x: np.ndarray) -> np.ndarray:
    """(N, 8, width) to (N, heads, 8, width / heads)."""
    return x.reshape(*x.shape[:2], HEADS, -1).swapaxes(1, 2)


def _linear(weights: Weights, name: str, x: np.ndarray) -> np.ndarray:
    rows = x.reshape(-1, x.shape[-1])  # one product, where NumPy would make one an image
    return (rows @ weights[name + ".weight"].T).reshape(*x.shape[:-1], -1) + weights[name + ".bias"]


def _norm(weights: Weights, name: str, x: np.ndarray) -> np.ndarray:
    x = x - x.mean(axis=-1, keepdims=True)
    x = x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + NORM_EPS)
    return x * weights[name + ".weight"] + weights[name + ".bias"]


def _softmax(x: np.ndarray) -> np.ndarray:
    x = np.exp(x - x.max(axis=-1, keepdims=True))
    return x / x.sum(axis=-1, keepdims=True)
