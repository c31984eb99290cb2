"""What the commands that use a trained model share: their arguments, and loading it."""

import argparse
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from svitt_ego.command_line import add_overrides, positive
from svitt_ego.config import ConfigError, Recipe, load_recipe

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from svitt_ego.evaluation.ranks import Ranks
    from svitt_ego.models import SViTTEgo

PRECISIONS = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}


def add_run_arguments(parser: argparse.ArgumentParser, default_run: Path | None = None) -> None:
    """--run, --tag, --frames, --all-edges, --precision and --set."""
    parser.add_argument(
        "--run",
        type=Path,
        required=default_run is None,
        default=default_run,
        help=f"run directory of a training{f' (default: {default_run})' if default_run else ''}",
    )
    parser.add_argument("--tag", help="checkpoint, e.g. step-000040 (default: the newest)")
    parser.add_argument(
        "--frames", type=positive, help="frames of a clip, any number (default: the recipe's)"
    )
    parser.add_argument(
        "--all-edges",
        action="store_true",
        help="attend to all patches that are left, where sparse edges were trained",
    )
    parser.add_argument(
        "--precision", choices=PRECISIONS, default="fp32", help="of the model (default: fp32)"
    )
    add_overrides(parser)


def read_run_recipe(run: Path, overrides: list[str], frames: int | None = None) -> Recipe:
    """The run's recipe, for clips of `frames` frames.

    Raises:
        ConfigError: not a run directory, or an override that would change the model.
    """
    for override in overrides:
        if not override.startswith(("data.", "evaluation.")):
            raise ConfigError(f"--set {override}: only data.* and evaluation.* can change here")
    from svitt_ego.training.run_directory import RunDirectory  # imports torch

    directory = RunDirectory(run)
    recipe = directory.read_recipe()  # names what is wrong with the run itself
    if frames is not None:
        longest = max(frames, recipe.model.video.max_frames)
        overrides = [*overrides, f"data.frames={frames}", f"model.video.max_frames={longest}"]
    return load_recipe(str(directory.recipe_file), overrides)


@dataclass(frozen=True)
class EvaluatedRun:
    """A trained model on this rank's device, in evaluation mode."""

    model: "SViTTEgo"
    tokenizer: "PreTrainedTokenizerBase"
    recipe: Recipe
    all_edges: bool
    """Whether patches attend to all others, though sparse edges were trained."""
    weights_sha256: str
    """Of the checkpoint's weights: what was made with them can tell."""


def load_evaluated_run(
    arguments: argparse.Namespace, recipe: Recipe, ranks: "Ranks"
) -> EvaluatedRun:
    """
    Args:
        arguments: of `add_run_arguments`.
        recipe: of `read_run_recipe`.

    Raises:
        ConfigError: no checkpoint, damaged weights, or no usable tokenizer.
    """
    import torch

    from svitt_ego.data.text import load_tokenizer
    from svitt_ego.evaluation.all_edges import with_all_edges
    from svitt_ego.evaluation.more_frames import with_max_frames
    from svitt_ego.training.run_directory import RunDirectory
    from svitt_ego.training.trained_model import load_trained_model

    tokenizer = load_tokenizer(recipe.data.tokenizer, recipe.model.text.vocabulary_size)
    model, _ = load_trained_model(arguments.run, arguments.tag)
    model = with_max_frames(model, recipe.model.video.max_frames)
    as_trained = model
    if arguments.all_edges:
        model = with_all_edges(model)
    all_edges = model is not as_trained
    model = model.to(ranks.device, getattr(torch, PRECISIONS[arguments.precision])).eval()
    directory = RunDirectory(arguments.run)
    with directory.weights_file(arguments.tag or str(directory.newest_tag())).open("rb") as file:
        weights_sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return EvaluatedRun(model, tokenizer, recipe, all_edges, weights_sha256)
