"""Decoding a file from end to end, to know that it can be."""

from pathlib import Path

from svitt_ego.config.schema import DecoderName
from svitt_ego.data.video.container import open_video
from svitt_ego.data.video.errors import VideoError
from svitt_ego.data.video.frame_numbers import FileFacts, check_fps
from svitt_ego.data.video.frames import read_facts


def decode_whole(
    path: Path, decoder: DecoderName = "auto", expected_fps: float | None = None
) -> FileFacts:
    """
    Raises:
        VideoError: a frame cannot be decoded, is missing, or is not where a constant rate has it.
    """
    facts = read_facts(path, decoder)
    check_fps(path, facts, expected_fps)
    decoded, first_s = 0, 0.0
    with open_video(path) as (container, stream):
        for frame in container.decode(stream):
            if frame.is_corrupt:
                raise VideoError(path, "corrupt")
            first_s = frame.time if decoded == 0 else first_s
            if abs((frame.time - first_s) * facts.fps - decoded) > 0.5:
                raise VideoError(path, "variable frame rate")
            decoded += 1
    if decoded != facts.frames:
        raise VideoError(path, "truncated")
    return facts
