"""Time, FLOP utilisation and memory of training steps with dense and with sparse attention; leaves
encoders.json, encoders_memory.json and encoders.png.

python launch/bench_encoders.py --frames 4 8 16 32 64 --batch 1
"""

import argparse
from pathlib import Path

from svitt_ego.command_line import add_overrides, one_line_errors, positive
from svitt_ego.config import ConfigError, load_recipe


def main() -> None:
    parser = argparse.ArgumentParser(description=" ".join(__doc__.split("\n\n")[0].split()))
    parser.add_argument("--recipe", default="paper_1_3_56", help="path, or name in launch/recipes")
    parser.add_argument("--output-dir", type=Path, default=Path("runs/bench"))
    parser.add_argument("--frames", type=positive, nargs="+", help="default: the recipe's")
    parser.add_argument(
        "--batch",
        type=positive,
        default=4,
        help="clips at the recipe's frames; fewer of longer clips, at least 1 (4)",
    )
    parser.add_argument("--rounds", type=positive, default=7, help="timed steps of each (7)")
    parser.add_argument("--dtype", choices=("auto", "bf16", "fp32"), default="auto")
    parser.add_argument("--variants", nargs="+", default=[], metavar="NAME", help="default: all")
    parser.add_argument(
        "--predicted-batch",
        type=int,
        default=8,
        help="clips for which memory in bf16 is predicted; 0: no prediction (8)",
    )
    add_overrides(parser)
    arguments = parser.parse_args()
    with one_line_errors():
        run(arguments)


def run(arguments: argparse.Namespace) -> None:
    recipe = load_recipe(arguments.recipe, arguments.overrides)
    # Heavy imports only once the arguments are known to be good.
    from svitt_ego.profiling.encoder_bench import Plan, bench, best_precision

    plan = Plan(
        recipe=recipe,
        frames=arguments.frames or [recipe.data.frames],
        batch=arguments.batch,
        rounds=arguments.rounds,
        precision=best_precision() if arguments.dtype == "auto" else arguments.dtype,
        predicted_batch=arguments.predicted_batch,
        only=arguments.variants,
    )
    try:
        text = bench(plan, arguments.output_dir)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    print(f"\n{text}\n\nresults: {arguments.output_dir}")


if __name__ == "__main__":
    main()
