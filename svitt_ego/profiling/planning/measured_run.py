"""The training step of a run on this machine's CPU, real and tracked: what a plan is held against.

    python -m svitt_ego.profiling.planning.measured_run RECIPE.yaml CONFIG.json RESULT.json

is one rank of such a run; `measure` starts them all.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from itertools import repeat
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
import yaml

from svitt_ego.config import ConfigError, load_recipe
from svitt_ego.config.schema import Recipe
from svitt_ego.training.free_port import free_port

LIMIT_S = 600
POLL_S = 0.05


def measure(recipe: Recipe, config: dict[str, Any], world_size: int) -> dict[str, Any]:
    """`peak_bytes` and `peak_bytes_by_category` of the rank that needs most, in the second step,
    on random clips and words.

    Raises:
        ConfigError: a rank failed, with what it said last, or took more than `LIMIT_S`.
    """
    with TemporaryDirectory() as name:
        folder = Path(name)
        files = [folder / name for name in ("recipe.yaml", "config.json", "result.json")]
        files[0].write_text(yaml.safe_dump(recipe.model_dump(mode="json")), encoding="utf-8")
        files[1].write_text(json.dumps(config), encoding="utf-8")
        command = [sys.executable, "-m", __spec__.name, *map(str, files)]
        shared = {
            "WORLD_SIZE": str(world_size),
            "LOCAL_SIZE": str(world_size),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(free_port()),
        }
        run_ranks(
            [
                (command, os.environ | shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)})
                for rank in range(world_size)
            ],
            folder,
        )
        return json.loads(files[2].read_text(encoding="utf-8"))


def run_ranks(
    ranks: Sequence[tuple[list[str], dict[str, str]]], folder: Path, limit_s: float = LIMIT_S
) -> None:
    """Start all ranks, command and environment each, and wait for them; where one fails, the rest
    would wait for it for ever and are ended.

    Their stderr goes to files of `folder`: a pipe that nobody reads would fill up and stop them.

    Raises:
        ConfigError: as `measure`.
    """
    with ExitStack() as stack:
        started = []
        for number, (command, environment) in enumerate(ranks):
            said = stack.enter_context((folder / f"rank{number}.stderr").open("wb"))
            process = subprocess.Popen(
                command, env=environment, stdout=subprocess.DEVNULL, stderr=said
            )
            stack.callback(_end, process)
            started.append(process)
        ends = time.monotonic() + limit_s
        while any(process.poll() is None for process in started):
            if any(process.poll() for process in started):
                break
            if time.monotonic() > ends:
                raise ConfigError(f"a measured run took more than {limit_s:.0f} s")
            time.sleep(POLL_S)
        for number, process in enumerate(started):
            if process.poll():
                text = (folder / f"rank{number}.stderr").read_text(errors="replace")
                raise ConfigError(_what_failed(number, process.returncode, text))


def _end(process: subprocess.Popen) -> None:
    if process.poll() is None:
        process.kill()
    process.wait()


def _what_failed(number: int, code: int, said: str) -> str:
    if code == -signal.SIGKILL:
        return f"rank {number} of a measured run was killed, as when memory runs out"
    last = (said.strip().splitlines() or ["it said nothing"])[-1]
    return f"rank {number} of a measured run failed (exit code {code}): {last}"


def _run_rank(recipe_file: str, config_file: str, result_file: str) -> None:
    from svitt_ego.models import SViTTEgo
    from svitt_ego.training.accelerator import leave_distributed, start_distributed
    from svitt_ego.training.agreement import to_rank_0
    from svitt_ego.training.engine import build_engine, memory_recorder
    from svitt_ego.training.rehearsal import SPECIAL_TOKENS, random_batch
    from svitt_ego.training.step import train_step
    from svitt_ego.training.task import PretrainingTask

    recipe = load_recipe(recipe_file, [])
    config = json.loads(Path(config_file).read_text(encoding="utf-8"))
    device = start_distributed()
    torch.manual_seed(recipe.seed)
    model = SViTTEgo(recipe.model, recipe.training.recompute)
    over_step = recipe.training.contrastive_batch == "step"
    task = PretrainingTask(model, recipe.objectives, SPECIAL_TOKENS, over_step)
    engine = build_engine(task, recipe, config, steps_per_epoch=1000)
    recorder = memory_recorder(engine, model, device)
    batches = repeat(random_batch(recipe, recipe.seed + engine.global_rank))
    micro_steps = recipe.training.gradient_accumulation_steps
    for step in (1, 2):
        own = train_step(engine, batches, micro_steps, recipe.seed, step, recorder, device)
    of_ranks = to_rank_0(own.memory)
    if of_ranks:
        largest = max(of_ranks, key=lambda memory: memory["peak_bytes"])
        Path(result_file).write_text(json.dumps(largest), encoding="utf-8")
    leave_distributed()


if __name__ == "__main__":
    _run_rank(*sys.argv[1:])
