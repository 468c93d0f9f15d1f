"""The demo's encoder in torch: an image is a sequence of eight rows. coremerge_ref.demo.forward has it in NumPy."""

import torch
from torch import nn

WIDTH, DEPTH, HEADS, HIDDEN, SIDE = 96, 3, 4, 192, 8
ADAPTED = ("q", "k", "v", "o", "up", "down")  # the linear layers that get an adapter


class Block(nn.Module):
    """Pre-norm self-attention, then a two-layer perceptron, each added to what came in."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.q, self.k, self.v, self.o = (nn.Linear(WIDTH, WIDTH) for _ in range(4))
        self.up, self.down = nn.Linear(WIDTH, HIDDEN), nn.Linear(HIDDEN, WIDTH)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, 8, WIDTH) to the same."""
        h = self.norm1(x)
        q, k, v = (layer(h).unflatten(-1, (HEADS, -1)).transpose(1, 2) for layer in (self.q, self.k, self.v))
        mixed = torch.softmax(q @ k.mT / q.shape[-1] ** 0.5, dim=-1) @ v  # (N, HEADS, 8, WIDTH / HEADS)
        x = x + self.o(mixed.transpose(1, 2).flatten(-2))
        return x + self.down(torch.relu(self.up(self.norm2(x))))


class Encoder(nn.Module):
    """Images (N, 8, 8) in [0, 1] to vectors of norm 1 (N, WIDTH)."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(SIDE, WIDTH)
        self.position = nn.Parameter(0.1 * torch.randn(SIDE, WIDTH))
        self.blocks = nn.ModuleList(Block() for _ in range(DEPTH))
        self.norm = nn.LayerNorm(WIDTH)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """The mean over rows, and its direction."""
        x = self.embed(images) + self.position
        for block in self.blocks:
            x = block(x)
        return nn.functional.normalize(self.norm(x).mean(dim=1), dim=-1)
