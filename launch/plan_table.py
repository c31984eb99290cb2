"""Predict the largest micro-batches of the paper's recipes on small GPUs, with the configs of
ds_configs/; leaves table.json and table.md.

python launch/plan_table.py --output-dir runs/plan
"""

import argparse
import json
from pathlib import Path

from tqdm import tqdm

from svitt_ego.command_line import one_line_errors
from svitt_ego.durable_files import prepare_folder_of, write_atomically


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--output-dir", type=Path, default=Path("runs/plan"), help="for the tables")
    parser.add_argument("--page", type=Path, help="page whose table to replace, docs/memory.md")
    arguments = parser.parse_args()
    with one_line_errors():
        run(arguments.output_dir, arguments.page)


def run(directory: Path, page: Path | None) -> None:
    prepare_folder_of(directory / "table.json")
    from svitt_ego.profiling.planning.document import replace_section
    from svitt_ego.profiling.planning.plan_table import SETTINGS, markdown, rows

    table = []
    with tqdm(SETTINGS, desc="plans", unit="setting") as settings:
        for setting in settings:
            table += rows([setting], settings.set_postfix_str)
            write_atomically(directory / "table.json", json.dumps(table, indent=1) + "\n")
    text = markdown(table)
    write_atomically(directory / "table.md", text + "\n")
    if page:
        replace_section(page, "plans", text)
    print(text)


if __name__ == "__main__":
    main()
