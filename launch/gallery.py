"""See a trained model: the patches it keeps of a clip, its attention's pattern, and a search in the
videos it was trained on. Writes pictures, an index of the videos and a page.

python launch/gallery.py --run runs/paper --row 7 --output runs/gallery
"""

import argparse
from pathlib import Path

from svitt_ego.command_line import one_line_errors
from svitt_ego.durable_files import prepare_folder_of
from svitt_ego.evaluation.evaluated_run import (
    add_run_arguments,
    load_evaluated_run,
    read_run_recipe,
)


def parse_arguments() -> argparse.Namespace:
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("--row", type=int, default=0, help="of data.metadata, from 0 (default: 0)")
    parser.add_argument("--query", help="to search (default: the row's narration)")
    parser.add_argument("--output", type=Path, default=Path("runs/gallery"), help="folder")
    add_run_arguments(parser, default_run=Path("runs/demo/training"))
    return parser.parse_args()


def main() -> None:
    arguments = parse_arguments()
    with one_line_errors():
        recipe = read_run_recipe(arguments.run, arguments.overrides, arguments.frames)
        prepare_folder_of(arguments.output / "index.html")

        # Heavy imports: after the cheap checks.
        from svitt_ego.evaluation.gallery import make_gallery
        from svitt_ego.evaluation.ranks import Ranks

        run = load_evaluated_run(arguments, recipe, Ranks.join())
        print(make_gallery(run, arguments.row, arguments.query, arguments.output))


if __name__ == "__main__":
    main()
