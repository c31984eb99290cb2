"""Our own weights on disk: one safetensors file, nothing that could run code."""

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from svitt_ego.config.base import ConfigError
from svitt_ego.models.misfit import misfit


def save_weights(weights: Mapping[str, Tensor], path: Path) -> None:
    """A model's `state_dict`, in the precision it has."""
    save_file({name: tensor.contiguous() for name, tensor in weights.items()}, path)
    path.chmod(0o644)  # safetensors leaves it readable to its owner alone


def check_weights(model: nn.Module, path: Path) -> None:
    """Compare names and shapes with a file, without reading the weights.

    Raises:
        ConfigError: not a safetensors file, or which keys and shapes do not fit the model.
    """
    own = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    try:
        with safe_open(path, framework="pt") as file:
            names = file.keys()
            saved = {name: tuple(file.get_slice(name).get_shape()) for name in names}
    except (SafetensorError, OSError) as error:
        raise ConfigError(f"{path}: not a readable safetensors file ({error})") from None
    problems = misfit(own, saved)
    if problems:
        raise ConfigError(f"{path}: of another architecture than the recipe's model: {problems}")


def load_weights(model: nn.Module, path: Path) -> None:
    """Into a model of any precision.

    Raises:
        ConfigError: as `check_weights`.
    """
    check_weights(model, path)
    model.load_state_dict(load_file(path))
