"""Measures training steps side by side in one process: memory by category, time, loss.

A subject is any model with an optimiser and a loss; nothing here knows which.
"""

import csv
import json
import platform
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from svitt_ego.profiling.ledger import CATEGORIES, Timeline
from svitt_ego.profiling.out_of_memory import one_line_out_of_memory
from svitt_ego.profiling.recorder import MemoryRecorder, TrackingRecorder

TIMELINE_POINTS = 240
TOO_MUCH = "compare fewer variants, or smaller ones (--micro-batch, --frames)"
"""All variants of a number of frames are in memory together, so that their steps take turns."""


@dataclass(frozen=True)
class TrainStep:
    """What a real training step needs."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    inputs: Sequence[Tensor]
    clips: int
    """Clips that enter the video encoder in one step."""
    loss: Callable[[int], Tensor]
    """Step number, from 1 -> scalar to minimise."""

    def run(self, step: int, recorder: MemoryRecorder) -> float:
        """One step; returns its loss."""
        with recorder.step():
            recorder.mark("inputs", self.inputs)
            with recorder.phase("forward"):
                loss = self.loss(step)
            with recorder.phase("backward"):
                loss.backward()
            with recorder.phase("optimizer"):
                self.optimizer.step()
                self.optimizer.zero_grad()
            return loss.item()

    def recorder(self) -> TrackingRecorder:
        """One that knows this step's tensors."""
        recorder = TrackingRecorder(keep_timeline=True)
        parameters = list(self.model.parameters())
        recorder.register("parameters", self.model.parameters)
        recorder.register("buffers", self.model.buffers)
        recorder.register("optimizer_states", self._optimizer_states)
        recorder.register("gradients", lambda: (p.grad for p in parameters if p.grad is not None))
        recorder.watch(self.model)
        return recorder

    def _optimizer_states(self) -> Iterator[Tensor]:
        for state in self.optimizer.state.values():
            yield from (value for value in state.values() if isinstance(value, Tensor))


@dataclass(frozen=True)
class Variant:
    """One line of a comparison."""

    name: str
    """Short and unique among the variants of the same frames; the key in the results."""
    title: str
    description: str
    frames: int
    build: Callable[[], TrainStep]


def compare(
    variants: Sequence[Variant],
    steps: int,
    about: dict[str, Any],
    report_progress: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Run every variant and return what `memory.json` holds.

    Variants of the same frames are held together, so that their timed steps take turns. Each does
    a tracked warm-up step (in which the optimiser makes its state), a second tracked step, which
    gives the memory figures, and `steps` timed steps without tracking.

    Args:
        about: kept in the result as it is: recipe, batch size and so on.
        report_progress: called with a line of text now and then.

    Raises:
        ValueError: no variants or no steps.
    """
    if not variants or steps < 1:
        raise ValueError("a comparison needs at least one variant and one timed step")
    results = []
    for frames in dict.fromkeys(variant.frames for variant in variants):
        group = [variant for variant in variants if variant.frames == frames]
        results += _measure_group(group, steps, report_progress)
    return {
        "counter": TrackingRecorder.counter,
        "machine": platform.machine(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "timed_steps": steps,
        **about,
        "variants": results,
    }


def _measure_group(
    variants: Sequence[Variant], steps: int, report_progress: Callable[[str], None]
) -> list[dict[str, Any]]:
    subjects, results = [], []
    for variant in variants:
        what = f"{variant.title}, {variant.frames} frames"
        report_progress(f"{what}: tracking")
        with one_line_out_of_memory(what, TOO_MUCH):
            subject = variant.build()
            subject.model.train()
            recorder = subject.recorder()
            first_loss = subject.run(1, recorder)
            started = time.perf_counter()
            subject.run(2, recorder)
            tracked_s = time.perf_counter() - started
        subjects.append(subject)
        results.append(_result(variant, subject, recorder, first_loss, tracked_s))
    off = MemoryRecorder()
    times: list[list[float]] = [[] for _ in subjects]
    for step in range(3, 3 + steps):
        report_progress(f"{variants[0].frames} frames: timed steps, {step - 2} of {steps}")
        for subject, own_times in zip(subjects, times, strict=True):
            started = time.perf_counter()
            subject.run(step, off)
            own_times.append(time.perf_counter() - started)
    for result, own_times in zip(results, times, strict=True):
        result["step_s"] = statistics.median(own_times)
        result["step_s_each"] = own_times
        result["clips_per_s"] = result["clips"] / result["step_s"]
    return results


def _result(
    variant: Variant,
    subject: TrainStep,
    recorder: TrackingRecorder,
    first_loss: float,
    tracked_s: float,
) -> dict[str, Any]:
    memory = recorder.memory
    assert memory is not None and memory.timeline is not None
    parameter = next(subject.model.parameters())
    return {
        "name": variant.name,
        "title": variant.title,
        "description": variant.description,
        "frames": variant.frames,
        "clips": subject.clips,
        "device": str(parameter.device),
        "dtype": str(parameter.dtype).removeprefix("torch."),
        "parameters": sum(p.numel() for p in subject.model.parameters()),
        **{k: v for k, v in recorder.last.items() if k not in ("counter", "rss_high_water_bytes")},
        "peak_bytes_by_module": memory.modules,
        "tracked_step_s": tracked_s,
        "loss_first": first_loss,
        "timeline": _timeline_json(memory.timeline.thinned(TIMELINE_POINTS)),
    }


def _timeline_json(timeline: Timeline) -> dict[str, Any]:
    return {
        "seconds": [round(value, 6) for value in timeline.seconds.tolist()],
        "live_bytes": {name: series.tolist() for name, series in timeline.live_bytes.items()},
        "phases": [list(phase) for phase in timeline.phases],
    }


def write_json(comparison: dict[str, Any], path: Path) -> None:
    path.write_text(json.dumps(comparison) + "\n", encoding="utf-8")


def write_csv(comparison: dict[str, Any], path: Path) -> None:
    """One line per variant and number of frames; bytes, seconds."""
    columns = ["variant", "frames", "clips", "parameters", "peak_bytes"]
    columns += [f"{category}_bytes" for category in CATEGORIES]
    columns += [f"{phase}_peak_bytes" for phase in ("forward", "backward", "optimizer")]
    columns += ["step_s", "clips_per_s", "loss_first"]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        for result in comparison["variants"]:
            split, phases = result["peak_bytes_by_category"], result["phases"]
            row = {"variant": result["name"]}
            row |= {f"{category}_bytes": split.get(category, 0) for category in CATEGORIES}
            row |= {f"{name}_peak_bytes": phase["peak_bytes"] for name, phase in phases.items()}
            writer.writerow(row | {key: result[key] for key in columns if key in result})
