"""A trained model as a folder that can be passed on: nothing in it can run code.

config.json          the model's recipe, what it takes in, where it comes from
model.safetensors    its weights
tokenizer/           of its texts, in Hugging Face's format
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError
from transformers import PreTrainedTokenizerBase

from svitt_ego.config.base import ConfigError
from svitt_ego.config.schema import Model as ModelRecipe
from svitt_ego.durable_files import write_atomically
from svitt_ego.models.weights import load_weights, save_weights

if TYPE_CHECKING:
    from svitt_ego.models.svitt import SViTTEgo

CONFIG, WEIGHTS, TOKENIZER = "config.json", "model.safetensors", "tokenizer"
PICKLES = (".pt", ".pth", ".bin", ".pkl", ".ckpt")
"""Endings of files that run code of whoever made them when they are loaded."""


def save_folder(
    model: "SViTTEgo", tokenizer: PreTrainedTokenizerBase, about: dict[str, Any], folder: Path
) -> None:
    """
    Args:
        about: kept in config.json beside the model's recipe: frames of a clip, say.

    Raises:
        ConfigError: the folder holds something already, or cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise ConfigError(f"{folder}: is not empty: give another --output")
        tokenizer.save_pretrained(folder / TOKENIZER)
        save_weights(model.state_dict(), folder / WEIGHTS)
        recipe = model.recipe.model_dump(mode="json")
        for part in (recipe, recipe["video"], recipe["text"]):
            part["pretrained"] = None  # the weights are here
        write_atomically(folder / CONFIG, json.dumps(about | {"model": recipe}, indent=2) + "\n")
    except OSError as error:
        raise ConfigError(f"{folder}: cannot be written: {error.strerror}") from None


def load_folder(folder: Path) -> tuple[ModelRecipe, Path]:
    """The model's recipe, and the path of its weights.

    Raises:
        ConfigError: something is missing or damaged; pickled weights are named and refused.
    """
    config = folder / CONFIG
    try:
        recipe = ModelRecipe.model_validate(json.loads(config.read_text("utf-8"))["model"])
    except FileNotFoundError:
        raise ConfigError(f"{config}: missing: make the folder with launch/export.py") from None
    except OSError as error:
        raise ConfigError(f"{config}: cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError) as error:
        reason = "not a model's recipe" if isinstance(error, ValidationError) else "damaged"
        raise ConfigError(f"{config}: {reason}: make the folder with launch/export.py") from None
    if not (folder / WEIGHTS).is_file():
        pickles = sorted(path.name for path in folder.iterdir() if path.suffix in PICKLES)
        refused = f"; refused {', '.join(pickles)}: loading a pickle runs its code"
        raise ConfigError(f"{folder / WEIGHTS}: missing{refused if pickles else ''}")
    return recipe, folder / WEIGHTS


def load_model(model: "SViTTEgo", weights: Path) -> "SViTTEgo":
    """Weights into a model of their recipe, which is then ready to be used, in fp32."""
    load_weights(model, weights)
    return model.float().eval()
