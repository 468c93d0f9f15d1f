"""How far errors move what a merge computes: theorems, turns of singular vectors, and what stages carry of errors.

Every method says in its own file, in `carry`, what it makes of errors, with what is here; `analysis.explain` walks it.
No merge needs any of it.
"""
