"""Layer shapes (m, n) of the models that benchmarks take, and random updates of such shapes."""

from collections.abc import Sequence

import numpy as np

# Attention projections of Llama 3 8B, the layers that the paper merges: 32 blocks of hidden size 4096, 8 of 32 heads in
# keys and values.
LLAMA_8B = {"q_proj": (4096, 4096), "k_proj": (1024, 4096), "v_proj": (1024, 4096), "o_proj": (4096, 4096)}
LLAMA_8B_BLOCKS = 32

# All linear layers of Llama 3.1 405B.
LLAMA_405B = {
    "q_proj": (16384, 16384), "k_proj": (1024, 16384), "v_proj": (1024, 16384), "o_proj": (16384, 16384),
    "gate_proj": (53248, 16384), "up_proj": (53248, 16384), "down_proj": (16384, 53248),
}  # fmt: skip
LLAMA_405B_BLOCKS = 126


def factors(m: int, n: int, ranks: Sequence[int], seed: int = 0, batch: tuple[int, ...] = ()) -> list:
    """Pairs (B, A) of float32 with LoRA's usual sizes: A uniform as it starts, B as small as training leaves it."""
    rng = np.random.default_rng(seed)
    made = []
    for r in ranks:
        B = 1e-2 * rng.standard_normal((*batch, m, r), dtype=np.float32)
        A = (2 * rng.random((*batch, r, n), dtype=np.float32) - 1) / np.float32(n) ** np.float32(0.5)
        made.append((B, A))
    return made
