"""The memory part of a step's record, on CPU and CUDA, or nothing at no cost.

    recorder = MemoryRecorder.for_device(device)
    recorder.register("parameters", model.parameters)
    with recorder.step():
        recorder.mark("inputs", tensors)
        with recorder.phase("forward"):
            ...
    record.update(recorder.last)

The recorder knows steps, phases and tensors, no model; the same code serves real and fake tensors.
"""

from collections.abc import Iterable
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from svitt_ego.config import ConfigError
from svitt_ego.profiling.ledger import StepMemory
from svitt_ego.profiling.tracker import Source, TensorTracker
from svitt_ego.profiling.units import show_bytes

HISTORY_ENTRIES = 100_000
"""Of the allocator's history: some steps of it."""

EXPLAIN_EVERY = 1000
"""Steps on CUDA: tracking costs some 25 us an operation, too much for each."""

RESIDENT = ("parameters", "buffers", "optimizer_states")
"""Categories that are there from a step's first to its last moment."""


class MemoryRecorder:
    """Records nothing; base of those that do."""

    counter: ClassVar[str] = "none"
    """Where the figures come from."""

    def __init__(self) -> None:
        self.last: dict[str, Any] = {}
        """Of the last complete step: `counter`, `peak_bytes`, `peak_bytes_by_category` where
        known, `phases` (name -> the same two), `rss_high_water_bytes` where the system tells. A
        step whose peak is higher than all before adds `peak_bytes_by_module`: path of a module ->
        category -> bytes, submodules not included. No peak at all: that step was not tracked."""

    @staticmethod
    def for_device(
        device: torch.device, snapshot_file: Path | None = None, track_every: int = 1
    ) -> "MemoryRecorder":
        """Tracked tensors on CPU, the allocator's own counters on CUDA.

        Args:
            track_every: on CPU, track only the first two steps and each so-many-th.
            snapshot_file: on CUDA, keep the allocator's history and leave it there after each
                step and when memory runs out, for https://pytorch.org/memory_viz.
        """
        if device.type == "cuda":
            return AllocatorRecorder(device, snapshot_file=snapshot_file)
        return TrackingRecorder(device=device, every=track_every)

    def register(self, category: str, source: Source) -> None:
        """Tensors of `category` that outlive a step; `source` is asked anew in each step."""

    def mark(self, category: str, tensors: Iterable[Tensor]) -> None:
        """Tensors that exist now, inside a step: its batch, say."""

    def watch(self, module: nn.Module) -> None:
        """Counts its parameters' gradients as such from their birth on, and tells which of its
        submodules made what."""

    def step(self) -> AbstractContextManager[None]:
        """From a batch's arrival to the updated weights; fills `last` if it ends without error."""
        return nullcontext()

    def phase(self, name: str) -> AbstractContextManager[None]:
        """A part of a step, `data`, `forward`, `backward` or `optimizer`; phases do not nest."""
        return nullcontext()


class TrackingRecorder(MemoryRecorder):
    """Every live storage of the step, counted once (`TensorTracker`).

    Args:
        every: track only the first two steps (the first makes the optimiser's states, which the
            second has from its start) and each so-many-th.
    """

    counter = "tracked tensors"

    def __init__(
        self,
        keep_timeline: bool = False,
        device: torch.device | None = None,
        every: int = 1,
    ) -> None:
        super().__init__()
        self._tracker = TensorTracker(keep_timeline, device)
        self._every = every
        self._steps = 0
        self._tracks = False
        self._highest_bytes = 0
        self.memory: StepMemory | None = None
        """All that is known of the last complete tracked step."""

    def register(self, category: str, source: Source) -> None:
        self._tracker.register(category, source)

    def mark(self, category: str, tensors: Iterable[Tensor]) -> None:
        if self._tracks:
            self._tracker.mark(category, tensors)

    def watch(self, module: nn.Module) -> None:
        self._tracker.watch_gradients(module)
        self._tracker.watch_modules(module)

    @contextmanager
    def step(self):
        self._steps += 1
        self._tracks = self._steps <= 2 or self._steps % self._every == 0
        if not self._tracks:
            yield
            self.last = {"counter": self.counter, **high_water()}
            return
        with self._tracker.step() as result:
            yield
        (self.memory,) = result
        self.last = {
            "counter": self.counter,
            **self.memory.peak.to_json(),
            "phases": {name: peak.to_json() for name, peak in self.memory.phases.items()},
            **high_water(),
        }
        if self.memory.peak.peak_bytes > self._highest_bytes:
            self._highest_bytes = self.memory.peak.peak_bytes
            self.last["peak_bytes_by_module"] = self.memory.modules

    def phase(self, name: str) -> AbstractContextManager[None]:
        return self._tracker.phase(name) if self._tracks else nullcontext()


class AllocatorRecorder(MemoryRecorder):
    """What PyTorch's caching allocator counted on one CUDA device, and now and then what for.

    Of most steps categories are known only for what is resident; the rest of the peak is
    `unattributed`. Each `explain_every`-th step, the second first, is tracked as on a CPU
    (`TrackingRecorder`): it has all categories, of each phase too, and `peak_bytes_by_module` of
    the moment when tensors needed most, is marked `explained`, and takes longer. There
    `unattributed` is what the allocator counted beyond tensors: rounding, and what kernels use
    inside, compiled ones too.

    Adds `reserved_bytes` (peak), `alloc_retries` and `ooms` (both since the process began).
    `statistics` has the functions of `torch.cuda` used here.
    """

    counter = "cuda allocator"

    def __init__(
        self,
        device: torch.device,
        statistics: Any = torch.cuda,
        snapshot_file: Path | None = None,
        explain_every: int = EXPLAIN_EVERY,
    ) -> None:
        super().__init__()
        self._device = device
        self._statistics = statistics
        self._snapshot_file = snapshot_file
        self._phase_now = ""
        if snapshot_file:
            statistics.memory._record_memory_history(max_entries=HISTORY_ENTRIES)
        self._sources: list[tuple[str, Source]] = []
        self._peak_bytes = self._reserved_bytes = 0
        self._phases: dict[str, int] = {}
        self._tracking = TrackingRecorder(device=device)
        self._explain_every = explain_every
        self._steps = 0
        self._now: MemoryRecorder = MemoryRecorder()
        """Explains the step, or does nothing."""

    def register(self, category: str, source: Source) -> None:
        self._tracking.register(category, source)
        if category in RESIDENT:
            self._sources.append((category, source))

    def mark(self, category: str, tensors: Iterable[Tensor]) -> None:
        self._now.mark(category, tensors)

    def watch(self, module: nn.Module) -> None:
        self._tracking.watch(module)

    @contextmanager
    def step(self):
        self._steps += 1
        # the first makes the optimiser's states and compiles kernels
        explained = (self._steps - 2) % self._explain_every == 0
        self._now = self._tracking if explained else MemoryRecorder()
        self._peak_bytes = self._reserved_bytes = 0
        self._phases = {}
        resident = self._resident_bytes()
        self._statistics.reset_peak_memory_stats(self._device)
        try:
            with self._now.step():
                yield
        except torch.OutOfMemoryError as error:
            self._write_snapshot()
            raise ConfigError(self._what_to_change()) from error
        finally:
            tracked, self._now = self._now.last, MemoryRecorder()
        self._take_peak()
        self._write_snapshot()
        counts = self._statistics.memory_stats(self._device)
        phases: dict[str, Any] = {name: {"peak_bytes": peak} for name, peak in self._phases.items()}
        for name, seen in tracked.get("phases", {}).items():
            split = seen["peak_bytes_by_category"]
            phases[name]["peak_bytes_by_category"] = _with_rest(split, self._phases[name])
        split = tracked.get("peak_bytes_by_category", resident)
        self.last = {
            "counter": self.counter,
            "peak_bytes": self._peak_bytes,
            "peak_bytes_by_category": _with_rest(split, self._peak_bytes),
            "phases": phases,
            "reserved_bytes": self._reserved_bytes,
            "alloc_retries": counts.get("num_alloc_retries", 0),
            "ooms": counts.get("num_ooms", 0),
            **high_water(),
        }
        if explained and self._tracking.memory:
            self.last |= {"explained": True, "peak_bytes_by_module": self._tracking.memory.modules}

    @contextmanager
    def phase(self, name: str):
        self._take_peak()
        self._phase_now = name
        with self._now.phase(name):
            yield
        self._phases[name] = max(self._take_peak(), self._phases.get(name, 0))

    def _write_snapshot(self) -> None:
        if self._snapshot_file:
            self._statistics.memory._dump_snapshot(str(self._snapshot_file))

    def _what_to_change(self) -> str:
        """One line for somebody whose GPU is too small."""
        allocated = show_bytes(self._statistics.memory_allocated(self._device))
        seen = f"; its history is in {self._snapshot_file}" if self._snapshot_file else ""
        return (
            f"{self._device}: out of memory in phase {self._phase_now or 'data'} with {allocated} "
            "in tensors: lower training.micro_batch_size, set training.recompute.what = layers, or "
            f"let launch/plan_memory.py find what fits{seen}"
        )

    def _take_peak(self) -> int:
        """The allocator's peak since the last call, and a new start for the next.

        The allocator counts on the host when memory is handed out, so no kernel is waited for.
        """
        peak_bytes = self._statistics.max_memory_allocated(self._device)
        self._peak_bytes = max(self._peak_bytes, peak_bytes)
        reserved_bytes = self._statistics.max_memory_reserved(self._device)
        self._reserved_bytes = max(self._reserved_bytes, reserved_bytes)
        self._statistics.reset_peak_memory_stats(self._device)
        return peak_bytes

    def _resident_bytes(self) -> dict[str, int]:
        """Bytes of the registered storages on this device, each counted once."""
        seen: set[int] = set()
        sizes: dict[str, int] = {}
        for category, source in self._sources:
            for tensor in source():
                storage = tensor.untyped_storage()
                if tensor.device == self._device and storage._cdata not in seen:
                    seen.add(storage._cdata)
                    sizes[category] = sizes.get(category, 0) + storage.nbytes()
        return sizes


def _with_rest(split: dict[str, int], peak_bytes: int) -> dict[str, int]:
    return {**split, "unattributed": peak_bytes - sum(split.values())}


def high_water(status_file: Path = Path("/proc/self/status")) -> dict[str, int]:
    """Most resident memory the process ever had: all of it, libraries and loaders' buffers too.

    Empty where the system has no /proc. (`getrusage` would count what the parent had.)
    """
    if not status_file.is_file():
        return {}
    for line in status_file.read_text().splitlines():
        if line.startswith("VmHWM:"):
            return {"rss_high_water_bytes": int(line.split()[1]) * 1024}
    return {}
