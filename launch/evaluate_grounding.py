"""Answer queries with a trained grounding model: the challenge's prediction file and its score.

python launch/evaluate_grounding.py --run runs/grounding --queries nlq_val.json \\
    --output predictions.json
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from svitt_ego.command_line import add_overrides, one_line_errors, positive
from svitt_ego.config import ConfigError, load_recipe
from svitt_ego.config.grounding import GroundingRecipe
from svitt_ego.durable_files import prepare_folder_of


def parse_arguments() -> argparse.Namespace:
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("--run", type=Path, required=True, help="run directory of a training")
    parser.add_argument("--tag", help="checkpoint, e.g. step-000040 (default: the newest)")
    parser.add_argument("--queries", help="nlq_*.json or jsonl (default: data.val_queries)")
    parser.add_argument("--output", type=Path, required=True, help="prediction file, JSON")
    parser.add_argument(
        "--batch-size", type=positive, default=1, help="queries at a time (default: 1)"
    )
    add_overrides(parser)
    return parser.parse_args()


def main() -> None:
    arguments = parse_arguments()
    with one_line_errors():
        run(arguments)


def check_overrides(overrides: Sequence[str]) -> None:
    """
    Raises:
        ConfigError: one is of what the model was trained with.
    """
    settable = sorted(key for key in GroundingRecipe.changeable if not key.startswith("model."))
    for override in overrides:
        key = override.partition("=")[0].strip()
        if key not in settable:
            raise ConfigError(
                f"--set {key}: a trained model cannot change it: it takes {', '.join(settable)}"
            )


def run(arguments: argparse.Namespace) -> None:
    # Heavy imports only once the arguments are known to be good.
    import torch

    from svitt_ego.grounding.answer import answer
    from svitt_ego.grounding.dataset import open_dataset
    from svitt_ego.grounding.prediction_file import write_predictions
    from svitt_ego.grounding.score import score
    from svitt_ego.grounding.trained_grounder import load_trained_grounder

    model, _ = load_trained_grounder(arguments.run, arguments.tag)
    of_run = str(arguments.run / "recipe.yaml")
    check_overrides(arguments.overrides)
    recipe = load_recipe(of_run, arguments.overrides, GroundingRecipe)
    path = arguments.queries or recipe.data.val_queries
    if path is None:
        raise ConfigError(f"{of_run}: data.val_queries: must be given, or --queries")
    prepare_folder_of(arguments.output)
    dataset = open_dataset(recipe, path, training=False)
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    answers = answer(model, dataset, recipe.decoding, arguments.batch_size)
    queries = dataset.queries
    write_predictions(arguments.output, queries.usable, answers)
    print(f"{queries.summary()}\n{arguments.output}")
    if all(query.window_s is not None for query in queries.usable):
        print(score(queries.usable, answers).summary())


if __name__ == "__main__":
    main()
