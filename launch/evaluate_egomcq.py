"""Score a trained model on EgoMCQ: prints the inter- and intra-video accuracy of the dual encoder,
the fusion encoder and both together, and writes every answer. Of the run's recipe, data.* and
evaluation.* can be set anew.

python launch/evaluate_egomcq.py --run runs/paper --questions egomcq.json --output mcq.json
deepspeed launch/evaluate_egomcq.py …    on all GPUs of the machine
"""

import argparse
from pathlib import Path

from svitt_ego.command_line import one_line_errors
from svitt_ego.config import ConfigError
from svitt_ego.durable_files import prepare_folder_of, write_atomically
from svitt_ego.evaluation.evaluated_run import (
    add_run_arguments,
    load_evaluated_run,
    read_run_recipe,
)


def parse_arguments() -> argparse.Namespace:
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("--questions", help="egomcq.json (default: the recipe's evaluation.egomcq)")
    parser.add_argument("--output", type=Path, required=True, help="JSON file for every answer")
    parser.add_argument(
        "--frame-order",
        choices=["as_filmed", "shuffled", "still"],
        default="as_filmed",
        help="shuffled, or still (the middle frame repeated): does the model look at motion?",
    )
    parser.add_argument("--local_rank", help=argparse.SUPPRESS)  # the launcher's
    add_run_arguments(parser)
    return parser.parse_args()


def main() -> None:
    arguments = parse_arguments()
    with one_line_errors():
        recipe = read_run_recipe(arguments.run, arguments.overrides, arguments.frames)
        path = arguments.questions or recipe.evaluation.egomcq
        if path is None:
            raise ConfigError("the run's recipe has no evaluation.egomcq: give --questions")
        prepare_folder_of(arguments.output)

        # Heavy imports: after the cheap checks.
        from svitt_ego.data.paths import check_video_root
        from svitt_ego.evaluation.clip_reading import reading_of
        from svitt_ego.evaluation.egomcq import evaluate_egomcq
        from svitt_ego.evaluation.mcq_questions import read_questions
        from svitt_ego.evaluation.ranks import Ranks

        questions = read_questions(path, recipe.data.clean_narrations)
        check_video_root(recipe.data.videos)
        ranks = Ranks.join()
        run = load_evaluated_run(arguments, recipe, ranks)
        result = evaluate_egomcq(
            questions,
            reading_of(recipe, arguments.frame_order),
            run.model,
            run.tokenizer,
            recipe.data.max_text_tokens,
            with_fusion=recipe.objectives.vtm.weight > 0,
            ranks=ranks,
        )
        if result is not None:
            write_atomically(arguments.output, result.to_json())
            print(f"{result.summary()}\nevery answer: {arguments.output}")
        ranks.leave()


if __name__ == "__main__":
    main()
