"""Find moments in a folder of videos by what happens in them. --index embeds the videos, once, and
goes on where it was stopped; --query prints the moments most like it and draws a contact sheet.

python launch/search.py --run runs/paper --index /data/videos --output runs/search
python launch/search.py --run runs/paper --query "cuts the onion" --output runs/search
"""

import argparse
import re
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
    parser.add_argument("--index", metavar="FOLDER", help="videos, in the layout of data.videos")
    parser.add_argument("--query", nargs="+", default=[], help="what happens; one sentence or more")
    parser.add_argument("--output", type=Path, default=Path("runs/search"), help="index, pictures")
    parser.add_argument("--top", type=positive, default=6, help="moments (default: 6)")
    parser.add_argument("--window", type=positive, default=60, help="frames (default: 60)")
    parser.add_argument("--stride", type=positive, default=30, help="frames (default: 30)")
    parser.add_argument("--fps", type=positive, default=30, help="frames a second (default: 30)")
    parser.add_argument("--local_rank", help=argparse.SUPPRESS)  # the launcher's
    add_run_arguments(parser)
    arguments = parser.parse_args()
    if not arguments.index and not arguments.query:
        parser.error("give --index, --query or both")
    return arguments


def main() -> None:
    arguments = parse_arguments()
    with one_line_errors():
        if arguments.index:
            arguments.overrides.append(f"data.videos.root={arguments.index}")
        recipe = read_run_recipe(arguments.run, arguments.overrides, arguments.frames)
        prepare_folder_of(arguments.output / "index.json")

        # Heavy imports: after the cheap checks.
        from svitt_ego.evaluation.contact_sheet import search_and_draw
        from svitt_ego.evaluation.features import extract_features
        from svitt_ego.evaluation.ranks import Ranks
        from svitt_ego.evaluation.whole_videos import whole_videos
        from svitt_ego.evaluation.windows import Windowing

        ranks = Ranks.join()
        if arguments.index:
            clips, unreadable = whole_videos(recipe.data.videos)
        run = load_evaluated_run(arguments, recipe, ranks)
        if arguments.index:
            windowing = Windowing(arguments.window, arguments.stride, float(arguments.fps))
            done = extract_features(clips, windowing, run, arguments.output, ranks, unreadable)
            if done is not None:
                print(f"{done.summary()}\n{arguments.output / 'index.json'}")
        for query in arguments.query if ranks.is_first else ():
            name = re.sub(r"\W+", "-", query).strip("-") or "query"
            picture = arguments.output / f"{name}.png"
            print(search_and_draw(query, arguments.output, run, arguments.top, picture))
        ranks.leave()


if __name__ == "__main__":
    main()
