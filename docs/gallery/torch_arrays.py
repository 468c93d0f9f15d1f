"""Arrays of torch, on any device: bfloat16 in, float64 inside, bfloat16 out, a batch of layers at once."""

import torch

import coremerge_ref as cm

device = "cuda" if torch.cuda.is_available() else "cpu"
generator = torch.Generator().manual_seed(0)


def factors(rank):
    """B and A of twelve layers of 256 × 192."""
    B = torch.randn(12, 256, rank, generator=generator, dtype=torch.bfloat16)
    A = torch.randn(12, rank, 192, generator=generator, dtype=torch.bfloat16)
    return cm.LowRankUpdate(B.to(device), A.to(device), scale=16 / rank)


updates = [factors(rank) for rank in (4, 8, 16)]  # ranks may differ
ready = cm.prepare(updates)  # frames and core matrices, once …
for method in ("ta", "tsv", "ties"):  # … for as many methods and scales as you like
    merged = ready.merge(method, scale=0.5)
    assert merged.B.device.type == device
    assert merged.B.dtype == torch.bfloat16
print(tuple(merged.shape), merged.rank)  # (12, 256, 192) 28
print(tuple(merged.truncate(8).B.shape))  # (12, 256, 8)
