"""Small models and real PEFT adapters on them, one kind of layer each: what the round-trip tests run on."""

import copy
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, VeraConfig, get_peft_model
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM


class Mlp(nn.Module):
    """Linear layers of three shapes; `b.a` ends in the name of `a`, which catches careless pattern matching."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(6, 8)
        self.b = nn.ModuleDict({"a": nn.Linear(8, 8), "c": nn.Linear(8, 5)})

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.b["c"](torch.tanh(self.b["a"](torch.tanh(self.a(x)))))


class Square(nn.Module):
    """Linear layers of one shape."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(8, 8) for _ in range(3)])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            x = torch.tanh(layer(x))
        return x


class Convs(nn.Module):
    """Two convolutions in `dim` dimensions."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        conv = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}[dim]
        self.one, self.two = conv(3, 4, 3, padding=1), conv(4, 5, 2, stride=2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.two(torch.tanh(self.one(x)))


class Embedded(nn.Module):
    """An embedding and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.emb, self.out = nn.Embedding(11, 6), nn.Linear(6, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(self.emb(x))


class Attention(nn.Module):
    """nn.MultiheadAttention, whose projection PEFT wraps inside the wrapped attention."""

    def __init__(self) -> None:
        super().__init__()
        self.attn, self.out = nn.MultiheadAttention(8, 2, batch_first=True), nn.Linear(8, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(self.attn(x, x, x, need_weights=False)[0])


def gpt2() -> nn.Module:
    """Conv1D layers, which store (in, out): PEFT's fan_in_fan_out."""
    return GPT2LMHeadModel(GPT2Config(n_layer=2, n_embd=12, n_head=2, vocab_size=23, n_positions=8, use_cache=False))


def llama() -> nn.Module:
    """embed_tokens, whose own weights PEFT saves beside the factors when it is targeted."""
    return LlamaForCausalLM(
        LlamaConfig(
            hidden_size=8,
            intermediate_size=12,
            num_hidden_layers=2,
            num_attention_heads=2,
            vocab_size=19,
            max_position_embeddings=16,
            use_cache=False,
        )
    )


@dataclass
class Kind:
    """A model, the configs of the adapters trained on it, and an input."""

    model: Callable[[], nn.Module]
    configs: list[Any]
    inputs: Callable[[], torch.Tensor]
    output: Callable[[Any], torch.Tensor] = field(default=lambda result: result)


def lora(targets: list[str], **fields: Any) -> LoraConfig:
    """A LoRA config with random factors, so that the update is not zero."""
    return LoraConfig(**{"r": 2, "lora_alpha": 3, "target_modules": targets, "init_lora_weights": False, **fields})


def numbers(*shape: int) -> Callable[[], torch.Tensor]:
    return lambda: torch.randn(*shape, dtype=torch.float64)


def tokens(count: int) -> Callable[[], torch.Tensor]:
    return lambda: torch.randint(0, count, (3, 5))


def logits(result: Any) -> torch.Tensor:
    return result.logits


def vera(targets: list[str], **fields: Any) -> VeraConfig:
    return VeraConfig(**{"r": 4, "target_modules": targets, **fields})


MLP = ["a", "b.c"]
KINDS = {
    "linear": Kind(Mlp, [lora(["a", "c"])] * 3, numbers(4, 6)),
    "one adapter": Kind(Mlp, [lora(["a", "c"])], numbers(4, 6)),
    "ranks and alphas differ": Kind(Mlp, [lora(["a", "c"], r=r, lora_alpha=r * r) for r in (1, 3, 4)], numbers(4, 6)),
    "R above m and n": Kind(Mlp, [lora(["a", "c"], r=5)] * 4, numbers(4, 6)),
    "rslora": Kind(Mlp, [lora(["a", "c"], r=4, use_rslora=True), lora(["a", "c"], r=3)], numbers(4, 6)),
    "patterns": Kind(
        Mlp,
        [
            lora(["a", "c"], rank_pattern={"^a": 3, "b.a": 1}, alpha_pattern={".*c": 7, "a": 2}, use_rslora=t == 1)
            for t in range(3)
        ],
        numbers(4, 6),
    ),
    "modules differ": Kind(Mlp, [lora(["c"]), lora(["b.a", "c"], r=3), lora(["a"])], numbers(4, 6)),
    "conv1d": Kind(lambda: Convs(1), [lora(["one", "two"], r=r) for r in (2, 3)], numbers(2, 3, 8)),
    "conv2d": Kind(lambda: Convs(2), [lora(["one", "two"], r=r) for r in (2, 3)], numbers(2, 3, 6, 6)),
    "conv3d": Kind(lambda: Convs(3), [lora(["one", "two"], r=r) for r in (2, 3)], numbers(1, 3, 4, 4, 4)),
    "embedding": Kind(Embedded, [lora(["emb", "out"], r=r) for r in (2, 3)], tokens(11)),
    "attention": Kind(Attention, [lora(["attn", "out"], r=r) for r in (1, 4)], numbers(2, 5, 8)),
    "gpt2 conv1d": Kind(
        gpt2, [lora(["c_attn", "c_proj", "c_fc"], r=r, fan_in_fan_out=True) for r in (2, 3)], tokens(23), logits
    ),
    "llama embeddings": Kind(llama, [lora(["embed_tokens", "q_proj", "down_proj"])] * 2, tokens(19), logits),
    "vera of one size": Kind(Square, [vera(["0", "1", "2"], d_initial=0.3), vera(["0", "2"])], numbers(4, 8)),
    "vera of many sizes": Kind(Mlp, [vera(["a", "c"])] * 2, numbers(4, 6)),
    "vera gpt2": Kind(gpt2, [vera(["c_fc"], fan_in_fan_out=True)] * 2, tokens(23), logits),
}


def seeded(kind: Kind) -> nn.Module:
    """The base model, the same at every call."""
    torch.manual_seed(7)
    return kind.model().eval()


def save_adapters(kind: Kind, base: nn.Module, folder: Path) -> list[Path]:
    """Adapters with random weights on copies of `base`, saved by PEFT."""
    paths = []
    for t, config in enumerate(kind.configs):
        torch.manual_seed(100 + t)
        with quiet():
            model = get_peft_model(copy.deepcopy(base), copy.deepcopy(config))
            for name, parameter in model.named_parameters():
                if "vera_lambda" in name:
                    nn.init.normal_(parameter)
            model.save_pretrained(str(folder / f"adapter{t}"))
        paths.append(folder / f"adapter{t}")
    return paths


def load(base: nn.Module, folder: Path) -> PeftModel:
    """The adapter on a copy of `base`, by PEFT, in float64 and ready to run. Most warnings on loading are errors."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message="Could not find a config file")
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing")  # PEFT calling transformers
        model = PeftModel.from_pretrained(copy.deepcopy(base).double(), str(folder))
    return model.double().eval()


def deltas(model: PeftModel) -> dict[str, torch.Tensor]:
    """PEFT's own ΔW of every adapted layer, by the name of the base model's weight, in the weight's own shape."""
    found = {}
    for name, module in model.base_model.model.named_modules():
        if isinstance(module, BaseTunerLayer):
            attention = isinstance(module.get_base_layer(), nn.MultiheadAttention)
            path = name.replace(".base_layer.", ".")
            found[f"{path}.in_proj_weight" if attention else f"{path}.weight"] = module.get_delta_weight(
                "default"
            ).detach()
    return found


# PEFT 0.21.2 adds the update of nn.MultiheadAttention's out_proj twice: merge() adds get_delta_weight itself and then
# calls out_proj.merge(), which adds it again. Inputs and outputs suffer alike, and every method is homogeneous, so the
# merged adapter still does in PEFT what merging the doubled updates would.
PEFT_ADDS_TWICE = "attn.out_proj.weight"


def added(base: nn.Module, changes: dict[str, torch.Tensor], alpha: float) -> nn.Module:
    """A float64 copy of `base` with alpha · ΔW added to its weights: no PEFT, no code of ours."""
    changes = {name: change * (2 if name == PEFT_ADDS_TWICE else 1) for name, change in changes.items()}
    model = copy.deepcopy(base).double()
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for name, change in changes.items():
            parameters[name] += alpha * change.to(parameters[name].dtype)
    return model


@contextmanager
def quiet() -> Iterator[None]:
    """PEFT warns while adapters are made, of things that these tests do on purpose."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
