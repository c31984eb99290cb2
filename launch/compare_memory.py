"""Compare the memory of dense and sparse training steps; leaves memory.csv, memory.json, PNG plots
and a self-contained report.html.

python launch/compare_memory.py --recipe demo --recompute none layers --output-dir runs/memory
"""

import argparse
from functools import partial
from pathlib import Path

from svitt_ego.command_line import add_overrides, one_line_errors, positive
from svitt_ego.config import load_recipe


def main() -> None:
    parser = argparse.ArgumentParser(description=" ".join(__doc__.split("\n\n")[0].split()))
    parser.add_argument(
        "--recipe",
        required=True,
        nargs="+",
        help="paths, or names in launch/recipes; the first one's dense opponents take part",
    )
    parser.add_argument("--output-dir", required=True, type=Path)
    parser.add_argument("--frames", type=positive, nargs="+", help="default: the recipe's")
    parser.add_argument(
        "--micro-batch", type=positive, nargs="+", help="anchors; default: the recipe's"
    )
    policies = ("none", "attention", "layers")
    parser.add_argument("--recompute", choices=policies, nargs="+", help="default: the recipe's")
    parser.add_argument("--steps", type=positive, default=5, help="timed steps of each (5)")
    parser.add_argument("--run-dir", type=Path, help="a training run, to add its curves")
    parser.add_argument("--egomcq", type=Path, help="JSON of evaluate_egomcq.py, to add its result")
    parser.add_argument(
        "--original",
        action="store_true",
        help="add what ours needs where the original's code was measured: two minutes",
    )
    add_overrides(parser)
    arguments = parser.parse_args()
    with one_line_errors():
        run(arguments)


def run(arguments: argparse.Namespace) -> None:
    recipes = [load_recipe(name, arguments.overrides) for name in arguments.recipe]
    # Heavy imports only once the arguments are known to be good.
    import torch

    from svitt_ego.profiling.compare import Variant, compare
    from svitt_ego.profiling.report import overhead, write_report
    from svitt_ego.profiling.run_summary import read_run
    from svitt_ego.profiling.variants import comparison_variants
    from svitt_ego.training.rehearsal import rehearse

    trained = None
    if arguments.run_dir or arguments.egomcq:
        trained = read_run(arguments.run_dir, arguments.egomcq)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    chosen = comparison_variants(
        recipes, arguments.frames, arguments.micro_batch, arguments.recompute
    )
    variants = [
        Variant(v.name, v.title, v.description, v.recipe.data.frames, build)
        for v in chosen
        for build in [partial(rehearse, v.recipe, device)]
    ]
    anchors = chosen[0].recipe.training.micro_batch_size
    about = {"recipe": ", ".join(recipe.name for recipe in recipes), "anchors": anchors}
    comparison = compare(variants, arguments.steps, about, lambda line: print(line, flush=True))
    if arguments.original:
        from svitt_ego.profiling.planning.against_original import beside_original, in_order

        print("the original's setting: planning", flush=True)
        comparison["original"] = [each.to_json() for each in in_order(list(beside_original()))]
    page = write_report(arguments.output_dir, comparison, trained)
    print(f"tracking made a step {overhead(comparison['variants'])} longer")
    print(f"report: {page}")


if __name__ == "__main__":
    main()
