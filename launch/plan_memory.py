"""Predict the memory of a training step on GPUs that need not be there.

python launch/plan_memory.py --recipe paper_1_3_56 --deepspeed_config ds_configs/zero2_fp16.json \\
    --gpus 8 --gpu-memory 12GiB
"""

import argparse
import json
import sys
from pathlib import Path

from svitt_ego.command_line import add_overrides, one_line_errors, positive
from svitt_ego.config import ConfigError, load_recipe
from svitt_ego.durable_files import prepare_folder_of, write_atomically
from svitt_ego.profiling.planning.arguments import micro_batch, share, size


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
    parser.add_argument(
        "--context", type=size, help="CUDA's own memory on a GPU (512MiB; several GPUs: 768MiB)"
    )
    parser.add_argument("--slack", type=share, help="share of the peak lost to fragments (5%%)")
    parser.add_argument("--processes", type=positive, help="at a time, for remedies (a core each)")
    parser.add_argument("--json", type=Path, help="file to write the plan to")
    add_overrides(parser)
    arguments = parser.parse_args()
    with one_line_errors():
        run(arguments)


def run(arguments: argparse.Namespace) -> None:
    recipe = load_recipe(arguments.recipe, arguments.overrides)
    if arguments.json:
        prepare_folder_of(arguments.json)
    from svitt_ego.profiling.planning.answer import answer
    from svitt_ego.profiling.planning.assumptions import Assumptions
    from svitt_ego.profiling.planning.plan import planned_config

    config = planned_config(arguments.deepspeed_config, recipe, arguments.gpus)
    anchors = arguments.micro_batch
    result = answer(
        recipe,
        config,
        arguments.gpus,
        arguments.gpu_memory,
        recipe.training.micro_batch_size if anchors == 0 else anchors,
        Assumptions.of(arguments.gpus, arguments.context, arguments.slack),
        arguments.processes,
        say=lambda text: print(text, flush=True),
        progress=lambda text: print(f"  planning {text}", file=sys.stderr, flush=True),
    )
    if arguments.json:
        of = {"deepspeed_config": arguments.deepspeed_config, "overrides": arguments.overrides}
        write_atomically(arguments.json, json.dumps(of | result, indent=2) + "\n")
    if result["largest_micro_batch"] == 0:
        raise ConfigError(f"{recipe.name} never fits into such a GPU with this config: see above")


if __name__ == "__main__":
    main()
