"""The names of methods as a type, so that a type checker sees a misspelt one."""

from typing import Literal, TypeAlias

# the stages, and the pipelines that `compare` and `demo` try: a test holds this to their tables
MethodName: TypeAlias = Literal[
    "breadcrumbs", "breadcrumbs+ta", "breadcrumbs+ties", "cart", "dare", "dare+ta", "dare+ties", "dare+ties+iso",
    "della", "della+ta", "della+ties", "drm", "iso", "iso_cts", "karcher", "mean", "pcb", "sce", "ta", "ties",
    "ties+iso", "trim", "trim+ta", "tsv", "tsv+iso",
]  # fmt: skip
