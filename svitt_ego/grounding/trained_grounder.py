"""The grounding model that a run has trained."""

from pathlib import Path

from svitt_ego.config import ConfigError
from svitt_ego.config.grounding import GroundingRecipe
from svitt_ego.grounding.build import build_grounder
from svitt_ego.grounding.model import Grounder
from svitt_ego.models.weights import load_weights
from svitt_ego.training.run_directory import RunDirectory
from svitt_ego.training.trained_model import trained_weights


def load_trained_grounder(
    run: str | Path, tag: str | None = None
) -> tuple[Grounder, GroundingRecipe]:
    """In evaluation mode and fp32, with the recipe it was trained by.

    Args:
        tag: a checkpoint's folder, such as step-000040; the newest if not given.

    Raises:
        ConfigError: no run of grounding, no such checkpoint, or damaged weights.
    """
    directory = RunDirectory(run, GroundingRecipe)
    recipe = directory.read_recipe()
    model = build_grounder(recipe.model)
    load_weights(model, trained_weights(directory, tag))
    return model.eval(), recipe


def start_from(run: str | Path, model: Grounder) -> None:
    """Give a new model the weights of a run's newest checkpoint.

    Raises:
        ConfigError: as `load_trained_grounder`, or weights of another architecture.
    """
    try:
        load_weights(model, trained_weights(RunDirectory(run, GroundingRecipe)))
    except ConfigError as error:
        raise ConfigError(f"model.pretrained = {str(run)!r}: {error}") from None
