"""PEFT types that are no low-rank product of their own tensors: what each is, and what to do instead.

What helps was tried for each type with PEFT 0.21.2 (tests/adapters/test_peft_refusals.py).
"""

from typing import Any

from coremerge_ref.errors import shown

EXTRACT = (
    "merge it into the base weights with PEFT's merge_and_unload and extract a LoRA from the difference with coremerge "
    "extract"
)
EXTRACT_ANY = "merge it into the base weights and extract a LoRA from the difference with coremerge extract"
APPROXIMATE = "approximate it by a LoRA with peft's save_as_lora, at a rank you choose, and merge that"
CONVERT = "convert it with peft's save_as_lora, exact at its own rank, and merge that"
_WHOLE = "merge it into the base with PEFT's merge_and_unload and merge the whole models with a tool for those"
_PROMPT = "trains vectors put before the input and changes no weight", "there is nothing to merge: use one at a time"

REFUSED_TYPES: dict[str, tuple[str, str]] = {
    "ADAMSS": ("AdaMSS trains inside subspaces of the base weights, and biases", EXTRACT),
    "ADAPTION_PROMPT": _PROMPT,
    "BEFT": ("BEFT trains biases alone", _WHOLE),
    "BOFT": ("BOFT multiplies the base weights", EXTRACT),
    "C3A": ("C3A adds circulant blocks, of full rank", APPROXIMATE),
    "CARTRIDGE": _PROMPT,
    "CPT": _PROMPT,
    "DEFT": ("DEFT projects the base weights", EXTRACT),
    "FOURIERFT": ("FourierFT adds a sum of waves, of full rank", APPROXIMATE),
    "FROD": ("FRoD rescales a decomposition of the base weights", EXTRACT),
    "GLORA": ("GLoRA multiplies the base weights and changes biases", EXTRACT),
    "HIRA": ("HiRA multiplies the base weights entry by entry", EXTRACT),
    "HRA": ("HRA reflects the base weights", EXTRACT),
    "IA3": ("IA3 rescales the base weights", EXTRACT),
    "LILY": ("Lily routes between shared factors by the input", "there is no one update to merge: use one at a time"),
    "LN_TUNING": ("LN tuning trains norms alone", _WHOLE),
    "MULTITASK_PROMPT_TUNING": _PROMPT,
    "OFT": ("OFT multiplies the base weights", EXTRACT),
    "OSF": ("OSF trains the base weights themselves, in part of their space", EXTRACT),
    "PEANUT": ("PEANuT adds a network of the base weights", EXTRACT),
    "POLY": ("Poly routes between factors by the task", "there is no one update to merge: use one at a time"),
    "PREFIX_TUNING": _PROMPT,
    "PROMPT_TUNING": _PROMPT,
    "PSOFT": ("PSOFT rotates principal directions of the base weights", APPROXIMATE),
    "PVERA": ("PVeRA samples its update", EXTRACT),
    "P_TUNING": _PROMPT,
    "RANDLORA": ("RandLoRA adds a sum of random products, of full rank", APPROXIMATE),
    "ROAD": ("RoAd rotates the outputs of layers", EXTRACT),
    "SHADOW": ("Shadow runs a second network beside the model", "there is no update of weights to merge"),
    "SHIRA": ("SHiRA adds a sparse matrix, of full rank", EXTRACT),
    "SUPERTUNING": ("Super-Tuning adds a sparse matrix, of full rank", EXTRACT),
    "TINYLORA": ("TinyLoRA's factors are singular vectors of the base weights", CONVERT),
    "TRAINABLE_TOKENS": ("trained token embeddings", "put them into the base model with PEFT's merge_and_unload"),
    "UNILORA": ("UniLoRA's factors are drawn from a seed that only PEFT can redraw", CONVERT),
    "WAVEFT": ("WaveFT adds a sum of wavelets, of full rank", APPROXIMATE),
    "XLORA": ("X-LoRA mixes adapters by the input", "merge the adapters that it mixes: its config names their folders"),
}


def why_refused(peft_type: Any) -> str:
    """One line on a PEFT type that no reader knows, or on a config that names none."""
    if peft_type is None:
        return (
            "expected peft_type, as PEFT writes it, or fine_tune_type or lora_parameters, as MLX does, got none of "
            "them; is this an adapter's config?"
        )
    if isinstance(peft_type, str) and peft_type in REFUSED_TYPES:
        what, todo = REFUSED_TYPES[peft_type]
        return f"peft_type {peft_type}: refused: {what}; {todo}"
    return (
        f"peft_type {shown(str(peft_type))}: unknown (PEFT 0.21 has none); where a version of PEFT loads it, {EXTRACT}"
    )
