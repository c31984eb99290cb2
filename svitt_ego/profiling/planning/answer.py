"""Will it fit, how much would, and what would change it: told part by part, the quickest first."""

from collections.abc import Callable
from typing import Any

from svitt_ego.config.schema import Recipe
from svitt_ego.profiling.planning.assumptions import Assumptions
from svitt_ego.profiling.planning.plan import Planner, Progress
from svitt_ego.profiling.planning.planned_run import PlannedRun
from svitt_ego.profiling.planning.remedies import remedies, wider
from svitt_ego.profiling.planning.verdict import assumed, largest_line, remedy_line, verdict


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
        micro_batch: anchors of one rank; None: the most that fit. Where not even one fits, the
            plan is of 1.
        processes: as `in_processes`, for remedies.
        say: called with lines for people as they get known.
        progress: called with a line before each step.

    Returns the plan with `largest_micro_batch` and `remedies`, for JSON.

    Raises:
        ConfigError: PyTorch or DeepSpeed refuse recipe or config.
    """
    with PlannedRun(recipe, config, gpus) as run:
        planner = Planner(run, assumptions, progress)
        if micro_batch:
            made = planner.plan(gpu_memory_bytes, micro_batch)
            say(verdict(made))
        largest = planner.largest(gpu_memory_bytes)
        if not micro_batch or not largest:
            made = planner.plan(gpu_memory_bytes, max(largest, 1))
            say(verdict(made))
        say(largest_line(largest, made))
    changes = []
    if not made.fits:
        say("\nwhat would change it, each alone, and its price:")
        for remedy in remedies(made, processes):
            say(remedy_line(remedy, made))
            changes.append(remedy)
    elif micro_batch is None:
        more = wider(made, progress)
        if more:
            say(f"with {more.what}: {more.plan.micro_batch} anchors, {more.price}")
            changes.append(more)
    say("\n" + assumed(made))
    result = {"largest_micro_batch": largest, "remedies": [each.to_json() for each in changes]}
    return made.to_json() | result
