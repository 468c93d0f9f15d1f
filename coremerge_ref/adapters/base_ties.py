"""Tied weights of a base model: an embedding and its output head, one weight that gets one update, or is untied."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from coremerge_ref.adapters.base_model import BaseModel
from coremerge_ref.adapters.layer import Layer
from coremerge_ref.adapters.modules import EMBEDDING

TIED = "tie_word_embeddings"
# What language models call their input embedding and their output head, which many tie: one weight for both.
_EMBEDDINGS = ("embed_tokens", "wte", "word_embeddings", "tok_embeddings", "embed_in", "shared")
_HEADS = ("lm_head", "embed_out", "output")


@dataclass(frozen=True)
class Target:
    """A tensor of the output: the base's tensor `source`, in the file `place`, with the update of `layer` added."""

    name: str
    source: str
    place: str
    layer: Layer
    turned: bool  # whether the weight is stored as (in, out)


class BaseTies:
    """What a base ties, what an output has to untie, and what is said of it.

    copies: {head: tensor of the base whose numbers it gets}, of heads that stay as they are where the embedding moves.
    """

    def __init__(self, base: BaseModel) -> None:
        self.base = base
        self.untied = False
        self.notes: list[str] = []
        self.copies: dict[str, str] = {}

    def source(self, layer: Layer, name: str | None) -> str | None:
        """The tensor that holds the module's weight: `name`, or the embedding's of a head that is tied to it."""
        tied = layer.path.rpartition(".")[2] in _HEADS and self.base.config.get(TIED, name is None)
        alike = [other for other in self._embeddings() if self.base.entries[other].shape == layer.shape] if tied else []
        return alike[0] if len(alike) == 1 else name

    def _embeddings(self) -> list[str]:
        ends = tuple(f"{leaf}.weight" for leaf in _EMBEDDINGS)
        return [
            name for name in self.base.entries if name.rpartition(".weight")[0].rpartition(".")[2] + ".weight" in ends
        ]

    def resolve(self, targets: Sequence[Target], leaders: Mapping[str, str]) -> list[Target]:
        """`targets` where head and embedding are one weight of the base: still one if they get one update, else two.

        leaders: {path of a twin: path of the layer whose update it gets}.
        """
        by_source: dict[str, list[Target]] = {}
        for target in targets:
            by_source.setdefault(target.source, []).append(target)
        kept = []
        for source, same in by_source.items():
            own = [target for target in same if target.name == source]
            one_update = len({leaders.get(target.layer.path, target.layer.path) for target in same}) == 1
            if own and one_update and len(same) > 1:
                kept += own
                continue
            kept += same
            if len(same) > 1 or not own:
                self._untie(source, [target.name for target in same if target.name != source])
            elif own[0].layer.first.kind == EMBEDDING and (head := self._head_of(source)):
                self.copies[head] = source
                self._untie(source, [head])
        return kept

    def _head_of(self, embedding: str) -> str | None:
        """The name of the head that is tied to `embedding` and is to stay as it is; None where there is none."""
        base = self.base
        heads = [name for name in base.entries if name.removesuffix(".weight").rpartition(".")[2] in _HEADS]
        if heads or not base.config:
            if heads and base.config.get(TIED):
                self.untied = True  # the file has both; a loader would tie them all the same
            return None
        kinds = base.config.get("architectures") or [""]
        if not base.config.get(TIED, True) or not str(kinds[0]).endswith(("ForCausalLM", "LMHeadModel")):
            return None
        return f"{_HEADS[0]}.weight"

    def _untie(self, source: str, heads: Sequence[str]) -> None:
        self.untied = True
        self.notes.append(
            f"{source} and {', '.join(heads)} were one weight (tied) and get different updates: they are two in the "
            f"output, and its config.json says {TIED}: false"
        )
