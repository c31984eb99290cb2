"""One chunk of one source video: decode, resample, resize, encode, check."""

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter

from svitt_ego.data.metadata.manifest import mark_of
from svitt_ego.data.preparation.settings import Settings
from svitt_ego.data.preparation.sources import ChunkJob
from svitt_ego.data.video.chunks import chunk_path
from svitt_ego.data.video.container import open_video
from svitt_ego.data.video.errors import VideoError
from svitt_ego.data.video.whole_file import decode_whole

_SEEK_BACK_S = (0.0, 5.0, 60.0, math.inf)
"""Where a container seeks to a time after the wanted one, further back is tried."""
_OTHER_THAN_STATED_S = 0.5
_ROUNDING_S = 1e-6


@dataclass(frozen=True)
class Chunk:
    """A finished file, or none (frames 0) where the source ended before."""

    uid: str
    chunk: int
    source_size_bytes: int
    source_mtime_ns: int
    frames: int
    size_bytes: int
    sha256: str


def encode_chunk(job: ChunkJob, settings: Settings, dest: Path) -> Chunk | VideoError:
    """Make a chunk's file, which appears when it is complete and has been decoded again.

    Returns:
        The error, where the source cannot be decoded.

    Raises:
        OSError: the file cannot be written.
    """
    final = chunk_path(settings.files(dest), job.source.uid, job.chunk)
    final.parent.mkdir(parents=True, exist_ok=True)
    partial = final.with_name(f".{final.name}.partial")
    try:
        frames = _encode(job, settings, partial)
        if frames:
            _check(partial, settings, frames)
            mark = mark_of(partial)
            os.replace(partial, final)
            return _chunk(job, frames, mark.size_bytes, mark.sha256)
        return _chunk(job, 0, 0, "")
    except VideoError as error:
        return error
    finally:
        partial.unlink(missing_ok=True)


def _chunk(job: ChunkJob, frames: int, size_bytes: int, sha256: str) -> Chunk:
    source = job.source
    return Chunk(
        *(source.uid, job.chunk, source.size_bytes, source.mtime_ns), frames, size_bytes, sha256
    )


def _encode(job: ChunkJob, settings: Settings, path: Path) -> int:
    """Returns the number of frames written."""
    written = 0
    output = av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"})
    try:
        stream = None
        for frame in _frames(job, settings):
            if stream is None:
                stream = output.add_stream(
                    "libx264", rate=settings.fps, options=settings.encoder_options
                )
                stream.width, stream.height, stream.pix_fmt = frame.width, frame.height, "yuv420p"
                stream.codec_context.thread_count = 1  # chunks are made side by side
                stream.codec_context.time_base = Fraction(1, settings.fps)
            frame.pts, frame.time_base = written, Fraction(1, settings.fps)
            output.mux(stream.encode(frame))
            written += 1
        if stream is not None:
            output.mux(stream.encode(None))
    finally:
        output.close()
    return written


def _frames(job: ChunkJob, settings: Settings) -> Iterator[av.VideoFrame]:
    """The chunk's frames at the constant rate, resized; the same object again for one that lasts
    longer than a frame of the result."""
    number = job.chunk * settings.chunk_frames
    is_whole = settings.layout == "whole"
    end = math.inf if is_whole else number + settings.chunk_frames
    reformatter = VideoReformatter()
    shown = None
    for time_s, frame in _decoded(job, number / settings.fps):
        while shown is not None and number < end and number / settings.fps < time_s - _ROUNDING_S:
            yield shown
            number += 1
        if number >= end:
            if job.is_last and time_s > end / settings.fps + _OTHER_THAN_STATED_S:
                raise VideoError(job.source.path, "longer than its container says")
            if not job.is_last:
                return
        if frame is None:
            stated_s = min(job.source.duration_s, end / settings.fps)
            if time_s < stated_s - _OTHER_THAN_STATED_S:
                raise VideoError(job.source.path, "truncated")
        else:
            shown = _resize(frame, settings.short_side, reformatter)


def _decoded(job: ChunkJob, from_s: float) -> Iterator[tuple[float, av.VideoFrame | None]]:
    """Source frames with their times, from the one shown at `from_s` or earlier; at the end of the
    file its time, without a frame.

    Raises:
        VideoError: the source cannot be decoded.
    """
    for back_s in _SEEK_BACK_S:
        with open_video(job.source.path) as (container, stream):
            start_s = float((stream.start_time or 0) * stream.time_base)
            if from_s > 0 and back_s < from_s:
                target_s = start_s + from_s - back_s
                container.seek(int(target_s / stream.time_base), stream=stream)
            frames = container.decode(stream)
            first = next(frames, None)
            if first is None:
                return
            if first.time - start_s > from_s + _ROUNDING_S and from_s > 0 and back_s < from_s:
                continue
            last_s, lasts_s = first.time - start_s, 1 / float(stream.average_rate or 30)
            yield max(0.0, last_s), first
            for frame in frames:
                lasts_s = max(frame.time - start_s - last_s, 0.0) or lasts_s
                last_s = frame.time - start_s
                yield last_s, frame
            yield last_s + lasts_s, None
            return


def _resize(frame: av.VideoFrame, short_side: int, reformatter: VideoReformatter) -> av.VideoFrame:
    """Upright, yuv420p, of even sides."""
    turns = round((frame.rotation or 0) / 90) % 4
    if turns:
        pixels = np.rot90(frame.to_ndarray(format="rgb24"), turns)
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
    scale = min(1.0, short_side / min(frame.width, frame.height))
    width, height = (2 * max(1, round(side * scale / 2)) for side in (frame.width, frame.height))
    resized = reformatter.reformat(
        frame, width, height, "yuv420p", interpolation=Interpolation.BICUBIC, threads=1
    )
    resized.pict_type = 0  # the encoder chooses, not the source
    return resized


def _check(path: Path, settings: Settings, frames: int) -> None:
    """
    Raises:
        VideoError: the file does not decode to so many frames, or has no key frame where wanted.
    """
    facts = decode_whole(path, "pyav", float(settings.fps))
    with open_video(path) as (container, stream):
        packets = list(container.demux(stream))
    keys = [n for n, packet in enumerate(packets) if packet.is_keyframe and packet.size]
    if facts.frames != frames or keys != list(range(0, frames, settings.key_frame_every)):
        raise VideoError(path, "does not decode to what was encoded")
