"""Score a trained model on EgoMCQ: prints the inter- and intra-video accuracy, writes every answer.
Of the run's recipe, data.* and evaluation.* can be set anew.

python launch/evaluate_egomcq.py --run runs/paper --questions egomcq.json --output mcq.json
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from svitt_ego.command_line import add_overrides, one_line_errors
from svitt_ego.config import ConfigError, Recipe, load_recipe
from svitt_ego.durable_files import prepare_folder_of, write_atomically

if TYPE_CHECKING:
    from svitt_ego.evaluation.egomcq import McqResult


def parse_arguments() -> argparse.Namespace:
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("--run", type=Path, required=True, help="run directory of a training")
    parser.add_argument("--tag", help="checkpoint, e.g. step-000040 (default: the newest)")
    parser.add_argument("--questions", help="egomcq.json (default: the recipe's evaluation.egomcq)")
    parser.add_argument("--output", type=Path, required=True, help="JSON file for every answer")
    add_overrides(parser)
    return parser.parse_args()


def read_run_recipe(run: Path, overrides: list[str]) -> Recipe:
    """Raises:
    ConfigError: not a run directory, or an override that would change the model.
    """
    for override in overrides:
        if not override.startswith(("data.", "evaluation.")):
            raise ConfigError(f"--set {override}: only data.* and evaluation.* can change here")
    from svitt_ego.training.run_directory import RunDirectory  # imports torch

    directory = RunDirectory(run)
    directory.read_recipe()  # names what is wrong with the run itself
    return load_recipe(str(directory.recipe_file), overrides)


def main() -> None:
    arguments = parse_arguments()
    with one_line_errors():
        recipe = read_run_recipe(arguments.run, arguments.overrides)
        path = arguments.questions or recipe.evaluation.egomcq
        if path is None:
            raise ConfigError("the run's recipe has no evaluation.egomcq: give --questions")
        prepare_folder_of(arguments.output)
        result = evaluate(arguments.run, arguments.tag, recipe, path)
        write_atomically(arguments.output, result.to_json())
        print(f"{result.summary()}\nevery answer: {arguments.output}")


def evaluate(run: Path, tag: str | None, recipe: Recipe, questions_path: str) -> "McqResult":
    # Heavy imports: after the cheap checks.
    import torch

    from svitt_ego.data.paths import check_video_root
    from svitt_ego.data.text import load_tokenizer
    from svitt_ego.evaluation.egomcq import evaluate_egomcq
    from svitt_ego.evaluation.embedding import embedders, reading_of
    from svitt_ego.evaluation.mcq_questions import read_questions
    from svitt_ego.training.trained_model import load_trained_model

    questions = read_questions(questions_path, recipe.data.clean_narrations)
    check_video_root(recipe.data.videos)
    tokenizer = load_tokenizer(recipe.data.tokenizer, recipe.model.text.vocabulary_size)
    model, _ = load_trained_model(run, tag)
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    return evaluate_egomcq(
        questions, reading_of(recipe), tokenizer, recipe.data.max_text_tokens, *embedders(model)
    )


if __name__ == "__main__":
    main()
