"""Predict what the paper's recipes need on small GPUs, with the configs of ds_configs/, beside the
project's targets and the original code; leaves table.json and table.md.

python launch/plan_small_gpus.py --output-dir runs/plan
"""

import argparse
import json
from pathlib import Path

from tqdm import tqdm

from svitt_ego.command_line import one_line_errors, positive
from svitt_ego.durable_files import prepare_folder_of, write_atomically


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--output-dir", type=Path, default=Path("runs/plan"), help="for the tables (runs/plan)"
    )
    parser.add_argument(
        "--page",
        type=Path,
        action="append",
        default=[],
        help="page with sections <!-- plans -->, <!-- targets -->, <!-- originals --> to replace, "
        "all or some of them; repeatable",
    )
    parser.add_argument("--processes", type=positive, help="plans at a time (one for each core)")
    arguments = parser.parse_args()
    with one_line_errors():
        run(arguments.output_dir, arguments.page, arguments.processes)


def run(directory: Path, pages: list[Path], processes: int | None) -> None:
    prepare_folder_of(directory / "table.json")
    from svitt_ego.page_section import check_sections, replace_sections
    from svitt_ego.profiling.planning import against_original as original
    from svitt_ego.profiling.planning import small_gpus

    check_sections(pages, ("plans", "targets", "originals"))
    table, beside = [], []

    def write() -> None:
        result = {"plans": table, "originals": [each.to_json() for each in beside]}
        write_atomically(directory / "table.json", json.dumps(result, indent=1) + "\n")

    with tqdm(total=len(small_gpus.SETTINGS), desc="plans", unit="setting") as bar:
        for rows in small_gpus.rows(processes):
            table = small_gpus.in_order([*table, *rows])
            write()
            bar.update()
    with tqdm(total=len(original.PUBLISHED), desc="original", unit="variant") as bar:
        for found in original.beside_original(processes):
            beside = original.in_order([*beside, found])
            write()
            bar.update()
    sections = {
        "plans": small_gpus.markdown_of_fits(table),
        "targets": small_gpus.markdown_of_targets(table),
        "originals": original.markdown(beside),
    }
    text = "\n\n".join(sections.values())
    write_atomically(directory / "table.md", text + "\n")
    for page in pages:
        replace_sections(page, sections)
    print(text)


if __name__ == "__main__":
    main()
