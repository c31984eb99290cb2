"""Check metadata against videos in parallel; leaves problems.tsv, and skip_list.txt, which a recipe
takes as data.skip_list.

python launch/check_data.py --recipe paper_1_3_56 --output-dir runs/check
"""

import argparse
from pathlib import Path

from svitt_ego.command_line import add_overrides, one_line_errors, positive
from svitt_ego.config import load_recipe
from svitt_ego.data.checking import check_data
from svitt_ego.data.metadata import ClipTable
from svitt_ego.data.paths import check_video_root, check_videos_found
from svitt_ego.data.skip_list import write_skip_list
from svitt_ego.data.worker_pool import usable_cpus
from svitt_ego.durable_files import prepare_folder_of


def main() -> None:
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("--recipe", required=True, help="path, or name in launch/recipes")
    parser.add_argument("--output-dir", required=True, type=Path)
    parser.add_argument(
        "--mode",
        choices=("fast", "full"),
        default="fast",
        help="fast: the containers' heads; full: decode every frame (default: fast)",
    )
    parser.add_argument("--workers", type=positive, default=usable_cpus(), help="default: CPUs")
    add_overrides(parser)
    arguments = parser.parse_args()
    with one_line_errors():
        run(arguments)


def run(arguments: argparse.Namespace) -> None:
    data = load_recipe(arguments.recipe, arguments.overrides).data
    check_video_root(data.videos)
    problems, skip_list = (arguments.output_dir / n for n in ("problems.tsv", "skip_list.txt"))
    prepare_folder_of(problems)
    table = ClipTable.open(data.metadata, data.strict, progress=True)
    check_videos_found(table, data.videos)
    checked = check_data(table, data.videos, arguments.mode, arguments.workers)
    checked.write(problems)
    write_skip_list(skip_list, table, checked.unreadable_rows.tolist())
    print(f"{checked.summary()}\nproblems: {problems}\nfor data.skip_list: {skip_list}")


if __name__ == "__main__":
    main()
