"""Generate EgoSynth, the default dataset: first-person videos, narrations and questions."""

import argparse
import sys
from pathlib import Path

from svitt_ego.data.synthetic.generate import generate
from svitt_ego.data.synthetic.sizes import SIZES


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--output", type=Path, required=True, help="folder of the dataset")
    parser.add_argument("--size", choices=SIZES, default="demo", help="how much to generate")
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same dataset")
    parser.add_argument("--workers", type=int, help="processes; without it one a usable CPU core")
    arguments = parser.parse_args()
    try:
        folder = generate(arguments.output, arguments.size, arguments.seed, arguments.workers)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"EgoSynth ({arguments.size}, seed {arguments.seed}) is in {folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
