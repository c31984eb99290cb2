"""Write the narrations of long clips as queries, to pre-train a grounding model on.

python launch/narration_queries.py --metadata egoclip.csv --clips nlq_train.json \\
    --output narrations.jsonl
"""

import argparse
from pathlib import Path

from svitt_ego.command_line import one_line_errors
from svitt_ego.durable_files import prepare_folder_of


def parse_arguments() -> argparse.Namespace:
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("--metadata", required=True, help="egoclip.csv")
    parser.add_argument(
        "--clips", nargs="+", required=True, help="nlq_*.json: of training alone, or the score lies"
    )
    parser.add_argument("--output", type=Path, required=True, help="jsonl, GroundNLQ's format")
    return parser.parse_args()


def main() -> None:
    arguments = parse_arguments()
    with one_line_errors():
        # Heavy imports only once the arguments are known to be good.
        from svitt_ego.data.metadata import ClipTable
        from svitt_ego.grounding.narration_queries import narration_queries, write_queries
        from svitt_ego.grounding.queries import read_clips

        prepare_folder_of(arguments.output)
        clips = read_clips(arguments.clips)
        found = narration_queries(ClipTable.open(arguments.metadata, progress=True), clips)
        write_queries(arguments.output, found.queries)
        print(f"{arguments.output}: {found.summary()}")


if __name__ == "__main__":
    main()
