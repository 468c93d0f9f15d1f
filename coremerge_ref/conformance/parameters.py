"""What every entry of ``case.params`` means, as a table for documentation.

python -m coremerge_ref.conformance.parameters
"""

from __future__ import annotations

COUNT = "K = int(d · density), d the number of entries of the matrix in its space"
MEANINGS: dict[str, dict[str, str]] = {
    "ta": {"weights": "Σ_t w_t M_t"},
    "mean": {"weights": "Σ_t w_t M_t / Σ_t w_t"},
    "trim": {
        "density": f"share of entries kept of each task, by magnitude: {COUNT}",
        "keep": "`threshold`: entries ≥ the (d − K)-th smallest magnitude, so K + 1 of them and all equals; `exact`: K "
        "entries, the lowest index in row-major order first among equals",
        "scope": "`tensor`: each matrix by itself; `model`: one threshold, and one majority sign, over all layers",
    },
    "ties": {
        "density": f"as in `trim`: {COUNT}",
        "keep": "as in `trim`",
        "scope": "as in `trim`",
        "elect": "sign of an entry: of the sum of the tasks' values (`mass`) or of the sum of their signs (`count`)",
        "zero_sign": "where that sum is zero: the sign of the sum of all elected signs, negative if that is zero, too "
        "(`majority`), or + (`positive`)",
        "aggregate": "over the entries that have the elected sign: `mean` or `sum`",
        "weight_order": "weights multiply `after` or `before` the election",
        "divisor": "of the mean: the `count` of agreeing entries that are not zero, or the sum of their weights "
        "(`weight`)",
        "weights": "one per task",
    },
    "dare": {
        "drop": "drop rate p; which entries is in `case.masks`, True keeps",
        "rescale": "what is kept is multiplied by 1 / (1 − p) (`inverse`), by ‖M‖₁ / ‖kept‖₁ (`l1`, 1 where nothing is "
        "kept), or by 1 (`none`)",
    },
    "tsv": {
        "k": "singular triplets kept of each task, of those above its rounding; none given: ⌊min(p, q) / T⌋, at least "
        "1, of the live size p × q. The two polar factors are over the singular values above the larger of 64 eps "
        "and min(√eps, ν_t / (last kept − first dropped σ of a task)) times the largest: none below counts"
    },
    "cart": {
        "k": "rank of each task's deviation from the mean; none given: the rounded fraction, at least 1",
        "fraction": "of min(p, q), where no k is given",
        "rounding": "of that product: `ceil` or `floor`",
        "coefficient": "λ in M̄ + λ Σ_t lowrank_k(M_t − M̄)",
    },
    "iso": {
        "support": "σ̄ is the mean over the singular values that are not zero (`rank`), or over all min(p, q) of them "
        "(`size`); the result is σ̄ P Qᵀ over the ones that are not zero, or over all"
    },
    "iso_cts": {
        "common_fraction": "share of min(p, q) directions that are common, before they are adjusted so that the rest "
        "divides by T",
        "rounding": "of that product",
    },
    "drm": {
        "direction": "`horizontal`: the frame is of [M_1 … M_T]; `vertical`: of the rows",
        "drop": "of the N normalised entries of all tasks together those ≥ the (N − round(N (1 − drop)))-th smallest "
        "magnitude are kept",
        "rank_cut": "singular values of the frame at or below this share of the largest are none",
        "weights": "one per task, after the election",
    },
}


def table() -> str:
    """A Markdown table of stages, parameters and meanings."""
    rows = [f"| `{stage}` | `{name}` | {text} |" for stage, names in MEANINGS.items() for name, text in names.items()]
    return "\n".join(["| stage | parameter | meaning |", "|---|---|---|", *rows])


if __name__ == "__main__":
    print(table())
