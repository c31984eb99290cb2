"""Book-keeping of live bytes: when a storage came, when it went, and what it was for.

The ledger knows nothing of tensors. Events are numbered; a step's figures are worked out from the
lives of its storages when it ends, so that nothing has to be classified while the step runs.
"""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

CATEGORIES = (
    "parameters",
    "gradients",
    "communication",
    "optimizer_states",
    "buffers",
    "inputs",
    "activations",
    "temporaries",
    "other",
)
"""communication: buckets in which gradients wait to be reduced over ranks. activations: made in the
forward pass (or its recomputation) and still held when that pass ends. temporaries: whatever else a
step makes. other: made out of the tracker's sight, never named."""


@dataclass(slots=True)
class Life:
    """One storage from its first sight to its release."""

    size_bytes: int
    category: str | None
    """None: activations or temporaries, decided when the step ends."""
    born: int
    span: int | None
    """The forward pass or recomputation that made it; None outside of those."""
    module: str = ""
    """Path of the module that made it, or whose gradient it is; empty where none is known."""
    died: int | None = None
    finalizer: object = None
    """Whatever has to live as long as the storage to report its release."""


@dataclass(frozen=True)
class Timeline:
    """Live bytes inside one step, one entry per event."""

    seconds: np.ndarray
    """(events,) since the step's start: processor time of its thread, so that a busy machine does
    not distort the picture."""
    live_bytes: dict[str, np.ndarray]
    """(events,) for each category that occurs."""
    phases: tuple[tuple[str, float, float], ...]
    """Name, start and end in seconds."""

    def thinned(self, points: int) -> "Timeline":
        """At most `points` entries: of each stretch of equal length the one with most live bytes,
        so the peak stays."""
        if len(self.seconds) <= points:
            return self
        total = sum(self.live_bytes.values())
        borders = np.linspace(self.seconds[0], self.seconds[-1], points + 1)[1:-1]
        edges = [0, *np.searchsorted(self.seconds, borders), len(self.seconds)]
        kept = [a + int(np.argmax(total[a:b])) for a, b in pairwise(edges) if a < b]
        live = {name: series[kept] for name, series in self.live_bytes.items()}
        return Timeline(self.seconds[kept], live, self.phases)


@dataclass(frozen=True)
class Peak:
    """The moment of most live bytes, in a step or a phase."""

    peak_bytes: int
    peak_bytes_by_category: dict[str, int]

    def to_json(self) -> dict:
        return {
            "peak_bytes": self.peak_bytes,
            "peak_bytes_by_category": self.peak_bytes_by_category,
        }


@dataclass(frozen=True)
class StepMemory:
    """What one step held. A phase that ran several times counts with its highest peak."""

    peak: Peak
    phases: dict[str, Peak]
    modules: dict[str, dict[str, int]]
    """At the step's peak: path of a module -> category -> bytes, without its submodules'.
    Under the empty path is what no module is known for."""
    start_bytes: int
    end_bytes: int
    timeline: Timeline | None


@dataclass(slots=True)
class _Summit:
    """Highest total so far and its event."""

    total: int
    event: int


@dataclass
class Ledger:
    """Live bytes now, and the lives of the current step.

    Storages are named by any hashable key that is unique among the live ones.
    """

    keep_timeline: bool = False
    building: bool = False
    """Whether what is made now serves a backward pass to come: forward or recomputation."""
    module: str = ""
    """Whose work goes on now."""
    live: dict[int, Life] = field(default_factory=dict)
    """To read, not to change."""
    live_bytes: int = 0
    _lives: list[Life] = field(default_factory=list)
    _span_ends: list[int] = field(default_factory=list)
    _span: int | None = None
    _event: int = 0
    _seconds: list[float] = field(default_factory=list)
    _summit: _Summit | None = None
    _phase_summit: _Summit | None = None
    _phase_summits: dict[str, _Summit] = field(default_factory=dict)
    _phase_seconds: list[tuple[str, float, float]] = field(default_factory=list)
    _phase: tuple[str, float] | None = None
    _start: tuple[int, float] = (0, 0.0)

    def add(self, key: int, size_bytes: int, category: str | None = None) -> Life:
        """A storage is seen for the first time."""
        assert key not in self.live
        if self.building != (self._span is not None):
            self._turn_span()
        self._tick()
        self.live_bytes += size_bytes
        life = Life(size_bytes, category, self._event, self._span, self.module)
        self.live[key] = life
        self._lives.append(life)
        summit = self._phase_summit
        if summit is not None and self.live_bytes > summit.total:
            summit.total, summit.event = self.live_bytes, self._event
        return life

    def resize(self, key: int, size_bytes: int) -> None:
        """A storage grew or shrank: to the figures a release and a new one."""
        old = self.live[key]
        self.release(key)
        self.add(key, size_bytes, old.category).finalizer = old.finalizer

    def release(self, key: int) -> None:
        life = self.live.pop(key)
        self._tick()
        life.died = self._event
        self.live_bytes -= life.size_bytes

    def label(self, key: int, category: str, module: str = "") -> None:
        """Says what a live storage is for, from its birth on; the first such word stays."""
        life = self.live[key]
        if life.category in (None, "other"):
            life.category = category
            life.module = module

    def begin_step(self) -> None:
        assert self._summit is None, "a step is already being recorded"
        self._event = 0
        self._lives = list(self.live.values())
        for life in self._lives:
            # What a former step left without a name is held by somebody outside the steps.
            life.category = life.category or "other"
            life.born, life.span = 0, None
        self._span_ends, self._span, self.building = [], None, False
        self._start = (self.live_bytes, time.thread_time())
        self._seconds = [0.0]
        self._phase_summits, self._phase_seconds = {}, []
        self._phase_summit = _Summit(self.live_bytes, 0)
        self._summit = _Summit(self.live_bytes, 0)

    def begin_phase(self, name: str) -> None:
        assert self._summit is not None, "a phase is part of a step"
        assert self._phase is None, "phases do not nest"
        self._fold_summit()
        self._phase = (name, time.thread_time() - self._start[1])

    def end_phase(self) -> None:
        assert self._phase is not None
        self._close_span()
        name, start_s = self._phase
        self._phase_seconds.append((name, start_s, time.thread_time() - self._start[1]))
        summit = self._fold_summit()
        known = self._phase_summits.get(name)
        if known is None or summit.total > known.total:
            self._phase_summits[name] = summit
        self._phase = None

    def end_step(self) -> StepMemory:
        assert self._summit is not None and self._phase is None
        self._close_span()
        self._fold_summit()
        result = StepMemory(
            peak=self._peak(self._summit),
            phases={name: self._peak(summit) for name, summit in self._phase_summits.items()},
            modules=self._modules(self._summit),
            start_bytes=self._start[0],
            end_bytes=self.live_bytes,
            timeline=self._timeline() if self.keep_timeline else None,
        )
        self._summit = self._phase_summit = None
        self._lives, self._seconds = [], []
        return result

    def _turn_span(self) -> None:
        """Only with a new storage: recomputation switches gradients off for views in between."""
        if self.building:
            self._span = len(self._span_ends)
            self._span_ends.append(-1)
        else:
            self._close_span()

    def _close_span(self) -> None:
        if self._span is not None:
            self._span_ends[self._span] = self._event
            self._span = None

    def _tick(self) -> None:
        self._event += 1
        if self.keep_timeline and self._summit is not None:
            self._seconds.append(time.thread_time() - self._start[1])

    def _fold_summit(self) -> _Summit:
        """Ends the stretch that is being watched, and starts the next one."""
        summit = self._phase_summit
        assert summit is not None and self._summit is not None
        if summit.total > self._summit.total:
            self._summit = summit
        self._phase_summit = _Summit(self.live_bytes, self._event)
        return summit

    def _final_category(self, life: Life) -> str:
        if life.category is not None:
            return life.category
        if life.span is None:
            return "temporaries"
        outlived = life.died is None or life.died > self._span_ends[life.span]
        return "activations" if outlived else "temporaries"

    def _alive(self, event: int) -> Iterator[Life]:
        for life in self._lives:
            if life.born <= event and (life.died is None or life.died > event):
                yield life

    def _modules(self, summit: _Summit) -> dict[str, dict[str, int]]:
        sizes: dict[str, dict[str, int]] = {}
        for life in self._alive(summit.event):
            of_module, category = sizes.setdefault(life.module, {}), self._final_category(life)
            of_module[category] = of_module.get(category, 0) + life.size_bytes
        return dict(sorted(sizes.items()))

    def _peak(self, summit: _Summit) -> Peak:
        sizes: dict[str, int] = {}
        for life in self._alive(summit.event):
            category = self._final_category(life)
            sizes[category] = sizes.get(category, 0) + life.size_bytes
        split = {name: sizes[name] for name in _in_order(sizes)}
        assert sum(split.values()) == summit.total
        return Peak(summit.total, split)

    def _timeline(self) -> Timeline:
        changes: dict[str, np.ndarray] = {}
        for life in self._lives:
            category = self._final_category(life)
            if category not in changes:
                changes[category] = np.zeros(self._event + 1, np.int64)
            changes[category][life.born] += life.size_bytes
            if life.died is not None:
                changes[category][life.died] -= life.size_bytes
        live = {name: changes[name].cumsum() for name in _in_order(changes)}
        return Timeline(np.array(self._seconds), live, tuple(self._phase_seconds))


def _in_order(names: Iterable[str]) -> list[str]:
    """The categories in the order of `CATEGORIES`, then any others by name."""
    present = set(names)
    known = [name for name in CATEGORIES if name in present]
    return known + sorted(present - set(CATEGORIES))
