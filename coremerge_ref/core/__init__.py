"""The paper, without files or commands. Data goes one way, and so can a reader.

updates (ΔW = s B A) → inputs (checked, cast) → sides, frames, spaces (U, V; Def. 2) → encoding (M_t = Uᵀ ΔW_t V) →
stack, stages, pipeline (merge there) → merging (U M Vᵀ). Models do it for every layer, by batches. Beneath:
linalg, where zero is judged and matrices are decomposed; arrays, where libraries differ.
Beside: compressed, a lossy space; projecting, the steps one by one.
"""
