"""Temporal grounding in small, from raw video to a score: dataset, video-text model, features,
GroundNLQ trained on narrations and queries, and the rows that it must beat."""

import argparse
import signal
import subprocess
import sys
from pathlib import Path

from svitt_ego.command_line import one_line_errors, positive
from svitt_ego.nlq.pipeline import Pipeline
from svitt_ego.nlq.summary import table


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--output-dir", type=Path, default=Path("runs/nlq"), help="results")
    parser.add_argument(
        "--num-accelerators",
        type=positive,
        help="processes of steps 2 and 3; without it two, or the one GPU",
    )
    arguments = parser.parse_args()
    # So that trainings are stopped too, and leave checkpoints.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    with one_line_errors():
        try:
            summary = Pipeline(arguments.output_dir, arguments.num_accelerators).run()
        except subprocess.CalledProcessError as error:
            sys.exit(f"error: the step above failed with exit code {error.returncode}")
        except KeyboardInterrupt:
            sys.exit("stopped: the same command goes on")
        print(f"\n{table(summary)}")


if __name__ == "__main__":
    main()
