"""Reading a checkpoint by path or hub name, and putting a converted state dict into a module."""

import json
from pathlib import Path
from typing import Any

from huggingface_hub import hf_hub_download
from torch import Tensor, nn

from svitt_ego.config.schema import ConfigError
from svitt_ego.models.misfit import misfit


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


def load_converted(module: nn.Module, state: dict[str, Tensor], key: str, name: str) -> None:
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
