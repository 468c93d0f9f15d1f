"""Which rank and alpha a module has: PEFT's matching of `rank_pattern` and `alpha_pattern`, in time linear in the name.

A config names thousands of modules one by one, or a few by regular expressions that a stranger wrote. The first are
found in dictionaries; the second run on RE2, which does not backtrack.
"""

import math
import re
import warnings
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from coremerge_ref.errors import AdapterError, reason, shown

if TYPE_CHECKING:
    from coremerge_ref.adapters.config import AdapterConfig

PREFIX = "base_model.model."  # what PEFT puts before every module path in an adapter file
NESTED = ".base_layer."  # nn.MultiheadAttention: PEFT wraps out_proj inside the wrapped attention

# Expressions that are no plain names, and their length: configs in the wild have a handful of short ones. Steps are
# about 2 µs each; 20,000 modules under a dozen expressions take as many.
MOST_EXPRESSIONS, LONGEST, STEPS = 256, 1_000, 500_000
_EXACT = re.compile(r"\^((?:[^\\^$.*+?{}\[\]|()]|\\\W)*)")  # what exact_pattern writes
_NAME = re.compile(r"[^\\^$*+?{}\[\]|()]+")  # a name as PEFT writes it, whose dots match any character
_CLASSES = re.compile(r"\\[wWdDsSbB]|\(\?[a-zA-Z]*i")  # means ASCII alone to RE2


def module_path(name: str) -> str:
    """The module's path in the base model, which patterns and target_modules speak of."""
    return name.removeprefix(PREFIX)


def pattern_path(name: str) -> str:
    """The path PEFT matches patterns with: a module nested in another takes its parent's rank and alpha."""
    return module_path(name).split(NESTED)[0]


def matched(patterns: Mapping[str, float], path: str, default: float) -> float:
    """The value of the first pattern that matches, in the file's order, else `default`. AdapterError as in Patterns."""
    return (patterns if isinstance(patterns, Patterns) else Patterns(patterns)).first(path, default)


def scaling(name: str, config: "AdapterConfig") -> tuple[int, float]:
    """(rank, scaling) of a LoRA module as PEFT sets them: alpha / r, or alpha / √r for rsLoRA."""
    path = pattern_path(name)
    rank = int(matched(config.rank_pattern, path, config.rank))
    alpha = float(matched(config.alpha_pattern, path, config.lora_alpha))
    if rank == 0:
        raise AdapterError(
            f"module {shown(name)}: expected a rank of at least 1, as PEFT does; leave it out with --exclude"
        )
    return rank, alpha / (math.sqrt(rank) if config.use_rslora else rank)


class Patterns(dict[str, Any]):
    """Values by pattern, as in `rank_pattern`, with what finds the first that matches a path.

    As peft.utils.other.get_pattern_key (0.21.2): a pattern is a regular expression that must match the whole path or
    what follows one of its dots.
    """

    def __init__(self, patterns: Mapping[str, Any]) -> None:
        super().__init__(patterns)
        self._exact: dict[str, int] = {}  # path → place in the file's order
        self._names: dict[int, dict[tuple[int, ...], dict[str, int]]] = {}  # length → places of dots → name → place
        self._expressions: list[tuple[int, str]] = []
        self._values = list(self.values())
        self._steps = 0
        for place, key in enumerate(self):
            if exact := _EXACT.fullmatch(key):
                self._exact.setdefault(re.sub(r"\\(.)", r"\1", exact[1]), place)
            elif _NAME.fullmatch(key):
                dots = tuple(i for i, c in enumerate(key) if c == ".")
                self._names.setdefault(len(key), {}).setdefault(dots, {})[key] = place
            else:
                self._expressions.append((place, key))

    def first(self, path: str, default: Any) -> Any:
        """The value of the first pattern that matches `path`, else `default`.

        AdapterError for a pattern that is no regular expression, or none that runs in linear time, and for more of
        them than adapters have.
        """
        place = min(self._places(path), default=None)
        return self.get(path, default) if place is None else self._values[place]

    def _places(self, path: str) -> Iterator[int]:
        if path in self._exact:
            yield self._exact[path]
        for start in (0, *(i + 1 for i, c in enumerate(path) if c == ".")):
            for dots, names in self._names.get(len(path) - start, {}).items():
                self._count(1 + len(path) // 100)
                name = _with_dots(path[start:], dots)
                if name in names:
                    yield names[name]
        for (place, key), expression in zip(self._expressions, self._compiled, strict=True):
            self._count(1 + len(path) * expression.programsize // 2000)
            if not path.isascii() and _CLASSES.search(key):
                raise AdapterError(f"pattern {shown(key)}: cannot be matched with {shown(path)}; name the module")
            if expression.match(path):
                yield place

    @cached_property
    def _compiled(self) -> list[Any]:
        if len(self._expressions) > MOST_EXPRESSIONS:
            raise AdapterError(
                f"rank_pattern, alpha_pattern: expected at most {MOST_EXPRESSIONS} regular expressions, got "
                f"{len(self._expressions)}; name the modules instead"
            )
        return [_linear(key) for _, key in self._expressions]

    def _count(self, steps: int) -> None:
        self._steps += steps
        if self._steps > STEPS:
            raise AdapterError(
                f"rank_pattern, alpha_pattern: {len(self)} patterns take too long on so many modules; write names as "
                "'^' and the escaped path"
            )


def _linear(key: str) -> Any:
    """The expression as PEFT completes it, compiled by RE2."""
    import re2

    if len(key) > LONGEST:
        raise AdapterError(f"pattern {shown(key)}: expected at most {LONGEST} characters; name the modules instead")
    options = re2.Options()
    options.log_errors = False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            re.compile(rf"(.*\.)?({key})$")  # RE2 takes some that are none to PEFT
        return re2.compile(rf"(.*\.)?({key})$", options)
    except re2.error as error:
        text = error.args[0].decode("utf-8", "replace") if isinstance(error.args[0], bytes) else str(error)
        raise AdapterError(
            f"pattern {shown(key)}: expected a regular expression without lookaround and back references, which can "
            f"take for ever: {shown(text)}; name the modules instead"
        ) from error
    except (re.error, RecursionError, OverflowError, ValueError) as error:
        raise AdapterError(
            f"pattern {shown(key)}: expected a regular expression: {reason(error)}; correct the config"
        ) from error


def _with_dots(text: str, places: tuple[int, ...]) -> str:
    letters = list(text)
    for place in places:
        letters[place] = "."
    return "".join(letters)


def exact_pattern(path: str) -> str:
    """A pattern that matches `path` and nothing else.

    Anchored, because PEFT lets "layers.1.q" match "decoder.layers.1.q" too; escaped, because "." matches any character.
    """
    return "^" + re.escape(path)
