"""Do damage to real runs, in every way we could think of, and see whether they survive.

    python launch/faults.py --output-dir runs/faults

Writes table.json there; exit code 1 if a fault is not survived as expected.
"""

import argparse
import json
import os
import re
import sys
from dataclasses import asdict
from pathlib import Path

from svitt_ego.command_line import one_line_errors, positive


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--output-dir",
        type=Path,
        default=Path("runs/faults"),
        help="emptied and filled (default: %(default)s)",
    )
    parser.add_argument(
        "--only",
        metavar="PATTERN",
        help="faults in whose name this regular expression is found (default: all)",
    )
    parser.add_argument(
        "--patience",
        metavar="SECONDS",
        type=positive,
        default=60,
        help="a launch that takes longer hangs; more for a busy machine (default: %(default)s)",
    )
    parser.add_argument("--page", type=Path, help="page whose table to replace, docs/training.md")
    return parser.parse_args()


def main() -> None:
    arguments = parse_arguments()
    with one_line_errors():
        from contextlib import closing

        from tqdm import tqdm

        from svitt_ego.config import ConfigError
        from svitt_ego.durable_files import write_atomically
        from svitt_ego.fault_suite.lab import Lab
        from svitt_ego.fault_suite.page import markdown
        from svitt_ego.fault_suite.suite import FAULTS, run_suite
        from svitt_ego.page_section import check_sections, replace_sections

        if arguments.page:
            check_sections([arguments.page], ["faults"])
        faults = tuple(fault for fault in FAULTS if re.search(arguments.only or "", fault.name))
        if not faults:
            names = ", ".join(fault.name for fault in FAULTS)
            raise ConfigError(f"--only {arguments.only}: no fault is called so; there are {names}")
        outcomes = []
        with closing(Lab(arguments.output_dir / "work", arguments.patience)) as lab:
            for outcome in tqdm(run_suite(lab, faults), total=len(faults), unit="fault"):
                outcomes.append(outcome)
                verdict = {True: "ok", False: "NOT OK", None: "not run"}[outcome.ok]
                tqdm.write(f"{verdict:8}{outcome.fault:30}{outcome.observed}")
                table = json.dumps([asdict(outcome) for outcome in outcomes], indent=2) + "\n"
                write_atomically(arguments.output_dir / "table.json", table)
        if arguments.page:
            replace_sections(arguments.page, {"faults": markdown(outcomes, os.cpu_count() or 1)})
        survived = sum(outcome.ok is True for outcome in outcomes)
        print(f"{survived} of {len(outcomes)} as expected: {arguments.output_dir / 'table.json'}")
        sys.exit(any(outcome.ok is False for outcome in outcomes))


if __name__ == "__main__":
    main()
