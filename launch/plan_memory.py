"""Predict the memory of a training step on GPUs that need not be there.

python launch/plan_memory.py --recipe paper_1_3_56 --deepspeed_config ds_configs/zero2_fp16.json \\
    --gpus 8 --gpu-memory 12GiB
"""

import argparse
import json
from pathlib import Path

from svitt_ego.command_line import add_overrides, one_line_errors, positive
from svitt_ego.config import ConfigError, load_recipe
from svitt_ego.durable_files import prepare_folder_of, write_atomically
from svitt_ego.profiling.planning.memory_size import memory_size


def size(text: str) -> int:
    try:
        return memory_size(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def micro_batch(text: str) -> int | None:
    return None if text == "auto" else positive(text)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--recipe", required=True, help="path, or name in launch/recipes")
    parser.add_argument("--deepspeed_config", required=True, help="DeepSpeed JSON, see ds_configs/")
    parser.add_argument("--gpus", type=positive, default=1, help="of all nodes together (1)")
    parser.add_argument("--gpu-memory", type=size, required=True, help="of one GPU, such as 12GiB")
    parser.add_argument(
        "--micro-batch",
        type=micro_batch,
        default=0,
        help="anchors of one GPU, or auto: the most that fit (default: the recipe's)",
    )
    parser.add_argument("--json", type=Path, help="file to write the plan to")
    add_overrides(parser)
    arguments = parser.parse_args()
    with one_line_errors():
        run(arguments)


def run(arguments: argparse.Namespace) -> None:
    recipe = load_recipe(arguments.recipe, arguments.overrides)
    if arguments.json:
        prepare_folder_of(arguments.json)
    from svitt_ego.profiling.planning.plan import plan, planned_config
    from svitt_ego.profiling.planning.remedies import remedies
    from svitt_ego.profiling.planning.table import table

    config = planned_config(arguments.deepspeed_config, recipe, arguments.gpus)
    anchors = arguments.micro_batch
    if anchors == 0:
        anchors = recipe.training.micro_batch_size
    made = plan(recipe, config, arguments.gpus, arguments.gpu_memory, anchors, progress=say)
    changes = [] if made.fits else remedies(made, say)
    print(table(made, changes))
    if arguments.json:
        result = made.to_json() | {"remedies": [change.to_json() for change in changes]}
        write_atomically(arguments.json, json.dumps(result, indent=2) + "\n")
    if made.largest_micro_batch == 0:
        raise ConfigError(f"{recipe.name} never fits into such a GPU with this config: see above")


def say(text: str) -> None:
    print(f"  planning {text}", flush=True)


if __name__ == "__main__":
    main()
