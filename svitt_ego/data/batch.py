"""What travels from the loader to the model."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from svitt_ego.data.transforms import resize_clip


@dataclass(frozen=True)
class Fault:
    """A clip that could not be read and was replaced."""

    path: str
    cause: str
    """Short and countable: `missing`, `corrupt`, `past the end` …"""


@dataclass(frozen=True)
class Batch:
    """One micro-batch of one rank: N anchors, then, if the recipe asks for them, their N
    scene-aware negatives and their N action-aware positives; M = N, 2N or 3N clips with their
    narrations.

    Shapes: video (M, T, 3, H, W) uint8; text_ids, text_mask (M, L) int64, L the longest text of
    the batch; verb_tags (M, verb classes) and noun_tags (M, noun classes) bool; rows (M,) int64,
    the clips' rows in the metadata.
    """

    video: Tensor
    text_ids: Tensor
    text_mask: Tensor
    verb_tags: Tensor
    noun_tags: Tensor
    rows: Tensor
    anchors: int
    """N"""
    random_negatives: int = 0
    """Anchors whose negative is any clip, as their video has no readable other action."""
    faults: tuple[Fault, ...] = ()

    def to(self, device: torch.device) -> "Batch":
        """Asynchronous for a batch in pinned memory."""
        return self._map(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> "Batch":
        """In page-locked memory; `DataLoader` calls it where its own `pin_memory` is set."""
        return self._map(Tensor.pin_memory)

    def without_video(self) -> "Batch":
        """What needs no decoding or resizing of it."""
        return self

    def counts(self) -> dict[str, int]:
        """What a step's record says of it."""
        return {
            "samples": self.anchors,
            "clips": len(self.rows),
            "random_negatives": self.random_negatives,
        }

    def tensors(self) -> list[Tensor]:
        values = (getattr(self, f.name) for f in fields(self))
        return [value for value in values if isinstance(value, Tensor)]

    def _map(self, function: Callable[[Tensor], Tensor]) -> "Batch":
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        tensors = {name: value for name, value in values.items() if isinstance(value, Tensor)}
        return replace(self, **{name: function(tensor) for name, tensor in tensors.items()})


@dataclass(frozen=True)
class StoredClips:
    """Clips of different sizes, cut to their crops: what is left to do is best done on the device.

    pixels: (bytes,) uint8, the clips one after the other, each (T, H, W, 3).
    """

    pixels: Tensor
    shapes: tuple[tuple[int, int, int, int], ...]
    """(T, H, W, 3) of each clip."""
    mirrored: tuple[bool, ...]
    image_size: int
    """Height and width of the result, pixels."""

    @classmethod
    def pack(
        cls, clips: Sequence[Tensor], mirrored: Sequence[bool], image_size: int
    ) -> "StoredClips":
        """Of clips (T, 3, H, W) uint8; copies each once."""
        stored = [clip.permute(0, 2, 3, 1) for clip in clips]  # the decoders' memory order
        pixels = torch.cat([clip.reshape(-1) for clip in stored])
        return cls(pixels, tuple(tuple(c.shape) for c in stored), tuple(mirrored), image_size)

    def finish(self) -> Tensor:
        """(M, T, 3, image_size, image_size) uint8, resized and mirrored where the pixels are."""
        sizes = [math.prod(shape) for shape in self.shapes]
        clips = zip(self.pixels.split(sizes), self.shapes, self.mirrored, strict=True)
        return torch.stack(
            [
                resize_clip(clip.view(shape).permute(0, 3, 1, 2), self.image_size, mirrored)
                for clip, shape, mirrored in clips
            ]
        )


@dataclass(frozen=True)
class StoredBatch:
    """A batch whose clips `to` finishes on the device."""

    clips: StoredClips
    rest: Batch
    """All else; its video is empty."""

    @property
    def rows(self) -> Tensor:
        return self.rest.rows

    @property
    def faults(self) -> tuple[Fault, ...]:
        return self.rest.faults

    def counts(self) -> dict[str, int]:
        return self.rest.counts()

    def without_video(self) -> Batch:
        return self.rest

    def to(self, device: torch.device) -> Batch:
        """Asynchronous for a batch in pinned memory."""
        pixels = self.clips.pixels.to(device, non_blocking=True)
        return replace(self.rest.to(device), video=replace(self.clips, pixels=pixels).finish())

    def pin_memory(self) -> "StoredBatch":
        """In page-locked memory; `DataLoader` calls it where its own `pin_memory` is set."""
        clips = replace(self.clips, pixels=self.clips.pixels.pin_memory())
        return replace(self, clips=clips, rest=self.rest.pin_memory())
