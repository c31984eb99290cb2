"""What a run needs on each GPU, whether it fits, and the largest micro-batch that does."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from svitt_ego.config.schema import Recipe
from svitt_ego.profiling.planning.assumptions import Assumptions
from svitt_ego.profiling.planning.largest import largest_that_fits
from svitt_ego.profiling.planning.planned_run import PlannedRun, PlannedStep
from svitt_ego.training.deepspeed_config import Machine, resolve_deepspeed_config

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """One recipe, one DeepSpeed config, some GPUs."""

    recipe: Recipe
    config: dict[str, Any]
    gpus: int
    gpu_memory_bytes: int
    micro_batch: int
    """Anchors of one rank."""
    step: PlannedStep
    assumptions: Assumptions = field(default_factory=Assumptions)

    @property
    def clips(self) -> int:
        """That enter the video encoder of one rank in one step."""
        return self.micro_batch * self.recipe.objectives.contrastive.clips_per_anchor

    @property
    def peak_bytes(self) -> int:
        return self.step.memory.peak.peak_bytes

    @property
    def needed_bytes(self) -> int:
        return self.assumptions.needed_bytes(self.peak_bytes)

    @property
    def fits(self) -> bool:
        return self.needed_bytes <= self.gpu_memory_bytes

    def to_json(self) -> dict[str, Any]:
        memory = self.step.memory
        return {
            "recipe": self.recipe.name,
            "gpus": self.gpus,
            "gpu_memory_bytes": self.gpu_memory_bytes,
            "micro_batch": self.micro_batch,
            "clips": self.clips,
            "peak_bytes": self.peak_bytes,
            "categories": memory.peak.peak_bytes_by_category,
            "phases": {name: peak.peak_bytes for name, peak in memory.phases.items()},
            "allocator_slack_bytes": self.assumptions.slack_bytes(self.peak_bytes),
            "context_bytes": self.assumptions.context_bytes,
            "needed_bytes": self.needed_bytes,
            "host_bytes": self.step.host_bytes,
            "flops": self.step.flops,
            "fits": self.fits,
            "assumptions": self.assumptions.text(self.recipe),
        }


class Planner:
    """Plans of one recipe and config, for GPUs of any size; a micro-batch is run only once.

    Args:
        run: inside its `with`.
        progress: called with a line of text before each step.
    """

    def __init__(
        self,
        run: PlannedRun,
        assumptions: Assumptions | None = None,
        progress: Progress = lambda _: None,
    ) -> None:
        self._run, self._progress = run, progress
        self._assumptions = assumptions or Assumptions.of(run.world_size)
        self._steps: dict[int, PlannedStep] = {}

    def plan(self, gpu_memory_bytes: int, micro_batch: int) -> Plan:
        """At so many anchors of one rank."""
        run, step = self._run, self._step(micro_batch)
        return Plan(
            run.recipe,
            run.config,
            run.world_size,
            gpu_memory_bytes,
            micro_batch,
            step,
            self._assumptions,
        )

    def largest(self, gpu_memory_bytes: int) -> int:
        """Most anchors of one rank that fit, as `largest_that_fits`; 0 where not even one does.

        The search begins with what was planned before, where nothing was with the recipe's
        micro-batch.
        """
        if not self._steps:
            self._step(self._run.recipe.training.micro_batch_size)
        known = {micro_batch: self._need(micro_batch) for micro_batch in self._steps}
        start_bytes = next(iter(self._steps.values())).memory.start_bytes
        empty_bytes = self._assumptions.needed_bytes(start_bytes)
        return largest_that_fits(self._need, gpu_memory_bytes, known, empty_bytes)

    def _need(self, micro_batch: int) -> int:
        return self._assumptions.needed_bytes(self._step(micro_batch).memory.peak.peak_bytes)

    def _step(self, micro_batch: int) -> PlannedStep:
        if micro_batch not in self._steps:
            self._progress(f"{self._run.recipe.name}, micro-batch {micro_batch}")
            self._steps[micro_batch] = self._run.step(micro_batch)
        return self._steps[micro_batch]


def planned_config(path: str, recipe: Recipe, gpus: int) -> dict[str, Any]:
    """The DeepSpeed config as a machine with such GPUs would resolve it.

    Raises:
        ConfigError: as `resolve_deepspeed_config`.
    """
    machine = Machine("cuda", fp16=True, bf16=True)
    config = resolve_deepspeed_config(path, recipe, gpus, Path(), machine)
    return config | {"tensorboard": {"enabled": False}}
