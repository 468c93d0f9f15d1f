"""Adversarial runs: random merges against 60 digits; no promise of explain, certify or compare may be broken."""
