"""A plan for people to read."""

from collections.abc import Sequence

from svitt_ego.profiling.planning.plan import Plan
from svitt_ego.profiling.planning.remedies import Remedy
from svitt_ego.profiling.units import GIB, show_bytes


def table(plan: Plan, remedies: Sequence[Remedy] = ()) -> str:
    split = plan.step.memory.peak.peak_bytes_by_category
    slack = plan.needed_bytes - plan.peak_bytes - plan.assumptions.context_bytes(plan.gpus)
    rows = [(name.replace("_", " "), size) for name, size in split.items() if size >= 2**20]
    rows += [
        ("peak of live tensors", plan.peak_bytes),
        ("allocator slack", slack),
        ("CUDA context" + (" and NCCL" if plan.gpus > 1 else ""), plan.context_bytes),
        ("needed", plan.needed_bytes),
        ("there is", plan.gpu_memory_bytes),
    ]
    lines = [
        f"{plan.recipe.name}: {plan.micro_batch} anchors, {plan.clips} clips on each of "
        f"{plan.gpus} GPU{'s' if plan.gpus > 1 else ''}",
        *_columns([(name, show_bytes(size)) for name, size in rows]),
        f"fits: {'yes' if plan.fits else 'no'}",
    ]
    if plan.step.host_bytes >= 2**20:
        lines.append(f"host memory of each rank: {show_bytes(plan.step.host_bytes)}")
    if plan.largest_micro_batch is not None:
        lines.append(f"largest micro-batch that fits: {plan.largest_micro_batch}")
    if plan.largest_micro_batch == 0:
        lines.append(_why_never(plan))
    if remedies:
        lines += ["", "what would change it, each alone, and its price:"]
        lines += _columns(
            [
                (
                    remedy.what,
                    f"{(remedy.plan.needed_bytes - plan.needed_bytes) / GIB:+.2f} GiB",
                    "fits" if remedy.plan.fits else "does not fit",
                    remedy.price,
                )
                for remedy in remedies
            ]
        )
    lines += ["", "assumed:"]
    lines += [f"  {line}" for line in plan.assumptions.text(plan.recipe, plan.gpus)]
    return "\n".join(lines)


def _why_never(plan: Plan) -> str:
    """Of a plan that not even one anchor fits into."""
    phases = plan.step.memory.phases
    resident = phases["data"].peak_bytes if "data" in phases else plan.peak_bytes
    return (
        f"never fits: one anchor needs {show_bytes(plan.needed_bytes)}, of which "
        f"{show_bytes(resident)} are there before the forward pass begins (weights, optimiser "
        f"states, batch) and {show_bytes(plan.context_bytes)} are CUDA's own; the GPU has "
        f"{show_bytes(plan.gpu_memory_bytes)}"
    )


def _columns(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  "
        + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
