"""Merging adapters of a PeftModel in memory: the same readers, the same merge and the same layout as for folders."""

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from coremerge_ref.adapters.folder import Adapter
from coremerge_ref.adapters.formats.place import CONFIG, WEIGHTS, Place
from coremerge_ref.adapters.forms import FORMS
from coremerge_ref.adapters.ready import Options, ready
from coremerge_ref.adapters.report import MergeReport, outcome_notes
from coremerge_ref.adapters.tensors import DTYPES, Entry, TensorFile
from coremerge_ref.adapters.widths import BaseShapes
from coremerge_ref.adapters.writing import final_ranks, send_factors
from coremerge_ref.core.pipeline import Method, Pipeline
from coremerge_ref.core.spaces import Space
from coremerge_ref.errors import AdapterError, ParameterError

_CODES = {name: code for code, name in DTYPES.items()}


def add_merged_adapter(
    model: Any,
    adapters: Sequence[str],
    adapter_name: str,
    method: Method | Pipeline = "tsv",
    space: str | Space = "core",
    *,
    weights: Sequence[float] | None = None,
    scale: float = 1.0,
    rank: int | None = None,
    ragged: bool = False,
    dtype: str | None = None,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    allow_missing: bool = False,
    backend: str = "numpy",
    device: str | None = None,
) -> MergeReport:
    """Merge adapters that are loaded in a peft.PeftModel into a new one of the model, which is not activated.

    No file is written. The new adapter is what merge_folders of the saved adapters gives, and how peft loads it.

    Parameters
    ----------
    model : the PeftModel, on any device.
    adapters : names of adapters of the model; all LoRA.
    adapter_name : of the new adapter, which the model must not have yet.
    method … device : as in coremerge_ref.adapters.merge_folders.

    Raises ParameterError for names that the model does not have or has already, and what merge_folders raises; the
    model is unchanged then. The name and its first two arguments follow peft's add_weighted_adapter.

    >>> import torch
    >>> from peft import LoraConfig, get_peft_model
    >>> config = LoraConfig(r=2, target_modules=["0"])
    >>> model = get_peft_model(torch.nn.Sequential(torch.nn.Linear(5, 6)), config, adapter_name="math")
    >>> model.add_adapter("code", config)
    >>> report = cm.add_merged_adapter(model, ["math", "code"], "both", method="ta")
    >>> report.layers, sorted(model.peft_config)
    (1, ['both', 'code', 'math'])
    """
    from peft.utils import set_peft_model_state_dict

    started = time.monotonic()
    held = getattr(model, "peft_config", None)
    if not isinstance(held, Mapping):
        raise ParameterError(f"model: expected a peft.PeftModel, got {type(model).__name__}")
    for name in adapters:
        if name not in held:
            raise ParameterError(f"adapters: expected some of {', '.join(map(repr, held))}, got {name!r}")
    if not isinstance(adapter_name, str) or not adapter_name or adapter_name in held:
        raise ParameterError(f"adapter_name: expected a name that the model does not have yet, got {adapter_name!r}")
    options = Options(
        method, space, weights, scale, rank, False, dtype, backend, device, include, exclude, (), allow_missing
    )
    options.check(len(adapters))
    opened = [Adapter(LivePlace(model, name)) for name in adapters]
    if others := sorted({adapter.config.peft_type for adapter in opened} - {"LORA"}):
        raise AdapterError(
            f"adapters: expected LoRA adapters, since a PeftModel holds adapters of one type and the merged one is a "
            f"LoRA, got {', '.join(others)}; save them and merge the folders"
        )
    job, plan, notes = ready(opened, options, LiveShapes(model), lambda *_: None)
    form = FORMS[opened[0].reader.family](opened, plan)
    collected = Collected()
    outcome = send_factors(job, form, collected)
    ranks = final_ranks(outcome.ranks, job.all_layers, ragged)
    tensors = {name: form.padded(name, array, ranks) for name, array in collected.arrays.items()}
    notes += outcome_notes(outcome.zeros, outcome.facts, len(plan.layers))
    fields = form.companions(ranks)[CONFIG]
    config = type(held[adapters[0]])(**{key: value for key, value in fields.items() if key != "auto_mapping"})
    config.inference_mode = False  # as the adapters it was made of: peft freezes what is not active by itself
    model.add_adapter(adapter_name, config)
    set_peft_model_state_dict(model, {name: _tensor(array) for name, array in tensors.items()}, adapter_name)
    return MergeReport(
        output=adapter_name,
        written=True,
        method=options.method_text(),
        space=options.where.name,
        adapters=len(adapters),
        layers=len(plan.layers),
        ranks=(min(ranks.values()), max(ranks.values())),
        bytes=sum(array.nbytes for array in tensors.values()),
        seconds=round(time.monotonic() - started, 3),
        notes=notes,
    )


class LivePlace(Place):
    """An adapter of a PeftModel, in the place of the folder that peft would save it to."""

    def __init__(self, model: Any, name: str) -> None:
        self.path = self.given = Path(name)
        self.called = name
        self._model, self._name = model, name
        # cached_property's cache: what the folder's config would say
        self.__dict__["fields"] = json.loads(json.dumps(model.peft_config[name].to_dict(), default=_as_json))

    @property
    def is_there(self) -> bool:
        """It is in memory."""
        return True

    def weights(self) -> TensorFile:
        """The tensors that peft would save."""
        from peft import get_peft_model_state_dict

        # the embeddings' own weights are in the model already
        tensors = get_peft_model_state_dict(self._model, adapter_name=self._name, save_embedding_layers=False)
        return LiveTensors(self.path / WEIGHTS, tensors)


class LiveTensors(TensorFile):
    """Tensors in memory with the verbs of a file."""

    def __init__(self, path: Path, tensors: Mapping[str, Any]) -> None:
        self.path = path
        self._tensors = dict(tensors)
        self.entries = {name: Entry(_code(tensor), tuple(tensor.shape)) for name, tensor in tensors.items()}

    def read(self, names: Iterable[str]) -> dict[str, np.ndarray]:
        """As TensorFile.read."""
        arrays = {name: _array(self._tensors[name]) for name in names}
        for name, array in arrays.items():
            if not np.all(np.isfinite(array)):
                raise AdapterError(f"{self.path.parent}: tensor {name!r}: expected finite numbers, got NaN or Inf")
        return arrays


class LiveShapes(BaseShapes):
    """Shapes of the weights of the model that the adapters are on."""

    def __init__(self, model: Any) -> None:
        self.path, self.called = Path(), ""
        base = model.get_base_model()
        self.entries = {
            name.replace(".base_layer.", "."): Entry(_code(weight), tuple(weight.shape))
            for name, weight in base.named_parameters()
        }


class Collected:
    """Tensors as they come, by name."""

    def __init__(self) -> None:
        self.arrays: dict[str, np.ndarray] = {}

    def add(self, name: str, array: np.ndarray) -> None:
        """Keeps one."""
        self.arrays[name] = array


def _as_json(value: Any) -> Any:
    """What json cannot write of a PeftConfig: sets, enums, and configs within."""
    if isinstance(value, Enum):
        return value.value
    return sorted(value) if isinstance(value, set | frozenset) else vars(value)


def _code(tensor: Any) -> str:
    name = str(tensor.dtype).removeprefix("torch.")
    return _CODES.get(name, name.upper())


def _array(tensor: Any) -> np.ndarray:
    import torch

    host = tensor.detach().to("cpu").contiguous()
    if host.dtype == torch.bfloat16:
        return np.asarray(host.view(torch.int16).numpy()).view(ml_dtypes.bfloat16)
    return np.asarray(host.numpy())


def _tensor(array: np.ndarray) -> Any:
    import torch

    if array.dtype == ml_dtypes.bfloat16:
        return torch.from_numpy(np.ascontiguousarray(array).view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(np.ascontiguousarray(array))
