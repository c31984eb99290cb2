"""What a run needs on each GPU, whether it fits, and the largest micro-batch that does."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from svitt_ego.config.schema import ConfigError, Recipe
from svitt_ego.profiling.planning.planned_run import PlannedRun, PlannedStep
from svitt_ego.training.deepspeed_config import (
    Machine,
    resolve_deepspeed_config,
    zero_stage_of,
)

MIB = 2**20
LARGEST_TRIED = 4096
"""Anchors: a GPU for more has not been built."""

LINES_TRIED = 8
"""Guesses before halving, for a need that is far from linear."""

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Assumptions:
    """What a step's tensors do not show."""

    allocator_slack_share: float = 0.05
    """Of the peak: what PyTorch's caching allocator loses to rounding and fragments."""
    cuda_context_bytes: int = 512 * MIB
    """Driver, kernels and cuBLAS workspaces of a process."""
    communication_bytes: int = 256 * MIB
    """NCCL's own buffers, where there are several GPUs."""

    def context_bytes(self, gpus: int) -> int:
        return self.cuda_context_bytes + (self.communication_bytes if gpus > 1 else 0)

    def text(self, recipe: Recipe, gpus: int) -> list[str]:
        """For people; each line one assumption."""
        context = f"{self.context_bytes(gpus) / MIB:.0f} MiB"
        return [
            "a step of rank 0, after the one in which the optimiser makes its states",
            f"texts of {recipe.data.max_text_tokens} tokens, the masked share exactly as expected, "
            "two hard negatives for every anchor",
            f"allocator slack: {self.allocator_slack_share:.0%} of the peak",
            f"CUDA context{' and NCCL' if gpus > 1 else ''}: {context}",
            "FlexAttention, which cannot run on fake tensors, stores its inputs, its output and "
            "one fp32 number for each query",
            "kernels that PyTorch or Triton compile need no memory inside a kernel",
        ]


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
    largest_micro_batch: int | None = None
    """None: not asked; 0: not even one anchor fits."""
    assumptions: Assumptions = field(default_factory=Assumptions)

    @property
    def clips(self) -> int:
        """That enter the video encoder of one rank in one step."""
        return self.micro_batch * self.recipe.objectives.contrastive.clips_per_anchor

    @property
    def peak_bytes(self) -> int:
        return self.step.memory.peak.peak_bytes

    @property
    def context_bytes(self) -> int:
        return self.assumptions.context_bytes(self.gpus)

    @property
    def needed_bytes(self) -> int:
        return needed_bytes(self.peak_bytes, self.gpus, self.assumptions)

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
            "allocator_slack_bytes": round(
                self.assumptions.allocator_slack_share * self.peak_bytes
            ),
            "context_bytes": self.context_bytes,
            "needed_bytes": self.needed_bytes,
            "host_bytes": self.step.host_bytes,
            "flops": self.step.flops,
            "fits": self.fits,
            "largest_micro_batch": self.largest_micro_batch,
            "assumptions": self.assumptions.text(self.recipe, self.gpus),
        }


def needed_bytes(peak_bytes: int, gpus: int, assumptions: Assumptions) -> int:
    slack_bytes = round(assumptions.allocator_slack_share * peak_bytes)
    return peak_bytes + slack_bytes + assumptions.context_bytes(gpus)


class Planner:
    """Plans of one recipe and config, for GPUs of any size; a micro-batch is run only once.

    Args:
        run: inside its `with`.
        progress: called with a line of text before each step.
    """

    def __init__(self, run: PlannedRun, progress: Progress = lambda _: None) -> None:
        self._run, self._progress = run, progress
        self._steps: dict[int, PlannedStep] = {}
        self._assumptions = Assumptions()

    def plan(self, gpu_memory_bytes: int, micro_batch: int, largest: int | None = None) -> Plan:
        """At so many anchors of one rank."""
        run, step = self._run, self._step(micro_batch)
        return Plan(
            run.recipe,
            run.config,
            run.world_size,
            gpu_memory_bytes,
            micro_batch,
            step,
            largest,
            self._assumptions,
        )

    def largest(self, gpu_memory_bytes: int) -> int:
        """Most anchors of one rank that fit; 0 where not even one does."""
        first = self._run.recipe.training.micro_batch_size
        return largest_that_fits(self._need, gpu_memory_bytes, first)

    def _need(self, micro_batch: int) -> int:
        peak_bytes = self._step(micro_batch).memory.peak.peak_bytes
        return needed_bytes(peak_bytes, self._run.world_size, self._assumptions)

    def _step(self, micro_batch: int) -> PlannedStep:
        if micro_batch not in self._steps:
            self._progress(f"{self._run.recipe.name}, micro-batch {micro_batch}")
            self._steps[micro_batch] = self._run.step(micro_batch)
        return self._steps[micro_batch]


def plan(
    recipe: Recipe,
    config: dict[str, Any],
    gpus: int,
    gpu_memory_bytes: int,
    micro_batch: int | None,
    find_largest: bool = True,
    progress: Progress = lambda _: None,
) -> Plan:
    """Plan a run on `gpus` GPUs of `gpu_memory_bytes` each.

    Args:
        config: of `planned_config`.
        micro_batch: anchors of one rank; None: the most that fit. Where looking for the most
            finds that none do, the plan is of 1.
        find_largest: look for the most that fit also where a number is given.
    """
    with PlannedRun(recipe, config, gpus) as run:
        planner = Planner(run, progress)
        largest = None
        if find_largest or micro_batch is None:
            largest = planner.largest(gpu_memory_bytes)
        if largest == 0:  # what one anchor needs says why there is no more to ask
            micro_batch = 1
        return planner.plan(gpu_memory_bytes, micro_batch or max(largest or 0, 1), largest)


def largest_that_fits(need: Callable[[int], int], limit_bytes: int, first: int) -> int:
    """The n for which need(n) <= limit_bytes < need(n + 1), both asked; 0 where 1 is too much.

    The need grows about linearly, so each guess is drawn through the two nearest known ones.

    Args:
        need: n -> bytes; asked as seldom as possible.
        first: where to begin.
    """
    low, high = 0, LARGEST_TRIED + 1
    known = {n: need(n) for n in (first, 2 * first)}
    low = max((n for n in known if known[n] <= limit_bytes), default=0)
    high = min((n for n in known if known[n] > limit_bytes), default=high)
    guess = _next_guess(known, low, high, limit_bytes)
    while high - low > 1:
        known[guess] = need(guess)
        if known[guess] <= limit_bytes:
            low = guess
        else:
            high = guess
        guess = _next_guess(known, low, high, limit_bytes)
    return low


def _next_guess(known: dict[int, int], low: int, high: int, limit_bytes: int) -> int:
    """Between low and high, exclusive: where a line through known points meets the limit."""
    if len(known) > LINES_TRIED:
        return (low + min(high, 4 * low + 2)) // 2
    points = sorted(known, key=lambda n: abs(known[n] - limit_bytes))[:2]
    a, b = points
    slope = (known[b] - known[a]) / (b - a)
    if slope > 0:
        guess = int(a + (limit_bytes - known[a]) / slope)
        # where the line is exact, one of the border's two sides is still to be asked; where it is
        # flat, as while the optimiser has the peak, it says little of what lies far out
        return min(max(guess, low + 1), high - 1, 4 * max(known))
    return (low + min(high, 4 * low + 2)) // 2


def planned_config(path: str, recipe: Recipe, gpus: int) -> dict[str, Any]:
    """The DeepSpeed config as a machine with such GPUs would resolve it.

    Raises:
        ConfigError: as `resolve_deepspeed_config`, or of stage 3, which the plan does not know.
    """
    machine = Machine("cuda", fp16=True, bf16=True)
    config = resolve_deepspeed_config(path, recipe, gpus, Path(), machine)
    if zero_stage_of(config) == 3:
        raise ConfigError(f"{path}: zero_optimization.stage = 3: plans are made for stages 0 to 2")
    return config | {"tensorboard": {"enabled": False}}
