"""How far errors move what a merge computes: theorems, and what is carried of errors from stage to stage.

Every method says in its own file, in `carry`, what it makes of errors, with what is here; `analysis.explain` walks it.
No merge needs any of it.
"""
