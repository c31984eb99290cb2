"""Frames of a clip from the files of its video: exactly the wanted ones, or a `VideoError`."""

from svitt_ego.data.video.chunks import chunk_path, locate
from svitt_ego.data.video.clip import read_clip
from svitt_ego.data.video.errors import DecoderError, VideoError

__all__ = ["DecoderError", "VideoError", "chunk_path", "locate", "read_clip"]
