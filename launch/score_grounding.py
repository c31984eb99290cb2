"""Score a prediction file of Ego4D's NLQ challenge, and draw a clip's predictions against truth.

python launch/score_grounding.py --queries nlq_val.json --predictions runs/nlq/predictions.json
"""

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from svitt_ego.command_line import one_line_errors
from svitt_ego.config import ConfigError
from svitt_ego.durable_files import prepare_folder_of, write_atomically


def parse_arguments() -> argparse.Namespace:
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("--queries", required=True, help="nlq_val.json, or GroundNLQ's jsonl")
    parser.add_argument("--predictions", required=True, help="the challenge's prediction file")
    parser.add_argument("--output", type=Path, help="JSON file for the figures (default: none)")
    parser.add_argument("--timeline", metavar="CLIP_UID", help="clip to draw (default: none)")
    parser.add_argument(
        "--picture", type=Path, default=Path("timeline.png"), help="its PNG (default: timeline.png)"
    )
    return parser.parse_args()


def main() -> None:
    arguments = parse_arguments()
    with one_line_errors():
        run(arguments)


def run(arguments: argparse.Namespace) -> None:
    # Heavy imports only once the arguments are known to be good.
    from svitt_ego.grounding.prediction_file import read_predictions
    from svitt_ego.grounding.queries import read_queries
    from svitt_ego.grounding.score import score
    from svitt_ego.grounding.timeline import timeline
    from svitt_ego.profiling.plots import save_png

    queries = read_queries(arguments.queries)
    predictions = read_predictions(arguments.predictions)
    of_clip = [query for query in queries.usable if query.clip_uid == arguments.timeline]
    if arguments.timeline and not of_clip:
        raise ConfigError(f"{arguments.queries}: no query is about clip {arguments.timeline}")
    result = score(queries.usable, predictions, queries.left_out)
    print(f"{queries.summary()}\n{result.summary()}")
    if arguments.output:
        prepare_folder_of(arguments.output)
        write_atomically(arguments.output, json.dumps(asdict(result), indent=1) + "\n")
    if of_clip:
        prepare_folder_of(arguments.picture)
        save_png(timeline(of_clip, predictions), arguments.picture)
        print(f"timeline: {arguments.picture}")


if __name__ == "__main__":
    main()
