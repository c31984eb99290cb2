"""Reading a checkpoint by path or hub name, renaming its tensors, putting them into a module."""

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from huggingface_hub import hf_hub_download
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.utils import logging as transformers_logging

from svitt_ego.config.base import ConfigError
from svitt_ego.models.misfit import misfit

T = TypeVar("T")
State = dict[str, Tensor]
Names = Mapping[str, str]
"""Dotted prefixes of a checkpoint's names -> those of this project."""


def read_config(name: str, key: str) -> dict[str, Any]:
    """config.json of a local folder or hub repository.

    Raises:
        ConfigError: naming the recipe's `key`, the checkpoint and the mend.
    """
    try:
        folder = Path(name)
        path = folder / "config.json" if folder.is_dir() else hf_hub_download(name, "config.json")
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ConfigError(
            f"{key} = {name!r}: neither a folder with config.json nor a hub checkpoint that can "
            f"be reached ({reason}); give the path of a downloaded checkpoint"
        ) from None


def check_settings(
    config: Mapping[str, Any], expected: Mapping[str, Any], key: str, name: str
) -> None:
    """Settings that change what a model computes and that no tensor's shape would give away.

    Raises:
        ConfigError: the first that differs.
    """
    for setting, value in expected.items():
        if config.get(setting) != value:
            raise ConfigError(
                f"{key} = {name!r}: has {setting} = {config.get(setting)!r}, needed is {value!r}"
            )


def read_weights(read: Callable[[], T], key: str, name: str) -> T:
    """Call a library's reader; what it cannot read becomes one line.

    Raises:
        ConfigError: no weights, or weights that contradict the checkpoint's own config.json.
    """
    try:
        return read()
    except (OSError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"{key} = {name!r}: weights cannot be read ({reason})") from None


def read_transformers(
    architecture: type[PreTrainedModel], heads: str, key: str, name: str
) -> State:
    """State dict of a checkpoint of `transformers`, in its current names.

    The library fills what is missing with random weights and a warning; here that is an error.

    Args:
        heads: pattern of the checkpoint's tensors that `architecture` has no use for.

    Raises:
        ConfigError: unreadable, or naming missing and unknown tensors and those of other shapes.
    """
    verbosity = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()
    try:
        model, found = read_weights(
            lambda: architecture.from_pretrained(
                name, output_loading_info=True, ignore_mismatched_sizes=True
            ),
            key,
            name,
        )
    finally:
        transformers_logging.set_verbosity(verbosity)
    unknown = {k for k in found["unexpected_keys"] if not re.match(heads, k)}
    of_file: dict[str, tuple[int, ...]] = dict.fromkeys(unknown, ())
    of_model: dict[str, tuple[int, ...]] = dict.fromkeys(found["missing_keys"], ())
    for tensor, given, expected in found["mismatched_keys"]:
        of_file[tensor], of_model[tensor] = tuple(given), tuple(expected)
    if problems := misfit(of_model, of_file):
        raise ConfigError(f"{key} = {name!r} is not whole: {problems}")
    return model.state_dict()


def rename(source: Mapping[str, Tensor], layers: str, in_layer: Names, outside: Names) -> State:
    """Exchange names by their longest known prefix; unknown names stay, to be complained about.

    Args:
        layers: prefix before a layer's number; its tensors become `layers.{number}. …`.
        in_layer, outside: names after that number, and of tensors that belong to no layer.
    """
    renamed = {}
    for name, tensor in source.items():
        if name.startswith(layers):
            number, _, rest = name.removeprefix(layers).partition(".")
            renamed[f"layers.{number}.{_exchange(rest, in_layer)}"] = tensor
        else:
            renamed[_exchange(name, outside)] = tensor
    return renamed


def load_converted(module: nn.Module, state: State, key: str, name: str) -> None:
    """Load a state dict that must match exactly.

    Raises:
        ConfigError: naming the first missing and unknown keys and differing shapes.
    """
    problems = misfit(
        {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()},
        {name: tuple(tensor.shape) for name, tensor in state.items()},
    )
    if problems:
        raise ConfigError(f"{key} = {name!r} does not fit the recipe's model: {problems}")
    module.load_state_dict(state)


def _exchange(name: str, names: Names) -> str:
    known = [old for old in names if name == old or name.startswith(f"{old}.")]
    if not known:
        return name
    old = max(known, key=len)
    return names[old] + name.removeprefix(old)
