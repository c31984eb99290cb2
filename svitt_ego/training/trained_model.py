"""The model that a run has trained."""

from pathlib import Path

from svitt_ego.config import ConfigError, Recipe
from svitt_ego.models import SViTTEgo
from svitt_ego.models.weights import load_weights
from svitt_ego.training.manifest import MANIFEST, Manifest, check_file
from svitt_ego.training.run_directory import WEIGHTS, RunDirectory


def load_trained_model(run: str | Path, tag: str | None = None) -> tuple[SViTTEgo, Recipe]:
    """The model of a run directory, in evaluation mode and fp32, and the recipe it was trained by.

    Args:
        tag: a checkpoint's folder, such as step-000040; the newest if not given.

    Raises:
        ConfigError: no run, no such checkpoint, weights that were damaged or do not fit the
            recipe.
    """
    directory = RunDirectory(run)
    recipe = directory.read_recipe()
    weights = trained_weights(directory, tag)
    model = SViTTEgo(recipe.model)
    load_weights(model, weights)
    return model.eval(), recipe


def trained_weights(directory: RunDirectory, tag: str | None = None) -> Path:
    """The weights of a run's checkpoint, found to be as they were written.

    Raises:
        ConfigError: no such checkpoint, or it was damaged.
    """
    tag = tag or directory.newest_tag()
    if tag is None or not directory.weights_file(tag).is_file():
        found = sorted(path.parent.name for path in directory.weights_files())
        wanted = f"no checkpoint {tag!r}" if tag else "no checkpoint yet"
        raise ConfigError(
            f"{directory.path}: has {wanted}; there are: {', '.join(found) or 'none'}"
        )
    folder = directory.checkpoints / tag
    if (folder / MANIFEST).exists():
        check_file(folder, WEIGHTS, Manifest.read(folder).files[WEIGHTS])
    return folder / WEIGHTS
