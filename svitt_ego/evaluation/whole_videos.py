"""Every video of a folder as one long clip."""

from pathlib import Path

from svitt_ego.config import ConfigError
from svitt_ego.config.schema import VideoFiles
from svitt_ego.data.long_clip import LongClip
from svitt_ego.data.video.chunks import chunk_path
from svitt_ego.data.video.errors import VideoError
from svitt_ego.data.video.frames import read_facts


def whole_videos(files: VideoFiles) -> tuple[tuple[LongClip, ...], dict[str, str]]:
    """Every video below the root as one clip of its own uid, and by path why another is unreadable.

    Raises:
        ConfigError: there is no video in the layout.
    """
    root = Path(files.root)
    try:
        names = sorted(path for path in root.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise ConfigError(f"data.videos.root = {files.root!r}: {error.strerror or error}") from None
    if files.layout == "whole":
        uids = [path.stem for path in names if path.suffix == ".mp4" and path.is_file()]
    else:
        uids = [path.name.removesuffix(".mp4") for path in names if path.is_dir()]
    clips, unreadable = [], {}
    for uid in uids:
        try:
            clips.append(LongClip(uid, uid, 0.0, _duration_s(files, uid)))
        except VideoError as error:
            unreadable[str(error.path)] = error.cause
        except ValueError as error:
            unreadable[str(root / uid)] = str(error)
    if not clips:
        first = next(iter(unreadable.items()), None)
        found = f"; unreadable is {first[0]}: {first[1]}" if first else ""
        raise ConfigError(
            f"data.videos.root = {files.root!r}: no readable video in layout {files.layout!r}"
            f"{found}"
        )
    return tuple(clips), unreadable


def _duration_s(files: VideoFiles, uid: str) -> float:
    """From the container of the last chunk; chunks are numbered without a gap."""
    if files.layout == "whole":
        return read_facts(chunk_path(files, uid, 0), files.decoder).duration_s
    last = 0
    while chunk_path(files, uid, last + 1).is_file():
        last += 1
    within_s = read_facts(chunk_path(files, uid, last), files.decoder).duration_s
    return last * files.chunk_s + within_s
