"""A batch of grounding: a clip and a query in each row.

B: rows; T: feature windows of the longest clip; L: tokens of the longest query; E, D: widths.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from svitt_ego.data.batch import Fault
from svitt_ego.grounding.time_grid import TimeGrid


@dataclass(frozen=True)
class Sample:
    """One query about one clip."""

    id: str
    video: Tensor
    """(T, E)."""
    text: Tensor
    """(L, D)."""
    duration_s: float
    """Of the clip."""
    window_s: tuple[float, float] | None
    """The truth; None where it is not known."""
    row: int = 0
    """Among the usable queries."""
    faults: tuple[Fault, ...] = ()
    """Features of other queries that could not be read, and for which this one stands."""


@dataclass(frozen=True)
class GroundingBatch:
    ids: tuple[str, ...]
    video: Tensor
    """(B, T, E), zero where padded."""
    video_mask: Tensor
    """(B, T) bool, true where there is a window."""
    text: Tensor
    """(B, L, D), zero where padded."""
    text_mask: Tensor
    """(B, L) bool."""
    durations_s: Tensor
    """(B,)."""
    spans: Tensor | None
    """(B, 2) start and end of the truth in steps of the features; None where one is not known."""
    grid: TimeGrid
    rows: Tensor
    """(B,) int64, among the usable queries."""
    faults: tuple[Fault, ...] = ()

    def tensors(self) -> list[Tensor]:
        values = (getattr(self, f.name) for f in fields(self))
        return [value for value in values if isinstance(value, Tensor)]

    def counts(self) -> dict[str, int]:
        """What a step's record says of it: `windows` of all clips, padding aside."""
        return {
            "samples": len(self.ids),
            "clips": len(self.ids),
            "windows": int(self.video_mask.sum()),
        }

    def of_type(self, dtype: torch.dtype) -> "GroundingBatch":
        """With features in a model's precision; times stay in fp32."""
        return replace(self, video=self.video.to(dtype), text=self.text.to(dtype))

    def to(self, device: torch.device) -> "GroundingBatch":
        return self._map(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> "GroundingBatch":
        """In page-locked memory; `DataLoader` calls it where its own `pin_memory` is set."""
        return self._map(Tensor.pin_memory)

    def _map(self, function: Callable[[Tensor], Tensor]) -> "GroundingBatch":
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        tensors = {name: value for name, value in values.items() if isinstance(value, Tensor)}
        return replace(self, **{name: function(tensor) for name, tensor in tensors.items()})


def collate(samples: Sequence[Sample], grid: TimeGrid) -> GroundingBatch:
    """Pad to the longest clip and the longest query."""
    windows = [sample.window_s for sample in samples]
    known = [window for window in windows if window is not None]
    video, video_mask = _pad([sample.video for sample in samples])
    text, text_mask = _pad([sample.text for sample in samples])
    return GroundingBatch(
        ids=tuple(sample.id for sample in samples),
        video=video,
        video_mask=video_mask,
        text=text,
        text_mask=text_mask,
        durations_s=torch.tensor([sample.duration_s for sample in samples]),
        spans=grid.to_steps(torch.tensor(known)) if len(known) == len(windows) else None,
        grid=grid,
        rows=torch.tensor([sample.row for sample in samples]),
        faults=tuple(fault for sample in samples for fault in sample.faults),
    )


def _pad(sequences: list[Tensor]) -> tuple[Tensor, Tensor]:
    lengths = torch.tensor([len(sequence) for sequence in sequences])
    mask = torch.arange(int(lengths.max())) < lengths[:, None]
    return pad_sequence(sequences, batch_first=True), mask
