"""Generate EgoSynth-NLQ: long first-person videos, narrations and queries in Ego4D's formats."""

import argparse
from pathlib import Path

from svitt_ego.command_line import one_line_errors
from svitt_ego.data.synthetic.nlq.generate import generate_nlq
from svitt_ego.data.synthetic.nlq.sizes import NLQ_SIZES


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--output", type=Path, required=True, help="folder of the dataset")
    parser.add_argument("--size", choices=NLQ_SIZES, default="demo", help="how much to generate")
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same dataset")
    parser.add_argument("--workers", type=int, help="processes; without it one a usable CPU core")
    arguments = parser.parse_args()
    with one_line_errors():
        folder = generate_nlq(arguments.output, arguments.size, arguments.seed, arguments.workers)
    print(f"EgoSynth-NLQ ({arguments.size}, seed {arguments.seed}) is in {folder}")


if __name__ == "__main__":
    main()
