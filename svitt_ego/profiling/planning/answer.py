"""Will it fit, how much would, and what would change it: told part by part, the quickest first."""

from collections.abc import Callable
from typing import Any

from svitt_ego.config.schema import Recipe
from svitt_ego.profiling.planning.assumptions import Assumptions
from svitt_ego.profiling.planning.plan import Planner, Progress
from svitt_ego.profiling.planning.planned_run import PlannedRun
from svitt_ego.profiling.planning.remedies import remedies, wider
from svitt_ego.profiling.planning.verdict import (
    anchors_of,
    assumed,
    largest_line,
    remedy_line,
    verdict,
)


def answer(
    recipe: Recipe,
    config: dict[str, Any],
    gpus: int,
    gpu_memory_bytes: int,
    micro_batch: int | None,
    assumptions: Assumptions,
    processes: int | None = None,
    say: Callable[[str], None] = print,
    progress: Progress = lambda _: None,
) -> dict[str, Any]:
    """Plan a run on `gpus` GPUs of `gpu_memory_bytes` each.

    Args:
        config: of `planned_config`.
        micro_batch: anchors of one rank; None: the most that fit, or 1 where not even one does.
        processes: as `in_processes`, for remedies.
        say: called with lines for people as they get known.
        progress: called with a line before each step.

    Returns the plan with `largest_micro_batch` and `remedies`, for JSON; remedies are of one anchor
    where not even one fits, else of the plan's micro-batch or, where it fits, of the most.

    Raises:
        ConfigError: PyTorch or DeepSpeed refuse recipe or config.
    """
    with PlannedRun(recipe, config, gpus) as run:
        planner = Planner(run, assumptions, progress)
        if micro_batch:
            made = planner.plan(gpu_memory_bytes, micro_batch)
            say(verdict(made))
        largest = planner.largest(gpu_memory_bytes)
        if not micro_batch:
            made = planner.plan(gpu_memory_bytes, max(largest, 1))
            say(verdict(made))
        short = made if largest else planner.plan(gpu_memory_bytes, 1)
        say(largest_line(largest, short))
    changes = []
    if not short.fits:
        say(f"\nwhat would change it for {anchors_of(short)}, each alone, and its price:")
        for remedy in remedies(short, processes):
            say(remedy_line(remedy, short))
            changes.append(remedy)
    elif micro_batch is None:
        more = wider(made, progress)
        if more:
            say(f"with {more.what}: {anchors_of(more.plan)}, {more.price}")
            changes.append(more)
    say("\n" + assumed(made))
    result = {"largest_micro_batch": largest, "remedies": [each.to_json() for each in changes]}
    return made.to_json() | result
