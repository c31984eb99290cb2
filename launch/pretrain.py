"""Pre-train SViTT-Ego.

    deepspeed launch/pretrain.py --recipe paper_1_3_56 \\
        --deepspeed_config ds_configs/zero2_fp16.json --output-dir runs/paper

Without the `deepspeed` launcher it runs as one process.
"""

from svitt_ego.command_line import one_line_errors
from svitt_ego.config import load_recipe
from svitt_ego.training.arguments import of_run, parse_training_arguments


def main() -> None:
    arguments = parse_training_arguments(__doc__)
    with one_line_errors():
        recipe = load_recipe(arguments.recipe, arguments.overrides)

        # these import DeepSpeed: after cheap checks
        from svitt_ego.training.loop import train
        from svitt_ego.training.pretraining import Pretraining

        train(Pretraining(recipe), **of_run(arguments))


if __name__ == "__main__":
    main()
