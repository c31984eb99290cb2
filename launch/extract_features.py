"""Features of long videos with a trained model, for grounding and search: a safetensors file for
each clip and index.json. Stop it at any time; called again it goes on.

python launch/extract_features.py --run runs/paper --output features --clips nlq_val.json \\
    --queries nlq_val.json
deepspeed launch/extract_features.py …    on all GPUs of the machine
"""

import argparse
from pathlib import Path

from svitt_ego.command_line import one_line_errors, positive
from svitt_ego.durable_files import prepare_folder_of
from svitt_ego.evaluation.evaluated_run import (
    add_run_arguments,
    load_evaluated_run,
    read_run_recipe,
)


def parse_arguments() -> argparse.Namespace:
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("--output", type=Path, required=True, help="folder")
    parser.add_argument(
        "--clips", nargs="+", help="nlq_*.json (default: all videos of data.videos, whole)"
    )
    parser.add_argument(
        "--queries", nargs="+", default=[], help="nlq_*.json or .jsonl: write their tokens as well"
    )
    parser.add_argument("--window", type=positive, default=4, help="frames (default: 4, the paper)")
    parser.add_argument("--stride", type=positive, default=4, help="frames (default: 4, the paper)")
    parser.add_argument("--fps", type=positive, default=30, help="frames a second (default: 30)")
    parser.add_argument("--local_rank", help=argparse.SUPPRESS)  # the launcher's
    add_run_arguments(parser)
    return parser.parse_args()


def main() -> None:
    arguments = parse_arguments()
    with one_line_errors():
        recipe = read_run_recipe(arguments.run, arguments.overrides, arguments.frames)
        prepare_folder_of(arguments.output / "index.json")

        # Heavy imports: after the cheap checks.
        from svitt_ego.data.paths import check_video_root
        from svitt_ego.evaluation.features import extract_features, index_of_folder
        from svitt_ego.evaluation.query_features import write_query_features
        from svitt_ego.evaluation.ranks import Ranks
        from svitt_ego.evaluation.whole_videos import whole_videos
        from svitt_ego.evaluation.windows import Windowing
        from svitt_ego.grounding.queries import read_clips, read_queries

        check_video_root(recipe.data.videos)
        queries = {path: read_queries(path).texts for path in arguments.queries}
        if arguments.clips:
            clips, unreadable = read_clips(arguments.clips), {}
        else:
            clips, unreadable = whole_videos(recipe.data.videos)
        windowing = Windowing(arguments.window, arguments.stride, float(arguments.fps))
        ranks = Ranks.join()
        run = load_evaluated_run(arguments, recipe, ranks)
        index_of_folder(windowing, run, arguments.output)  # before any file of queries changes
        if ranks.is_first:
            for path, texts in queries.items():
                print(write_query_features(texts, path, run, arguments.output))
        done = extract_features(clips, windowing, run, arguments.output, ranks, unreadable)
        if done is not None:
            print(f"{done.summary()}\n{arguments.output / 'index.json'}")
        ranks.leave()


if __name__ == "__main__":
    main()
