"""Say what this machine offers to a training run, and what to mend.

    python launch/doctor.py

On several nodes run it on each: `srun --ntasks-per-node=1 python launch/doctor.py`.
"""

import argparse
import sys
from pathlib import Path


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--output-dir",
        type=Path,
        default=Path("runs"),
        help="where the run is to be written (default: %(default)s)",
    )
    return parser.parse_args()


def main() -> None:
    arguments = parse_arguments()
    from svitt_ego.training.doctor import examine, table  # imports torch

    findings = list(examine(arguments.output_dir))
    print(table(findings))
    sys.exit(any(finding.fatal and finding.mend for finding in findings))


if __name__ == "__main__":
    main()
