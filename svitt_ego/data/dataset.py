"""One training sample: an anchor clip and its scene-aware negative, decoded and augmented."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.data import Dataset

from svitt_ego.config import ConfigError
from svitt_ego.config.schema import Data
from svitt_ego.data.batch import Fault
from svitt_ego.data.decord_reader import VideoError
from svitt_ego.data.frame_sampling import frame_times
from svitt_ego.data.metadata import ClipTable
from svitt_ego.data.negatives import SceneNegatives
from svitt_ego.data.randomness import Stream, generator
from svitt_ego.data.transforms import draw_crop, resize_clip
from svitt_ego.data.video import read_clip

ATTEMPTS = 20
"""Clips tried for one place in a batch before the videos as a whole are held to be unreadable."""

_ANCHOR, _NEGATIVE = 0, 1


class UnreadableVideos(ConfigError):
    """So many clips in a row failed that going on makes no sense."""

    def __init__(self, message: str) -> None:
        # Out of a loader worker the message comes wrapped in a traceback, of which it ends.
        super().__init__(message.rpartition(f"{type(self).__name__}: ")[2].strip())


@dataclass(frozen=True)
class Clip:
    """A row of the table with its frames: video (T, 3, H, W) uint8."""

    row: int
    video: Tensor
    text: str
    verbs: tuple[int, ...]
    nouns: tuple[int, ...]


@dataclass(frozen=True)
class Sample:
    anchor: Clip
    negative: Clip | None
    negative_is_random: bool
    """No scene-aware negative could be found or read: any other clip stands in."""
    faults: tuple[Fault, ...]


class EgoClipDataset(Dataset[Sample]):
    """Samples by (epoch, row); each is a pure function of (seed, epoch, row) and the files.

    An unreadable clip is replaced by one of a random other row, drawn from the same key, and
    reported in the sample's faults.
    """

    def __init__(
        self,
        table: ClipTable,
        data: Data,
        *,
        image_size: int,
        seed: int,
        scene_negatives: bool,
    ) -> None:
        """
        Args:
            image_size: height and width of the frames, pixels.
            scene_negatives: add a scene-aware negative to each anchor.
        """
        self.table = table
        self._data = data
        self._image_size = image_size
        self._seed = seed
        self._negatives = SceneNegatives(table) if scene_negatives else None

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, key: tuple[int, int]) -> Sample:
        """
        Raises:
            UnreadableVideos: `ATTEMPTS` clips in a row could not be read.
        """
        epoch, row = key
        faults: list[Fault] = []
        anchor, _ = self._read_or_replace(row, (epoch, row, _ANCHOR), faults)
        if self._negatives is None:
            return Sample(anchor, None, False, tuple(faults))
        rng = generator(Stream.NEGATIVE, self._seed, epoch, row)
        drawn = self._negatives.draw(anchor.row, rng)
        negative, replaced = self._read_or_replace(
            drawn.row, (epoch, row, _NEGATIVE), faults, never=anchor.row
        )
        is_random = replaced or drawn.source == "random"
        return Sample(anchor, negative, is_random, tuple(faults))

    def _read_or_replace(
        self, row: int, key: tuple[int, int, int], faults: list[Fault], never: int | None = None
    ) -> tuple[Clip, bool]:
        """The clip of `row` or of a random row but `never`, and whether it was replaced."""
        first_fault = len(faults)
        for attempt in range(ATTEMPTS):
            try:
                return self._read(row, (*key, attempt)), attempt > 0
            except VideoError as error:
                faults.append(Fault(str(error.path), error.cause))
            rng = generator(Stream.REPLACEMENT, self._seed, *key, attempt)
            row = int(rng.integers(len(self.table)))
            if row == never:
                row = (row + 1) % len(self.table)
        tried = "; ".join(f"{fault.path}: {fault.cause}" for fault in faults[first_fault:][:3])
        raise UnreadableVideos(
            f"{ATTEMPTS} clips in a row could not be read, so data.videos "
            f"(root {self._data.videos.root!r}, layout {self._data.videos.layout!r}) does not fit "
            f"{self.table.path}: {tried}; …"
        )

    def _read(self, row: int, key: tuple[int, ...]) -> Clip:
        clip = self.table[row]
        rng = generator(Stream.CLIP, self._seed, *key)
        times_s = frame_times(clip.start_s, clip.end_s, self._data.frames, rng)
        video = read_clip(self._data.videos, clip.video_uid, times_s)
        crop = draw_crop(*video.shape[-2:], self._data.augmentation, rng)
        video = resize_clip(video, self._image_size, crop)
        assert video.dtype == torch.uint8
        return Clip(row, video, clip.text, clip.verbs, clip.nouns)
