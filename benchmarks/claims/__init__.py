"""What docs/claims.md measures: one script a claim; each writes a CSV file into docs/data/."""
