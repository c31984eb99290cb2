"""A batch of grounding: a clip and a query in each row.

B: rows; T: feature windows of the longest clip; L: tokens of the longest query; E, D: widths.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

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

    def to(self, device: torch.device) -> "GroundingBatch":
        return replace(
            self,
            video=self.video.to(device),
            video_mask=self.video_mask.to(device),
            text=self.text.to(device),
            text_mask=self.text_mask.to(device),
            durations_s=self.durations_s.to(device),
            spans=None if self.spans is None else self.spans.to(device),
        )


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
    )


def _pad(sequences: list[Tensor]) -> tuple[Tensor, Tensor]:
    lengths = torch.tensor([len(sequence) for sequence in sequences])
    mask = torch.arange(int(lengths.max())) < lengths[:, None]
    return pad_sequence(sequences, batch_first=True), mask
