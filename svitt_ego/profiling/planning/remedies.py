"""What would make a run fit, or leave more room, and what each costs."""

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from svitt_ego.config import ConfigError
from svitt_ego.config.schema import Recipe, Recompute
from svitt_ego.profiling.planning.in_processes import in_processes
from svitt_ego.profiling.planning.plan import Plan, Planner, Progress
from svitt_ego.profiling.planning.planned_run import PlannedRun
from svitt_ego.profiling.units import show_bytes
from svitt_ego.profiling.variants import with_frames

SMALL_BUCKET = 5_000_000
"""Elements; launching a reduction takes about as long as reducing so many."""


@dataclass(frozen=True)
class Remedy:
    """A change of recipe or config, planned."""

    what: str
    """As it is written in the recipe or the DeepSpeed config."""
    price: str
    """In numbers, against the plan without it."""
    plan: Plan

    def to_json(self) -> dict[str, Any]:
        return {
            "what": self.what,
            "price": self.price,
            "micro_batch": self.plan.micro_batch,
            "peak_bytes": self.plan.peak_bytes,
            "needed_bytes": self.plan.needed_bytes,
            "fits": self.plan.fits,
        }


@dataclass(frozen=True)
class _Change:
    what: str
    recipe: Recipe
    config: dict[str, Any]
    base: Plan


def remedies(base: Plan, processes: int | None = None) -> Iterator[Remedy]:
    """Each alone, at the micro-batch of `base`, as they get known.

    Args:
        processes: as `in_processes`.
    """
    changes = [_Change(*change, base) for change in _changes(base)]
    for _, remedy in in_processes(_at_the_same_micro_batch, changes, processes):
        if remedy:
            yield remedy


def wider(base: Plan, progress: Progress = lambda _: None) -> Remedy | None:
    """Recomputed layers at the largest micro-batch that fits then, where that is more than
    `base`'s, itself the largest."""
    training = base.recipe.training
    if training.recompute == Recompute(what="layers"):
        return None
    what, recipe, config = _recomputed(base, "layers")
    with PlannedRun(recipe, config, base.gpus) as run:
        planner = Planner(run, base.assumptions, progress)
        planner.plan(base.gpu_memory_bytes, base.micro_batch)  # to begin the search with
        largest = planner.largest(base.gpu_memory_bytes)
        if largest <= base.micro_batch:
            return None
        changed = planner.plan(base.gpu_memory_bytes, largest)
    return Remedy(what, _price(base, changed), changed)


def _at_the_same_micro_batch(change: _Change) -> Remedy | None:
    base = change.base
    try:
        with PlannedRun(change.recipe, change.config, base.gpus) as run:
            planner = Planner(run, base.assumptions)
            changed = planner.plan(base.gpu_memory_bytes, base.micro_batch)
    except ConfigError:  # no remedy: sparsity that leaves no pattern for so few frames, say
        return None
    return Remedy(change.what, _price(base, changed), changed)


def _changes(base: Plan) -> Iterator[tuple[str, Recipe, dict[str, Any]]]:
    recipe, config = base.recipe, base.config
    policies = ("none", "attention", "layers")
    for policy in policies[policies.index(recipe.training.recompute.what) + 1 :]:
        yield _recomputed(base, policy)
    zero = config.get("zero_optimization", {})
    if zero.get("stage", 0) > 0 and zero.get("reduce_bucket_size", 5e8) > SMALL_BUCKET:
        buckets = {"reduce_bucket_size": SMALL_BUCKET, "allgather_bucket_size": SMALL_BUCKET}
        yield f"reduce_bucket_size: {SMALL_BUCKET:,}", recipe, _with_zero(config, buckets)
    if zero.get("stage", 0) > 0 and "offload_optimizer" not in zero:
        offload = {"offload_optimizer": {"device": "cpu"}}
        changed = _with_zero(config, offload) | {"zero_force_ds_cpu_optimizer": False}
        yield "offload_optimizer: cpu", recipe, changed
    if recipe.data.frames > 1:
        frames = recipe.data.frames // 2
        try:
            fewer = with_frames(recipe, frames, recipe.model.video.max_frames)
        except ConfigError:  # too few tokens for the recipe's blocks
            return
        yield f"data.frames={frames}", fewer, config


def _recomputed(base: Plan, policy: str) -> tuple[str, Recipe, dict[str, Any]]:
    training = base.recipe.training.model_copy(update={"recompute": Recompute(what=policy)})
    changed = base.recipe.model_copy(update={"training": training})
    return f"training.recompute.what={policy}", changed, base.config


def _with_zero(config: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    changed = copy.deepcopy(config)
    changed["zero_optimization"].update(changes)
    return changed


def _price(base: Plan, changed: Plan) -> str:
    prices = []
    if changed.recipe.data.frames != base.recipe.data.frames:
        prices.append(f"sees {changed.recipe.data.frames} of {base.recipe.data.frames} frames")
    flops = [plan.step.flops / plan.micro_batch for plan in (base, changed)]
    more = flops[1] / flops[0] - 1
    if abs(more) >= 0.005:
        prices.append(f"{more:+.0%} FLOPs")
    before, after = (_bucket(p) for p in (base, changed))
    if after != before:
        calls = [-(-base.step.parameters // size) for size in (before, after)]
        prices.append(f"{calls[1]} reductions a step instead of {calls[0]}")
    host = changed.step.host_bytes - base.step.host_bytes
    if host > 0:
        # gradients of this rank's partition go down, its updated weights come up: 2 bytes each
        moved = 4 * base.step.parameters // base.gpus
        prices.append(f"{show_bytes(moved)} over PCIe a step, {show_bytes(host)} of host memory")
    return ", ".join(prices) or "none"


def _bucket(plan: Plan) -> int:
    return int(plan.config.get("zero_optimization", {}).get("reduce_bucket_size", 5e8))
