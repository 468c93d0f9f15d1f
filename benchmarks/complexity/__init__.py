"""Operation counts on paper, the same counts observed, and measured sweeps beside them."""
