"""Hold predicted memory against real, tracked steps on this machine's CPU; leaves check.json and
check.md.

python launch/check_plans.py --output-dir runs/plan
"""

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from tqdm import tqdm

from svitt_ego.command_line import one_line_errors
from svitt_ego.config import ConfigError
from svitt_ego.durable_files import prepare_folder_of, write_atomically

LARGEST_ERROR = 0.03
"""Of a prediction, either way."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--output-dir", type=Path, default=Path("runs/plan"), help="for the table")
    parser.add_argument(
        "--page",
        type=Path,
        action="append",
        default=[],
        help="page with a section <!-- checks --> to replace; repeatable",
    )
    arguments = parser.parse_args()
    with one_line_errors():
        run(arguments.output_dir, arguments.page)


def run(directory: Path, pages: list[Path]) -> None:
    prepare_folder_of(directory / "check.json")
    from svitt_ego.page_section import check_sections, replace_sections
    from svitt_ego.profiling.planning.check import CASES, check, markdown

    check_sections(pages, ["checks"])
    rows = []
    with tqdm(CASES, desc="checks", unit="case") as cases:
        for case in cases:
            cases.set_postfix_str(case.name)
            rows += check([case])
    result = [asdict(row) | {"error": row.error} for row in rows]
    write_atomically(directory / "check.json", json.dumps(result, indent=1) + "\n")
    write_atomically(directory / "check.md", markdown(rows) + "\n")
    for page in pages:
        replace_sections(page, {"checks": markdown(rows)})
    print(markdown(rows))
    wrong = [f"{row.case.name} {row.error:+.1%}" for row in rows if abs(row.error) > LARGEST_ERROR]
    if wrong:
        raise ConfigError(f"predictions off by more than {LARGEST_ERROR:.0%}: {', '.join(wrong)}")


if __name__ == "__main__":
    main()
