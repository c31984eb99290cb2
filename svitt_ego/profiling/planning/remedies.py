"""What would make a run fit, or leave more room, and what each costs."""

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from svitt_ego.config import ConfigError
from svitt_ego.config.schema import Recipe, Recompute
from svitt_ego.profiling.planning.plan import Plan, Progress, plan
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
            "peak_bytes": self.plan.peak_bytes,
            "needed_bytes": self.plan.needed_bytes,
            "fits": self.plan.fits,
        }


def remedies(base: Plan, progress: Progress = lambda _: None) -> list[Remedy]:
    """Each alone, at the micro-batch of `base`."""
    found = []
    for what, recipe, config in _changes(base):
        progress(what)
        try:
            changed = plan(
                recipe,
                config,
                base.gpus,
                base.gpu_memory_bytes,
                base.micro_batch,
                find_largest=False,
                progress=progress,
            )
        except ConfigError:  # the recipe's sparsity leaves no pattern for so few frames
            continue
        found.append(Remedy(what, _price(base, changed), changed))
    return found


def _changes(base: Plan) -> Iterator[tuple[str, Recipe, dict[str, Any]]]:
    recipe, config = base.recipe, base.config
    for policy in ("attention", "layers"):
        if recipe.training.recompute.what in ("none", "attention") and (
            policy != recipe.training.recompute.what
        ):
            changed = recipe.training.model_copy(update={"recompute": Recompute(what=policy)})
            yield (
                f"training.recompute.what={policy}",
                recipe.model_copy(update={"training": changed}),
                config,
            )
    zero = config.get("zero_optimization", {})
    if zero.get("stage") in (1, 2) and zero.get("reduce_bucket_size", 5e8) > SMALL_BUCKET:
        buckets = {"reduce_bucket_size": SMALL_BUCKET, "allgather_bucket_size": SMALL_BUCKET}
        yield f"reduce_bucket_size: {SMALL_BUCKET:,}", recipe, _with_zero(config, buckets)
    if zero.get("stage") in (1, 2) and "offload_optimizer" not in zero:
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


def _with_zero(config: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    changed = copy.deepcopy(config)
    changed["zero_optimization"].update(changes)
    return changed


def _price(base: Plan, changed: Plan) -> str:
    prices = []
    if changed.recipe.data.frames != base.recipe.data.frames:
        prices.append(f"sees {changed.recipe.data.frames} of {base.recipe.data.frames} frames")
    more = changed.step.flops / base.step.flops - 1
    if abs(more) >= 0.005:
        prices.append(f"{more:+.0%} FLOPs")
    before, after = (_bucket(p) for p in (base, changed))
    if after != before:
        parameters = _parameters(base)
        calls = [-(-parameters // size) for size in (before, after)]
        prices.append(f"{calls[1]} reductions a step instead of {calls[0]}")
    host = changed.step.host_bytes - base.step.host_bytes
    if host > 0:
        # gradients of this rank's partition go down, its updated weights come up: 2 bytes each
        moved = 4 * _parameters(base) // base.gpus
        prices.append(f"{show_bytes(moved)} over PCIe a step, {show_bytes(host)} of host memory")
    return ", ".join(prices) or "none"


def _bucket(plan: Plan) -> int:
    return int(plan.config.get("zero_optimization", {}).get("reduce_bucket_size", 5e8))


def _parameters(plan: Plan) -> int:
    """Of the model, from its weights' bytes at the peak."""
    return plan.step.parameters
