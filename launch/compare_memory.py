"""Compare the memory of dense and sparse training steps; leaves memory.csv, memory.json, PNG plots
and a self-contained report.html.

python launch/compare_memory.py --recipe demo --output-dir runs/memory
"""

import argparse
from functools import partial
from pathlib import Path

from svitt_ego.command_line import add_overrides, one_line_errors, positive
from svitt_ego.config import load_recipe


def main() -> None:
    parser = argparse.ArgumentParser(description=" ".join(__doc__.split("\n\n")[0].split()))
    parser.add_argument("--recipe", required=True, help="path, or name in launch/recipes")
    parser.add_argument("--output-dir", required=True, type=Path)
    parser.add_argument("--frames", type=positive, nargs="+", help="default: the recipe's")
    parser.add_argument("--micro-batch", type=positive, help="anchors; default: the recipe's")
    parser.add_argument("--steps", type=positive, default=5, help="timed steps of each (5)")
    parser.add_argument("--run-dir", type=Path, help="a training run, to add its curves")
    parser.add_argument("--egomcq", type=Path, help="JSON of evaluate_egomcq.py, to add its result")
    add_overrides(parser)
    arguments = parser.parse_args()
    with one_line_errors():
        run(arguments)


def run(arguments: argparse.Namespace) -> None:
    overrides = list(arguments.overrides)
    if arguments.micro_batch:
        overrides.append(f"training.micro_batch_size={arguments.micro_batch}")
    recipe = load_recipe(arguments.recipe, overrides)
    # Heavy imports only once the arguments are known to be good.
    import torch

    from svitt_ego.profiling.compare import Variant, compare
    from svitt_ego.profiling.report import write_report
    from svitt_ego.profiling.run_summary import read_run
    from svitt_ego.profiling.variants import variants_of, with_frames
    from svitt_ego.training.rehearsal import rehearse

    trained = None
    if arguments.run_dir or arguments.egomcq:
        trained = read_run(arguments.run_dir, arguments.egomcq)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    frames = arguments.frames or [recipe.data.frames]
    table_frames = max(*frames, recipe.model.video.max_frames)
    variants = [
        Variant(v.name, v.title, v.description, count, partial(rehearse, v.recipe, device))
        for count in frames
        for v in variants_of(with_frames(recipe, count, table_frames))
    ]
    about = {"recipe": recipe.name, "anchors": recipe.training.micro_batch_size}
    comparison = compare(variants, arguments.steps, about, lambda line: print(line, flush=True))
    page = write_report(arguments.output_dir, comparison, trained)
    print(f"report: {page}")


if __name__ == "__main__":
    main()
