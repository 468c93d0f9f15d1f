"""adapter_config.json: the fields that say what the tensors mean, and those that make it no low-rank product."""

from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StrictBool, ValidationError

from coremerge_ref.adapters.patterns import Patterns
from coremerge_ref.errors import AdapterError, shown


def _off_if_null(value: Any) -> Any:
    return False if value is None else value


def _empty_if_null(value: Any) -> Any:
    return {} if value is None else value


PATTERNS = (BeforeValidator(_empty_if_null), AfterValidator(Patterns))
Flag = Annotated[StrictBool, BeforeValidator(_off_if_null)]
Rank = Annotated[int, Field(strict=True, ge=0, lt=2**31)]
Alpha = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Text = Annotated[str, Field(strict=True)]


class AdapterConfig(BaseModel):
    """The part of a PEFT config that merging needs, checked; other fields are kept in `model_extra`.

    Readers of other PEFT types add their fields in a class of their own; readers of other formats fill in what they
    know.
    """

    model_config = ConfigDict(extra="allow", frozen=True)
    default_rank: ClassVar[int] = 8  # PEFT's, where the file has none

    peft_type: Text = "LORA"
    r: Rank | None = None
    lora_alpha: Alpha = 8.0
    use_rslora: Flag = False
    fan_in_fan_out: Flag = False
    rank_pattern: Annotated[dict[str, Rank], *PATTERNS] = Field(default_factory=dict)
    alpha_pattern: Annotated[dict[str, Alpha], *PATTERNS] = Field(default_factory=dict)
    target_parameters: Annotated[list[Text], BeforeValidator(lambda value: value or [])] = Field(default_factory=list)
    bias: Text | None = "none"
    base_model_name_or_path: Text | None = None
    task_type: Text | None = None
    revision: Text | None = None
    peft_version: Text | None = None
    auto_mapping: dict[str, Any] | None = None

    @property
    def rank(self) -> int:
        """r, or what PEFT takes where the file has none."""
        return self.default_rank if self.r is None else self.r

    @classmethod
    def checked(cls, path: Path, fields: dict[str, Any], harmless: frozenset[str]) -> Self:
        """`fields` of the config at `path` as a config.

        harmless: fields of this kind of adapter, beyond those of all, that do not concern what the tensors mean.
        AdapterError if a field has the wrong type, or the adapter is not a plain low-rank product; the message names
        the field and what to do.
        """
        try:
            config = cls.model_validate(fields)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(str(part) for part in first["loc"])
            raise AdapterError(
                f"{shown(path)}: field {shown(where)}: {first['msg']}, got {shown(repr(first['input']))}; "
                "correct the config"
            ) from error
        for complaint in config.complaints(harmless):
            raise AdapterError(f"{shown(path)}: {complaint}")
        return config

    def complaints(self, harmless: frozenset[str]) -> list[str]:
        """What in the config makes the adapter no plain product, each with what to do."""
        extra = self.model_extra or {}
        found = [f"{field}: refused: {what}; {todo}" for field, (what, todo) in REFUSED.items() if extra.get(field)]
        if self.bias not in (None, "none"):
            found.append(f"bias: trained biases ({shown(self.bias)}) are refused; {_OTHERS}")
        for field in sorted(extra.keys() - HARMLESS - harmless - REFUSED.keys()):
            if extra[field]:
                found.append(
                    f"{shown(field)}: unknown field (PEFT 0.21 has none); "
                    "remove it if it does not change the forward pass"
                )
        return found


_OTHERS = (
    "choose what becomes of them: --others mean averages them, first keeps the first adapter's, drop leaves them out "
    "(others=)"
)
_RETRAIN = "retrain without it"
_MERGE = (
    "merge it into the base weights with PEFT's merge_and_unload and extract a LoRA from the difference with coremerge "
    "extract"
)

# Fields that make ΔW something else than the product the tensors hold: what each is, and what to do instead.
REFUSED: dict[str, tuple[str, str]] = {
    "use_dora": ("DoRA rescales the columns of W0 + ΔW", _MERGE),
    "lora_bias": ("trained biases of lora_B", "retrain with lora_bias=false"),
    "modules_to_save": (
        "whole modules, such as a classifier's head, trained beside the LoRA",
        f"{_OTHERS}; heads for the same labels: mean, for other labels: drop, and load each task's own",
    ),
    "trainable_token_indices": ("trained token embeddings", _OTHERS),
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
# Fields of most PEFT types that concern names, training or initialization and never what the saved tensors mean.
HARMLESS = frozenset(
    {
        "exclude_modules",
        "inference_mode",
        "init_weights",
        "layers_pattern",
        "layers_to_transform",
        "module_dropout",
        "target_modules",
    }
)
