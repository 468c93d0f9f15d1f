"""adapter_config.json: the fields that say what the tensors mean, and those that make it no low-rank product."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictBool, ValidationError

from coremerge_ref.adapters.files import read_json, shown
from coremerge_ref.errors import AdapterError

NAME = "adapter_config.json"


def _off_if_null(value: Any) -> Any:
    return False if value is None else value


def _empty_if_null(value: Any) -> Any:
    return {} if value is None else value


Flag = Annotated[StrictBool, BeforeValidator(_off_if_null)]
Rank = Annotated[int, Field(strict=True, ge=0, lt=2**31)]
Alpha = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Text = Annotated[str, Field(strict=True)]


class AdapterConfig(BaseModel):
    """The part of a PEFT config that merging needs, checked; other fields are kept in `model_extra`."""

    model_config = ConfigDict(extra="allow", frozen=True)

    peft_type: Literal["LORA", "VERA"]
    r: Rank | None = None  # None: PEFT's default
    lora_alpha: Alpha = 8.0
    use_rslora: Flag = False
    fan_in_fan_out: Flag = False
    rank_pattern: Annotated[dict[str, Rank], BeforeValidator(_empty_if_null)] = Field(default_factory=dict)
    alpha_pattern: Annotated[dict[str, Alpha], BeforeValidator(_empty_if_null)] = Field(default_factory=dict)
    save_projection: Flag = True
    bias: Text | None = "none"
    base_model_name_or_path: Text | None = None
    task_type: Text | None = None
    revision: Text | None = None
    auto_mapping: dict[str, Any] | None = None

    @property
    def rank(self) -> int:
        """r, or what PEFT takes where the file has none."""
        return {"LORA": 8, "VERA": 256}[self.peft_type] if self.r is None else self.r


_RETRAIN = "retrain without it"
_MERGE = "merge it into the base weights with PEFT's merge_and_unload and extract a LoRA from the difference"

# Fields that make ΔW something else than the product the tensors hold: what each is, and what to do instead.
_REFUSED: dict[str, tuple[str, str]] = {
    "use_dora": ("DoRA rescales the columns of W0 + ΔW", _MERGE),
    "lora_bias": ("trained biases of lora_B", "retrain with lora_bias=false"),
    "modules_to_save": (
        "whole modules trained beside the LoRA",
        "retrain without modules_to_save, or merge those apart",
    ),
    "trainable_token_indices": ("trained token embeddings", "retrain without trainable_token_indices"),
    "target_parameters": ("LoRA on bare parameters, such as stacked experts", "target modules instead"),
    "layer_replication": ("replicated layers: the base model has another shape", _RETRAIN),
    "use_qalora": ("QALoRA pools its input", _RETRAIN),
    "alora_invocation_tokens": ("Activated LoRA acts on some tokens alone", _RETRAIN),
    "arrow_config": ("Arrow routes between adapters token by token", "merge the adapters that it routes between"),
    "use_bdlora": ("BD-LoRA stores block-diagonal factors", _MERGE),
    "kasa_config": ("KaSA changes the base weights and adds a diagonal", _RETRAIN),
    "monteclora_config": ("MonteCLoRA samples its weights", _RETRAIN),
    "velora_config": ("VeLoRA", "set velora_config to null and remove the lora_velora_* tensors, training state alone"),
    "megatron_config": ("Megatron's parallel layers", "save the adapter from an unsharded model"),
}
# Fields that concern names, training or initialization and never what the saved tensors mean.
_HARMLESS = frozenset(
    {
        "corda_config",
        "d_initial",
        "ensure_weight_tying",
        "eva_config",
        "exclude_modules",
        "inference_mode",
        "init_lora_weights",
        "init_weights",
        "layers_pattern",
        "layers_to_transform",
        "loftq_config",
        "lora_dropout",
        "lora_ga_config",
        "megatron_core",
        "peft_version",
        "projection_prng_key",
        "qalora_group_size",
        "runtime_config",
        "target_modules",
        "vera_dropout",
    }
)
# Initializations that take what they put in the factors out of the base weights.
_CHANGES_BASE = ("pissa", "olora", "corda", "loftq", "lora_ga")
_KEEPS_BASE = ("gaussian", "eva", "orthogonal", "mica")


def read_config(folder: Path) -> AdapterConfig:
    """The config of the adapter in `folder`.

    AdapterError if it is no PEFT config, a field has the wrong type, or the adapter is not a plain low-rank product;
    the message names the field and what to do.
    """
    path = folder / NAME
    fields = read_json(path)
    kind = fields.get("peft_type")
    if kind not in ("LORA", "VERA"):
        raise AdapterError(
            f"{shown(path)}: expected peft_type LORA or VERA, got {shown(kind)}; others are no low-rank products "
            "as stored: convert the adapter with peft's save_as_lora first"
        )
    try:
        config = AdapterConfig.model_validate(fields)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise AdapterError(
            f"{shown(path)}: field {shown(where)}: {first['msg']}, got {shown(repr(first['input']))}; "
            "correct the config"
        ) from error
    for complaint in _complaints(config):
        raise AdapterError(f"{shown(path)}: {complaint}")
    return config


def _complaints(config: AdapterConfig) -> list[str]:
    extra = config.model_extra or {}
    found = [f"{field}: refused: {what}; {todo}" for field, (what, todo) in _REFUSED.items() if extra.get(field)]
    if config.bias not in (None, "none"):
        found.append(
            f"bias: trained biases ({shown(config.bias)}) are refused; retrain with bias='none', "
            "or set it to 'none' if the file holds no bias"
        )
    if config.peft_type == "VERA" and not config.save_projection:
        found.append(
            "save_projection: refused, false leaves vera_A and vera_B out of the file; "
            "load the adapter with PEFT, set save_projection=True in its config and save it again"
        )
    init = extra.get("init_lora_weights")
    if isinstance(init, str) and init.lower().startswith(_CHANGES_BASE):
        found.append(
            f"init_lora_weights: refused, {shown(init)} changes the base weights; save the adapter again with PEFT's "
            "path_initial_model_for_weight_conversion, or retrain with another initialization"
        )
    elif not (init is None or isinstance(init, bool) or init in _KEEPS_BASE):
        found.append(
            f"init_lora_weights: expected one that PEFT 0.21 has, got {shown(repr(init))}; is the base changed?"
        )
    for field in sorted(extra.keys() - _HARMLESS - _REFUSED.keys()):
        if extra[field]:
            found.append(
                f"{shown(field)}: unknown field (PEFT 0.21 has none); remove it if it does not change the forward pass"
            )
    return found
