"""Weights of a merge learned by gradients: they flow from a loss on outputs through the merge to one number a task."""

import torch

import coremerge_ref as cm

torch.manual_seed(0)
updates = [(torch.randn(32, 4, dtype=torch.float64), torch.randn(4, 24, dtype=torch.float64)) for _ in range(3)]

# What the merged layer should do: here it is known, 0.7, 0.2 and −0.4 times the tasks' updates.
inputs = torch.randn(200, 24, dtype=torch.float64)
goal = inputs @ sum(w * B @ A for w, (B, A) in zip((0.7, 0.2, -0.4), updates, strict=True)).T

ready = cm.prepare(updates)  # the frames do not depend on the weights
weights = torch.full((3,), 1 / 3, dtype=torch.float64, requires_grad=True)
optimizer = torch.optim.Adam([weights], lr=0.02)
for _ in range(300):
    merged = ready.merge("ta", weights=weights)
    outputs = (inputs @ merged.A.T) @ merged.B.T  # never the full matrix
    loss = torch.mean((outputs - goal) ** 2)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()

print([round(weight, 2) for weight in weights.tolist()])  # [0.7, 0.2, -0.4]
