"""What the commands that train share: their arguments."""

import argparse
from typing import Any

from svitt_ego.command_line import add_overrides, positive


def parse_training_arguments(description: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--recipe", required=True, help="path of a recipe, or a name from launch/recipes"
    )
    parser.add_argument("--deepspeed_config", required=True, help="DeepSpeed JSON, see ds_configs/")
    parser.add_argument("--output-dir", required=True, help="run directory")
    parser.add_argument(
        "--resume",
        choices=["auto"],
        help="auto: continue from the newest checkpoint in the run directory, if there is one",
    )
    add_overrides(parser)
    parser.add_argument(
        "--max-steps",
        type=positive,
        help="stop after this step (default: the end of the last epoch)",
    )
    parser.add_argument(
        "--memory-snapshot",
        action="store_true",
        help="on a GPU, leave the allocator's history in the run directory",
    )
    parser.add_argument("--local_rank", type=int, help="given by the deepspeed launcher")
    return parser.parse_args()


def of_run(arguments: argparse.Namespace) -> dict[str, Any]:
    """All arguments of `svitt_ego.training.loop.train` but the job."""
    return {
        "deepspeed_config": arguments.deepspeed_config,
        "output_dir": arguments.output_dir,
        "resume": arguments.resume == "auto",
        "max_steps": arguments.max_steps,
        "memory_snapshot": arguments.memory_snapshot,
    }
