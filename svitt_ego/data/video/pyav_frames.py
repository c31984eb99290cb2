"""Frames of one file by PyAV, decoding little more than what they depend on.

The sample table of the container says where each frame's group of pictures begins: decoding starts
there, and of the other frames leaves out those that no frame refers to (`skip_frame = NONREF`). The
file is never scanned, so that its length hardly matters.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from svitt_ego.data.video.container import open_video
from svitt_ego.data.video.errors import VideoError
from svitt_ego.data.video.frame_numbers import FileFacts, check_fps, frame_numbers


class NoSampleTable(Exception):
    """The container does not say where its frames are, as a fragmented mp4."""


def read_frames(
    path: Path, times_s: NDArray[np.float64], expected_fps: float | None
) -> NDArray[np.uint8]:
    """See `svitt_ego.data.video.frames.read_frames`.

    Raises:
        NoSampleTable: the container is not one for this decoder.
    """
    with _opened(path) as file:
        check_fps(path, file.facts, expected_fps)
        wanted = frame_numbers(path, file.facts, times_s)
        unique, back = np.unique(wanted, return_inverse=True)
        frames = file.decode(unique.tolist())
    return np.stack([frames[number] for number in unique.tolist()])[back]


def read_facts(path: Path) -> FileFacts:
    """
    Raises:
        VideoError: not a readable video.
        NoSampleTable: the container is not one for this decoder.
    """
    with _opened(path) as file:
        return file.facts


@dataclass
class _File:
    """An open file. Frame n of a constant rate is shown at start + n * ticks."""

    path: Path
    container: Any
    stream: Any
    facts: FileFacts
    ticks: float
    start: int
    reformatter: VideoReformatter = field(default_factory=VideoReformatter)
    """Shared: a frame that converts itself sets the conversion up anew each time, a millisecond."""

    def decode(self, numbers: Sequence[int]) -> dict[int, NDArray[np.uint8]]:
        """RGB frames (H, W, 3) by number.

        Raises:
            VideoError: one of them is not there, or not where a constant rate has it.
        """
        self._check_constant_rate(numbers)
        groups: dict[int, list[int]] = {}
        for number in numbers:
            groups.setdefault(self._key_frame_before(number), []).append(number)
        frames: dict[int, NDArray[np.uint8]] = {}
        for key_frame, group in groups.items():
            frames |= self._decode_group(key_frame, group)
        for number in numbers:
            if number not in frames:
                raise VideoError(self.path, "truncated")
        return frames

    def _decode_group(self, key_frame: int, numbers: list[int]) -> dict[int, NDArray[np.uint8]]:
        """Frames that follow one key frame; without those that the file does not have."""
        waiting = set(numbers)
        frames: dict[int, NDArray[np.uint8]] = {}
        context = self.stream.codec_context

        def take(decoded: Sequence[Any]) -> None:
            for frame in decoded:
                number = self._number_of(frame.pts)
                if number in numbers:
                    if frame.is_corrupt:
                        raise VideoError(self.path, "corrupt")
                    image = self.reformatter.reformat(frame, format="rgb24", threads=1)
                    frames[number] = image.to_ndarray()

        self.container.seek(self.start + round(key_frame * self.ticks), stream=self.stream)
        is_first = True
        for packet in self.container.demux(self.stream):
            number = self._number_of(packet.pts)
            if is_first and key_frame > 0 and number is not None and number > numbers[0]:
                # frames shown before a key frame but stored after it need the one before it
                return self._decode_group(self._key_frame_before(key_frame - 1), numbers)
            is_first = False
            context.skip_frame = "DEFAULT" if number in waiting else "NONREF"
            waiting.discard(number)
            take(context.decode(packet))
            if not waiting:
                break
        if number is not None:  # not at the end, where the last packet has flushed already
            take(context.decode(None))
        context.flush_buffers()
        return frames

    def _key_frame_before(self, number: int) -> int:
        """The last key frame stored at or before place `number`, by its place."""
        index = self.stream.index_entries
        return max(0, index.search_timestamp(index[number].timestamp))

    def _number_of(self, pts: int | None) -> int | None:
        return None if pts is None else round((pts - self.start) / self.ticks)

    def _check_constant_rate(self, numbers: Sequence[int]) -> None:
        index = self.stream.index_entries
        for number in numbers:
            stored_at = index[number].timestamp - index[0].timestamp
            if abs(stored_at - number * self.ticks) > 0.5 * self.ticks:
                raise VideoError(self.path, "variable frame rate")


@contextmanager
def _opened(path: Path) -> Iterator[_File]:
    with open_video(path) as (container, stream):
        frames, rate, start = stream.frames, stream.average_rate, stream.start_time
        if not frames or len(stream.index_entries) != frames or not rate or start is None:
            raise NoSampleTable(path)
        ticks = 1 / (rate * stream.time_base)
        yield _File(path, container, stream, FileFacts(frames, float(rate)), float(ticks), start)
