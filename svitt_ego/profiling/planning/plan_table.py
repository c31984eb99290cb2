"""What the paper's recipes need on small GPUs, and its targets."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from svitt_ego.config import load_recipe
from svitt_ego.profiling.planning.memory_size import memory_size
from svitt_ego.profiling.planning.plan import Plan, Planner, planned_config
from svitt_ego.profiling.planning.planned_run import PlannedRun
from svitt_ego.profiling.units import show_bytes


@dataclass(frozen=True)
class Setting:
    """A recipe with a recomputation policy, and a config for a number of GPUs."""

    recipe: str
    recompute: str
    config: str
    gpus: int
    sizes: Sequence[str] = ()
    """GPUs to find the largest micro-batch for."""
    clips: Sequence[int] = ()
    """Clips of one GPU to give the peak of."""


ONE, EIGHT = ("8GiB", "12GiB", "24GiB"), ("12GiB",)
SETTINGS = (
    Setting("paper_1_3_56", "layers", "zero2_fp16", 8, EIGHT, (8, 16, 128, 256)),
    Setting("paper_1_3_56", "layers", "one_gpu_fp16", 1, ONE, (32,)),
    Setting("paper_1_3_56", "none", "zero2_fp16", 8, EIGHT, (8, 16)),
    Setting("paper_1_3_56", "layers", "one_gpu_fp16_offload", 1, ONE[:1]),
    Setting("paper_1_5_56", "layers", "zero2_fp16", 8, (), (8, 16)),
    Setting("paper_dense", "layers", "zero2_fp16", 8, (), (8, 16)),
    Setting("paper_1_3_56", "layers", "zero2_fp16_offload", 8, (), (8, 16)),
    Setting("paper_1_3_56", "layers", "zero2_bf16", 8, (), (8, 16)),
)


def rows(
    settings: Sequence[Setting], progress: Callable[[str], None] = lambda _: None
) -> Iterator[dict[str, Any]]:
    for setting in settings:
        recipe = load_recipe(setting.recipe, [f"training.recompute.what={setting.recompute}"])
        config = planned_config(f"ds_configs/{setting.config}.json", recipe, setting.gpus)
        with PlannedRun(recipe, config, setting.gpus) as run:
            planner = Planner(run, lambda text, s=setting: progress(f"{s.config}: {text}"))
            for size in setting.sizes:
                limit_bytes = memory_size(size)
                largest = planner.largest(limit_bytes)
                yield _row(setting, size, planner.plan(limit_bytes, max(largest, 1), largest))
            per_anchor = recipe.objectives.contrastive.clips_per_anchor
            for clips in setting.clips:
                yield _row(setting, None, planner.plan(0, clips // per_anchor))


def _row(setting: Setting, size: str | None, plan: Plan) -> dict[str, Any]:
    result = plan.to_json()
    kept = ("micro_batch", "clips", "peak_bytes", "needed_bytes", "host_bytes", "categories")
    return {
        "recipe": setting.recipe,
        "recompute": setting.recompute,
        "config": setting.config,
        "gpus": setting.gpus,
        "gpu_memory": size,
        "largest_micro_batch": plan.largest_micro_batch,
        **{key: result[key] for key in kept},
    }


def markdown(table: Sequence[dict[str, Any]]) -> str:
    """Two tables: the largest micro-batch of each GPU, then the peak at given clips."""
    lines = [
        "| recipe | recompute | config | GPUs | largest micro-batch | clips | predicted peak |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in table:
        if row["gpu_memory"]:
            size = row["gpu_memory"].replace("GiB", " GiB")
            lines.append(
                f"| `{row['recipe']}` | {row['recompute']} | `{row['config']}` | {row['gpus']} x "
                f"{size} | {row['largest_micro_batch']} | {row['clips']} | "
                f"{show_bytes(row['peak_bytes'])} |"
            )
    lines += [
        "",
        "| recipe | recompute | config | GPUs | clips of a GPU (anchors) | predicted peak |",
        "|---|---|---|---|---|---|",
    ]
    for row in table:
        if not row["gpu_memory"]:
            lines.append(
                f"| `{row['recipe']}` | {row['recompute']} | `{row['config']}` | {row['gpus']} | "
                f"{row['clips']} ({row['micro_batch']}) | {show_bytes(row['peak_bytes'])} |"
            )
    return "\n".join(lines)
