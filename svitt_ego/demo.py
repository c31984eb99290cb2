"""The whole product in small: what `make demo` runs, each step by the command a user would type.

A step is skipped where its result is there and newer than what it was made from, so a second demo
takes seconds and an interrupted one goes on.
"""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from svitt_ego.config import Recipe, load_recipe
from svitt_ego.data.metadata import ClipTable
from svitt_ego.data.sampler import epoch_sampler
from svitt_ego.data.synthetic.generate import generate
from svitt_ego.durable_files import read_json_lines, write_atomically
from svitt_ego.shown_commands import ALREADY_THERE, is_newer, run_deepspeed, run_python, title
from svitt_ego.training.run_directory import RunDirectory, tag_of

RECIPE = "demo"
DEEPSPEED_CONFIG = "ds_configs/zero2_cpu.json"
INTERRUPTED_AFTER_SHARE = 0.35
"""Of the steps: there the first launch stops, and a second one resumes from its checkpoint."""


@dataclass(frozen=True)
class DemoFiles:
    """Where the demo leaves what."""

    training: Path
    egomcq: Path
    memory: Path
    report: Path
    summary: Path

    @classmethod
    def below(cls, root: Path) -> "DemoFiles":
        memory = root / "memory"
        return cls(
            training=root / "training",
            egomcq=root / "egomcq.json",
            memory=memory / "memory.json",
            report=memory / "report.html",
            summary=root / "summary.json",
        )


def run_demo(root: Path, num_accelerators: int | None = None) -> dict[str, Any]:
    """Generate, train, interrupt, resume, evaluate, compare memory; returns the summary.

    Args:
        num_accelerators: training processes; None: two, or one where there is one GPU.

    Raises:
        ConfigError: what is there is of another recipe, dataset or number of processes.
        subprocess.CalledProcessError: a step failed; it said why itself.
    """
    started = time.monotonic()
    files = DemoFiles.below(root)
    processes = num_accelerators or min(2, torch.cuda.device_count()) or 2
    recipe = load_recipe(RECIPE)
    dataset = Path(recipe.data.metadata).parent

    title(f"1/4 EgoSynth, the default dataset: {dataset}")
    generate(dataset, "demo")

    title(f"2/4 training with the deepspeed launcher, {processes} processes")
    _train(recipe, files.training, processes)

    title("3/4 EgoMCQ")
    if is_newer(files.egomcq, RunDirectory(files.training).pointer):
        print(ALREADY_THERE)
    else:
        run_python("launch/evaluate_egomcq.py", "--run", files.training, "--output", files.egomcq)

    title("4/4 memory of a training step, dense against sparse, and the report")
    if is_newer(files.report, files.egomcq):
        print(ALREADY_THERE)
    else:
        run_python(
            "launch/compare_memory.py",
            *("--recipe", RECIPE, "--output-dir", files.memory.parent),
            *("--run-dir", files.training, "--egomcq", files.egomcq, "--steps", 3),
        )
    earlier_s = json.loads(files.summary.read_text())["wall_s"] if files.summary.is_file() else 0
    summary = _summary(files) | {"wall_s": round(earlier_s + time.monotonic() - started, 1)}
    write_atomically(files.summary, json.dumps(summary, indent=2) + "\n")
    return summary


def table(summary: dict[str, Any]) -> str:
    """The summary for people."""
    mebibytes = {
        name: f"{summary[f'{name}_peak_bytes'] / 2**20:.0f} MiB"
        for name in ("dense", "dense_efficient", "sparse")
    }
    mcq = summary["egomcq"]
    losses = f"{summary['loss_first']:.2f} -> {summary['loss_last']:.2f}"
    rows = [
        (
            "training steps",
            f"{summary['train_steps']}, resumed after {summary['resumed_from_step']}",
        ),
        ("ranks, ZeRO stage", f"{summary['world_size']}, {summary['zero_stage']}"),
        ("files of a sharded checkpoint", summary["checkpoint_shards"]),
        ("loss, first and last 5 steps", losses),
        ("EgoMCQ inter / intra", f"{mcq['inter']:.1f} / {mcq['intra']:.1f} % (chance 20)"),
        ("peak of a step, dense", mebibytes["dense"]),
        ("  dense, probabilities not stored", mebibytes["dense_efficient"]),
        ("  sparse edges and nodes", mebibytes["sparse"]),
        ("seconds, all calls together", summary["wall_s"]),
        ("report", summary["report"]),
    ]
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)


def _train(recipe: Recipe, run: Path, processes: int) -> None:
    """In two launches, as if the first had been interrupted."""
    directory = RunDirectory(run)
    directory.check_same_run(recipe)
    rows = len(ClipTable.open(recipe.data.metadata))
    total_steps = epoch_sampler(recipe, rows, world_size=processes).steps
    if directory.newest_tag() == tag_of(total_steps):
        print(ALREADY_THERE)
        return
    if directory.newest_tag() is None:
        first_steps = max(1, round(INTERRUPTED_AFTER_SHARE * total_steps))
        print(f"The first launch stops after step {first_steps}, a second one resumes.")
        _launch(run, processes, "--max-steps", first_steps)
    _launch(run, processes)


def _launch(run: Path, processes: int, *more: object) -> None:
    run_deepspeed(
        processes,
        "launch/pretrain.py",
        *("--recipe", RECIPE, "--deepspeed_config", DEEPSPEED_CONFIG),
        *("--output-dir", run, "--resume", "auto", *more),
    )


def _summary(files: DemoFiles) -> dict[str, Any]:
    """Every figure from what the steps wrote."""
    directory = RunDirectory(files.training)
    records = read_json_lines(directory.records_file)
    deepspeed = json.loads(directory.deepspeed_file.read_text())
    checkpoint = directory.checkpoints / str(directory.newest_tag())
    mcq = json.loads(files.egomcq.read_text())
    memory = json.loads(files.memory.read_text())
    launches = directory.launches()
    return {
        "train_steps": records[-1]["step"],
        "loss_first": _mean_loss(records[:5]),
        "loss_last": _mean_loss(records[-5:]),
        "resumed_from_step": launches[-1]["first_step"],
        "world_size": launches[-1]["world_size"],
        "zero_stage": deepspeed["zero_optimization"]["stage"],
        "checkpoint_shards": len(list(checkpoint.glob("*.pt"))),
        **_peaks(memory),
        "egomcq": {
            "inter": mcq["inter"],
            "intra": mcq["intra"],
            "questions": sum(mcq["questions"].values()),
        },
        "report": str(files.report),
    }


def _mean_loss(records: Sequence[dict[str, Any]]) -> float:
    """Of a few steps: a single one is noisy."""
    return sum(record["loss"] for record in records) / len(records)


def _peaks(memory: dict[str, Any]) -> dict[str, int]:
    """Peak of a step of the sparse recipe and of its dense opponents."""
    peaks = {variant["name"]: variant["peak_bytes"] for variant in memory["variants"]}
    return {f"{name}_peak_bytes": peaks[name] for name in ("sparse", "dense", "dense_efficient")}
