"""A plan for people to read, part by part as it gets known."""

from collections.abc import Sequence

from svitt_ego.profiling.planning.largest import LARGEST_TRIED
from svitt_ego.profiling.planning.plan import Plan
from svitt_ego.profiling.planning.remedies import Remedy
from svitt_ego.profiling.units import GIB, show_bytes


def verdict(plan: Plan) -> str:
    """What it needs, and whether it fits."""
    several = plan.gpus > 1
    split = plan.step.memory.peak.peak_bytes_by_category
    rows = [(name.replace("_", " "), size) for name, size in split.items() if size >= 2**20]
    rows += [
        ("peak of live tensors", plan.peak_bytes),
        ("allocator slack, assumed", plan.assumptions.slack_bytes(plan.peak_bytes)),
        (f"CUDA context{' and NCCL' if several else ''}, assumed", plan.assumptions.context_bytes),
        ("needed", plan.needed_bytes),
        ("there is", plan.gpu_memory_bytes),
    ]
    lines = [
        f"{plan.recipe.name}: {anchors_of(plan)} on "
        f"{f'each of {plan.gpus} GPUs' if several else 'one GPU'}",
        *_columns([(name, show_bytes(size)) for name, size in rows]),
        f"fits: {'yes' if plan.fits else 'no'}",
    ]
    if plan.step.host_bytes >= 2**20:
        lines.append(f"host memory of each rank: {show_bytes(plan.step.host_bytes)}")
    return "\n".join(lines)


def anchors_of(plan: Plan) -> str:
    """`4 anchors, 8 clips`."""
    parts = (plan.micro_batch, "anchor"), (plan.clips, "clip")
    return ", ".join(f"{count} {name}{'' if count == 1 else 's'}" for count, name in parts)


def largest_line(largest: int, plan: Plan) -> str:
    """
    Args:
        plan: of any micro-batch, or, where `largest` is 0, of 1.
    """
    if largest == 0:
        return why_never(plan)
    clips = largest * plan.recipe.objectives.contrastive.clips_per_anchor
    more = " (more was not tried)" if largest == LARGEST_TRIED else ""
    return f"largest micro-batch that fits: {largest} anchors, {clips} clips{more}"


def why_never(plan: Plan) -> str:
    """Of a plan that not even one anchor fits into."""
    phases = plan.step.memory.phases
    highest = max(phases, key=lambda name: phases[name].peak_bytes)
    resident = phases["data"].peak_bytes if "data" in phases else plan.peak_bytes
    return (
        f"never fits: one anchor needs {show_bytes(plan.needed_bytes)}, in the step's {highest} "
        f"phase, of which "
        f"{show_bytes(resident)} are there before the forward pass begins (weights, optimiser "
        f"states, batch) and {show_bytes(plan.assumptions.context_bytes)} are CUDA's own; the GPU "
        f"has {show_bytes(plan.gpu_memory_bytes)}"
    )


def remedy_line(remedy: Remedy, plan: Plan) -> str:
    """Against the plan without it."""
    saved = (remedy.plan.needed_bytes - plan.needed_bytes) / GIB
    change = f"{saved:+.2f} GiB" if abs(saved) >= 0.005 else "no change"
    needed = f"needs {show_bytes(remedy.plan.needed_bytes)}"
    fits = "fits" if remedy.plan.fits else "does not fit"
    return f"  {remedy.what:<36}  {change:>10}  {needed:<15}  {fits:<12}  {remedy.price}"


def assumed(plan: Plan) -> str:
    return "\n".join(["assumed:", *(f"  {line}" for line in plan.assumptions.text(plan.recipe))])


def _columns(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  "
        + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
