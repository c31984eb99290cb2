"""One training sample: an anchor clip and its companions, decoded and augmented."""

import math
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from torch import Tensor
from torch.utils.data import Dataset

from svitt_ego.config import ConfigError
from svitt_ego.config.schema import Contrastive, Data
from svitt_ego.data.batch import Fault
from svitt_ego.data.frame_sampling import frame_times
from svitt_ego.data.metadata import ClipTable
from svitt_ego.data.negatives import SceneNegatives
from svitt_ego.data.positives import ActionPositives
from svitt_ego.data.randomness import Stream, generator
from svitt_ego.data.skip_list import read_skip_list
from svitt_ego.data.text import clean_narration
from svitt_ego.data.transforms import cut, draw_crop
from svitt_ego.data.video.clip import read_clip
from svitt_ego.data.video.errors import VideoError

_CHANCE_OF_GIVING_UP = 1e-12
_FEWEST_ATTEMPTS, _MOST_ATTEMPTS = 20, 10_000


def allowed_attempts(max_unreadable_share: float) -> int:
    """Clips tried for one place in a batch before the videos as a whole are held to be unreadable.

    So many that at the largest share that the recipe allows, a row of failures does not end a run:
    20 at `data.max_unreadable_share` = 0.1, 263 at 0.9.
    """
    if max_unreadable_share == 1:
        return _MOST_ATTEMPTS
    share = max(max_unreadable_share, 0.1)
    needed = math.ceil(math.log(_CHANCE_OF_GIVING_UP) / math.log(share))
    return min(max(needed, _FEWEST_ATTEMPTS), _MOST_ATTEMPTS)


class Role(IntEnum):
    """Of a clip in its sample."""

    ANCHOR = 0
    NEGATIVE = 1
    POSITIVE = 2


class UnreadableVideos(ConfigError):
    """So many clips in a row failed that going on makes no sense."""

    def __init__(self, message: str) -> None:
        # Out of a loader worker the message comes wrapped in a traceback, of which it ends.
        super().__init__(message.rpartition(f"{type(self).__name__}: ")[2].strip())


@dataclass(frozen=True)
class Clip:
    """A row of the table with its frames: video (T, 3, H, W) uint8, cut to its crop and not yet
    resized or mirrored."""

    row: int
    video: Tensor
    mirrored: bool
    text: str
    verbs: tuple[int, ...]
    nouns: tuple[int, ...]


@dataclass(frozen=True)
class Sample:
    anchor: Clip
    negative: Clip | None
    positive: Clip | None
    negative_is_random: bool
    """No scene-aware negative could be found or read: any other clip stands in."""
    faults: tuple[Fault, ...]


class EgoClipDataset(Dataset[Sample]):
    """Samples by (epoch, row); each is a pure function of (seed, epoch, row) and the files.

    An unreadable clip is replaced by one of a random other row, drawn from the same key, and
    reported in the sample's faults; so is one of the skip list, without a report.
    """

    def __init__(
        self, table: ClipTable, data: Data, *, seed: int, contrastive: Contrastive
    ) -> None:
        """
        Args:
            contrastive: says which companions an anchor has.

        Raises:
            ConfigError: the skip list cannot be used.
        """
        self.table = table
        self._data = data
        self._seed = seed
        self._is_skipped, self._usable = None, None
        if data.skip_list:
            self._is_skipped = read_skip_list(data.skip_list, table)
            self._usable = np.flatnonzero(~self._is_skipped)
        self._negatives = self._positives = None
        if contrastive.scene_negatives:
            self._negatives = SceneNegatives(table, left_out=self._is_skipped)
        if contrastive.action_positives:
            self._positives = ActionPositives(table, left_out=self._is_skipped)

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, key: tuple[int, int]) -> Sample:
        """
        Raises:
            UnreadableVideos: `allowed_attempts` clips in a row could not be read.
        """
        epoch, row = key
        faults: list[Fault] = []
        anchor, _ = self._read_or_replace(row, (epoch, row, Role.ANCHOR), faults)
        negative = positive = None
        negative_is_random = False
        if self._negatives is not None:
            rng = generator(Stream.NEGATIVE, self._seed, epoch, row)
            drawn = self._negatives.draw(anchor.row, rng)
            negative, replaced = self._read_or_replace(
                drawn.row, (epoch, row, Role.NEGATIVE), faults, never=anchor.row
            )
            negative_is_random = replaced or drawn.source == "random"
        if self._positives is not None:
            rng = generator(Stream.POSITIVE, self._seed, epoch, row)
            other = self._positives.draw(anchor.row, rng)
            if other is None:  # the only clip of its action: other frames of itself
                other = anchor.row
            positive, _ = self._read_or_replace(other, (epoch, row, Role.POSITIVE), faults)
        return Sample(anchor, negative, positive, negative_is_random, tuple(faults))

    def _read_or_replace(
        self, row: int, key: tuple[int, int, Role], faults: list[Fault], never: int | None = None
    ) -> tuple[Clip, bool]:
        """The clip of `row` or of a random row but `never`, and whether it was replaced."""
        first_fault = len(faults)
        attempts = allowed_attempts(self._data.max_unreadable_share)
        for attempt in range(attempts):
            if self._is_skipped is None or not self._is_skipped[row]:
                try:
                    return self._read(row, (*key, attempt)), attempt > 0
                except VideoError as error:
                    faults.append(Fault(str(error.path), error.cause))
            rng = generator(Stream.REPLACEMENT, self._seed, *key, attempt)
            row = self._draw_usable(rng)
            while row == never:
                row = self._draw_usable(rng)
        tried = "; ".join(f"{fault.path}: {fault.cause}" for fault in faults[first_fault:][:3])
        raise UnreadableVideos(
            f"{attempts} clips in a row could not be read, so data.videos "
            f"(root {self._data.videos.root!r}, layout {self._data.videos.layout!r}) does not fit "
            f"{self.table.path}: {tried}; …"
        )

    def _draw_usable(self, rng: np.random.Generator) -> int:
        """A row that the skip list does not name; there are at least two."""
        if self._usable is None:
            return int(rng.integers(len(self.table)))
        return int(self._usable[rng.integers(len(self._usable))])

    def _read(self, row: int, key: tuple[int, ...]) -> Clip:
        clip = self.table[row]
        rng = generator(Stream.CLIP, self._seed, *key)
        times_s = frame_times(clip.start_s, clip.end_s, self._data.frames, rng)
        video = read_clip(self._data.videos, clip.video_uid, times_s)
        crop = draw_crop(*video.shape[-2:], self._data.augmentation, rng)
        text = clean_narration(clip.text) if self._data.clean_narrations else clip.text
        return Clip(row, cut(video, crop), crop.flip, text, clip.verbs, clip.nouns)
