"""Merges chosen by the user's own score: α of one merge (sweep), or method, parameters and α of many (search)."""
