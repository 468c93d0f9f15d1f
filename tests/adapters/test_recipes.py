"""The settings of a merge as the command line has them: every one under its name, and as it was given."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import coremerge_ref as cm
from coremerge_ref.adapters.ready import Options
from coremerge_ref.adapters.recipes import recipe

PLAIN: dict[str, Any] = {
    "adapters": ["a", "b"], "output": "out", "method": "ta", "space": "core", "weights": None, "scale": 1.0,
    "rank": None, "ragged": False, "dtype": None, "include": [], "exclude": [], "rename": [], "allow_missing": False,
    "others": "refuse", "backend": "numpy", "device": None, "base": None, "dense": False,
}  # fmt: skip


def made(**fields: Any) -> dict[str, Any]:
    found = recipe(["a", Path("b")], Path("out"), Options(**{"method": "ta", **fields}), False, "refuse", None)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("given", "name", "value"),
    [
        ({"space": "full"}, "space", "full"),
        ({"scale": 2}, "scale", 2.0),
        ({"weights": (1, np.float32(0.5))}, "weights", [1.0, 0.5]),
        (
            {"weights": [{"match": "q", "values": [1, 2]}, {"match": "k", "values": [3, 4]}]}, "weights",
            [{"match": "q", "values": [1.0, 2.0]}, {"match": "k", "values": [3.0, 4.0]}],
        ),
        ({"dtype": "float16"}, "dtype", "float16"),
        ({"include": ("x",)}, "include", ["x"]),
        ({"exclude": ("y",)}, "exclude", ["y"]),
        ({"rename": ("u=v",)}, "rename", ["u=v"]),
        ({"allow_missing": True}, "allow_missing", True),
        ({"backend": "torch"}, "backend", "torch"),
        ({"device": "cuda:1"}, "device", "cuda:1"),
        ({"dense": True}, "dense", True),
        ({"into": Path("model")}, "into", "model"),
    ],
    ids=str,
)  # fmt: skip
def test_each_setting_has_its_place(given: dict[str, Any], name: str, value: Any) -> None:
    found = made(**given)
    found.pop("set")
    assert found == PLAIN | {name: value}
    assert json.loads(json.dumps(found)) == found


def test_arguments_beside_the_options_have_theirs() -> None:
    found = recipe(["a", "b"], "out", Options(method="ta"), True, "mean", Path("base"), "2GB") or {}
    found.pop("set")
    assert found == PLAIN | {"ragged": True, "others": "mean", "base": "base", "max_shard_size": "2GB"}


def test_parameters_are_set_by_the_name_of_their_stage_or_space() -> None:
    found = made(method="dare+ties", space=cm.Core("tucker"))
    assert found["method"] == "dare+ties"
    assert found["space"] == "core"
    assert found["set"]["core"] == {"basis": "tucker"}
    assert found["set"]["ties"]["density"] == 0.2
    assert None not in [value for values in found["set"].values() for value in values.values()]
    assert {} not in found["set"].values()


@pytest.mark.parametrize(
    "method",
    [lambda M: M.sum(0), [{"match": "q", "value": "ta"}], [{"match": "*", "value": "tsv"}]],
    ids=["a function", "by module", "by a pattern"],
)
def test_what_a_command_line_cannot_say_has_no_recipe(method: Any) -> None:
    assert recipe(["a"], "out", Options(method=method), False, "refuse", None) is None
