"""A single .safetensors LoRA times a number: its alphas, PEFT's in the header, or where there are none its B."""

import json
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from coremerge_ref.adapters.files import parse_json
from coremerge_ref.adapters.formats.peft_metadata import PEFT_METADATA, read_peft_metadata
from coremerge_ref.adapters.formats.single_file import SingleFileReader
from coremerge_ref.adapters.formats.spellings import KOHYA
from coremerge_ref.adapters.scaled.base import Share, Writer, times
from coremerge_ref.adapters.writer import TensorWriter, numpy_dtype
from coremerge_ref.errors import AdapterError, shown

if TYPE_CHECKING:
    from coremerge_ref.adapters.folder import Adapter

_DIMENSIONS = 5
_ALPHA = "ss_network_alpha"


class SingleFileWriter(Writer):
    """Files in diffusers' spellings may have no place for an alpha: there B is multiplied, and rounded once."""

    def refuses(self, adapter: "Adapter") -> bool:
        """LyCORIS' products without an alpha, whose scale is 1 whatever their rank."""
        reader = _reader(adapter)
        return any("A" not in found.roles and name not in reader.alphas for name, found in reader.found.items())

    def write(self, adapter: "Adapter", folder: Path, weights: str, factor: float, share: Share) -> None:
        """As the base class says."""
        reader = _reader(adapter)
        configs = read_peft_metadata(reader.metadata[PEFT_METADATA]) if PEFT_METADATA in reader.metadata else {}
        alphas, multiplied = {}, set()
        for name, found in reader.found.items():
            if name in reader.alphas:
                alphas[found.roles["alpha"]] = reader.alphas[name] * factor
            elif name.partition(".")[0] in configs:
                continue
            elif found.spelling == KOHYA and not configs:
                alphas[f"{name}.alpha"] = reader.file.entries[found.roles["A"]].shape[0] * factor
            else:
                multiplied.add(found.roles["B"])
        metadata = _scaled_metadata(reader.metadata, factor)
        names = list(dict.fromkeys([*reader.file.entries, *alphas]))
        writer = TensorWriter(folder / weights, names, _DIMENSIONS, _with_digest(metadata, "0" * 64))
        try:
            for name in names:
                writer.add(name, _tensor(reader, name, alphas, factor if name in multiplied else 1.0))
            writer.close(_with_digest(metadata, writer.digest))
        finally:
            writer.abandon()


def _reader(adapter: "Adapter") -> SingleFileReader:
    assert isinstance(adapter.reader, SingleFileReader), "adapters of one family"
    return adapter.reader


def _tensor(reader: SingleFileReader, name: str, alphas: dict[str, float], factor: float) -> np.ndarray:
    if name in alphas:
        dtype = numpy_dtype(reader.file.entries[name].dtype) if name in reader.file.entries else np.dtype(np.float32)
        shape = reader.file.entries[name].shape if name in reader.file.entries else ()
        narrow = np.full(shape, alphas[name], dtype)
        exact = np.all(narrow.astype(np.float64) == alphas[name])  # float16 and bfloat16 have no 3.2
        return narrow if exact else np.full(shape, alphas[name], np.float32)
    array = reader.file.read([name])[name]
    if factor == 1:
        return array
    with np.errstate(over="ignore"):
        scaled = (array.astype(np.float64) * factor).astype(array.dtype)
    if not np.all(np.isfinite(scaled)):
        raise AdapterError(f"tensor {shown(name)}: times {factor:g} it does not fit {array.dtype.name}; try less")
    return scaled


def _scaled_metadata(metadata: dict[str, str], factor: float) -> dict[str, str]:
    made = {key: value for key, value in metadata.items() if key != "sshs_legacy_hash"}
    if PEFT_METADATA in made:
        fields: dict[str, Any] = parse_json(made[PEFT_METADATA])
        for component, config in read_peft_metadata(made[PEFT_METADATA]).items():
            fields[f"{component}.lora_alpha"] = times(config.lora_alpha, factor)
            fields[f"{component}.alpha_pattern"] = {k: times(a, factor) for k, a in config.alpha_pattern.items()}
        made[PEFT_METADATA] = json.dumps(fields, sort_keys=True)
    with suppress(KeyError, ValueError):  # "Dynamic" is one of its values
        made[_ALPHA] = str(times(float(made[_ALPHA]), factor))
    return made


def _with_digest(metadata: dict[str, str], digest: str) -> dict[str, str]:
    """The hashes that model lists look for, of these tensors."""
    there = {"sshs_model_hash": digest, "modelspec.hash_sha256": f"0x{digest}"}
    return {**metadata, **{key: value for key, value in there.items() if key in metadata}}
