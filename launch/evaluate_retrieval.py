"""Zero-shot retrieval with a trained model: EPIC-KITCHENS-100 multi-instance retrieval (mAP, nDCG),
or R@k between the clips and narrations of any EgoClip-format table. Prints a table, writes JSON.

python launch/evaluate_retrieval.py --run runs/paper --output epic.json \\
    --epic EPIC_100_retrieval_test.csv EPIC_100_retrieval_test_sentence.csv \\
    --set data.videos.root=/data/epic --set data.videos.layout=whole
python launch/evaluate_retrieval.py --run runs/paper --output recall.json --metadata egoclip.csv
"""

import argparse
from pathlib import Path

from svitt_ego.command_line import one_line_errors, positive
from svitt_ego.durable_files import prepare_folder_of, write_atomically
from svitt_ego.evaluation.evaluated_run import (
    add_run_arguments,
    load_evaluated_run,
    read_run_recipe,
)


def parse_arguments() -> argparse.Namespace:
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    task = parser.add_mutually_exclusive_group(required=True)
    task.add_argument("--epic", nargs=2, metavar=("CLIPS.csv", "SENTENCES.csv"), help="its files")
    task.add_argument("--metadata", help="table in EgoClip's format")
    parser.add_argument(
        "--clips",
        type=positive,
        default=1000,
        help="of the metadata, a seeded draw of so many (default: %(default)s)",
    )
    parser.add_argument("--output", type=Path, required=True, help="JSON file for the figures")
    parser.add_argument("--local_rank", help=argparse.SUPPRESS)  # the launcher's
    add_run_arguments(parser)
    return parser.parse_args()


def main() -> None:
    arguments = parse_arguments()
    with one_line_errors():
        recipe = read_run_recipe(arguments.run, arguments.overrides, arguments.frames)
        prepare_folder_of(arguments.output)

        # Heavy imports: after the cheap checks.
        from svitt_ego.data.metadata import ClipTable
        from svitt_ego.data.paths import check_video_root
        from svitt_ego.evaluation.clip_reading import reading_of
        from svitt_ego.evaluation.epic_kitchens import read_epic_kitchens
        from svitt_ego.evaluation.narrated_clips import narrated_clips
        from svitt_ego.evaluation.ranks import Ranks
        from svitt_ego.evaluation.retrieval import evaluate_retrieval

        check_video_root(recipe.data.videos)
        if arguments.epic:
            task = read_epic_kitchens(*arguments.epic)
        else:
            table = ClipTable.open(arguments.metadata)
            clean = recipe.data.clean_narrations
            task = narrated_clips(table, arguments.clips, recipe.seed, clean)
        ranks = Ranks.join()
        run = load_evaluated_run(arguments, recipe, ranks)
        max_tokens = recipe.data.max_text_tokens
        result = evaluate_retrieval(
            task, reading_of(recipe), run.model, run.tokenizer, max_tokens, ranks
        )
        if result is not None:
            write_atomically(arguments.output, result.to_json())
            print(f"{result.summary()}\nfigures: {arguments.output}")
        ranks.leave()


if __name__ == "__main__":
    main()
