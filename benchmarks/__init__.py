"""Accuracy, complexity and speed, measured; `python -m benchmarks` runs the last two."""
