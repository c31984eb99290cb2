"""Pre-train SViTT-Ego.

    deepspeed launch/pretrain.py --recipe paper_1_3_56 \\
        --deepspeed_config ds_configs/zero2_fp16.json --output-dir runs/paper

Without the `deepspeed` launcher it runs as one process.
"""

import argparse

from svitt_ego.command_line import add_overrides, one_line_errors, positive
from svitt_ego.config import load_recipe


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
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


def main() -> None:
    arguments = parse_arguments()
    with one_line_errors():
        recipe = load_recipe(arguments.recipe, arguments.overrides)

        from svitt_ego.training.loop import pretrain  # imports DeepSpeed: after cheap checks

        pretrain(
            recipe,
            arguments.deepspeed_config,
            arguments.output_dir,
            resume=arguments.resume == "auto",
            max_steps=arguments.max_steps,
            memory_snapshot=arguments.memory_snapshot,
        )


if __name__ == "__main__":
    main()
