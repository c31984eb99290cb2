"""Train a grounding model on queries and the features of their clips.

    deepspeed launch/train_grounding.py --recipe grounding/paper_128 \\
        --deepspeed_config ds_configs/zero2_fp16.json --output-dir runs/grounding

Without the `deepspeed` launcher it runs as one process. To fine-tune what was trained on narrations
as queries: --set model.pretrained=runs/narrations
"""

from svitt_ego.command_line import one_line_errors
from svitt_ego.config import load_recipe
from svitt_ego.config.grounding import GroundingRecipe
from svitt_ego.training.arguments import of_run, parse_training_arguments


def main() -> None:
    arguments = parse_training_arguments(__doc__)
    with one_line_errors():
        recipe = load_recipe(arguments.recipe, arguments.overrides, GroundingRecipe)

        # these import DeepSpeed: after cheap checks
        from svitt_ego.grounding.training import Grounding
        from svitt_ego.training.loop import train

        train(Grounding(recipe), **of_run(arguments))


if __name__ == "__main__":
    main()
