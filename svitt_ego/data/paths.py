"""Looking for the files of a recipe before anything expensive starts."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from svitt_ego.config import ConfigError, Recipe
from svitt_ego.config.schema import VideoFiles
from svitt_ego.data.metadata import ClipTable
from svitt_ego.data.video.chunks import chunk_path, locate
from svitt_ego.data.video.decord_frames import load_decord
from svitt_ego.data.video.errors import VideoError
from svitt_ego.data.video.frames import read_facts

_LOOKED_AT = 50
_OPENED = 5
_SHORTEST_CHUNK, _LONGEST_CHUNK = 0.75, 1.25
"""Of the nominal length: chunks are cut at key frames, so their lengths vary a little."""


def check_data_paths(recipe: Recipe) -> None:
    """
    Raises:
        ConfigError: a file or the video root is missing; names key and path.
        DecoderError: no usable decoder is installed.
    """
    files = {
        "data.metadata": recipe.data.metadata,
        "data.skip_list": recipe.data.skip_list,
        "evaluation.egomcq": recipe.evaluation.egomcq,
    }
    for key, path in files.items():
        if path is not None and not Path(path).is_file():
            raise ConfigError(f"{key} = {path!r}: no such file")
    check_video_root(recipe.data.videos)
    if recipe.data.videos.decoder == "decord":
        load_decord()


def check_video_root(files: VideoFiles) -> None:
    """
    Raises:
        ConfigError: the video root is not a folder.
    """
    if not Path(files.root).is_dir():
        raise ConfigError(f"data.videos.root = {files.root!r}: no such folder")


def check_videos_found(table: ClipTable, files: VideoFiles) -> None:
    """Catches a wrong layout or chunk length on some clips, spread over the table.

    Raises:
        ConfigError: no clip has a file, or a chunk is not about `data.videos.chunk_s` long; names
            the file.
    """
    rows = np.unique(np.linspace(0, len(table) - 1, _LOOKED_AT).astype(int))
    clips = [table[int(row)] for row in rows]
    expected = []
    for clip in clips:
        chunk, _ = locate(files, clip.video_uid, clip.start_s)
        expected.append(chunk_path(files, clip.video_uid, chunk))
    if files.layout != "whole":
        _check_chunk_length(files, list(dict.fromkeys(clip.video_uid for clip in clips)))
    if not any(path.is_file() for path in expected):
        raise ConfigError(
            f"data.videos: none of {len(rows)} clips of {table.path} has its video; expected for "
            f"the first, with layout {files.layout!r}: {expected[0]}"
        )


def _check_chunk_length(files: VideoFiles, video_uids: Sequence[str]) -> None:
    """With a wrong length every later chunk gives frames of another time, without any error."""
    opened = 0
    for uid in video_uids:
        first, second = (chunk_path(files, uid, chunk) for chunk in (0, 1))
        try:
            length_s = read_facts(first, files.decoder).duration_s
        except VideoError:
            continue
        is_last = not second.is_file()
        if length_s > _LONGEST_CHUNK * files.chunk_s or (
            length_s < _SHORTEST_CHUNK * files.chunk_s and not is_last
        ):
            raise ConfigError(
                f"data.videos.chunk_s = {files.chunk_s}: {first} is {length_s:.1f} s long"
                f"{'' if is_last else f', and {second.name} follows it'}: give the chunks' length"
            )
        opened += 1
        if opened == _OPENED or not is_last:
            return
