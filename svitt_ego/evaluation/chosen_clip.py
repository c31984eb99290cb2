"""One clip that a user names, to look at."""

from collections.abc import Sequence

from torch import Tensor

from svitt_ego.config import ConfigError, Recipe
from svitt_ego.data.metadata import ClipTable
from svitt_ego.data.text import clean_narration
from svitt_ego.data.video.errors import VideoError
from svitt_ego.evaluation.clip_reading import read_evaluation_clip, reading_of
from svitt_ego.evaluation.video_clip import VideoClip


def chosen_clip(
    recipe: Recipe, row: int, clip: Sequence[str] | None, text: str | None
) -> tuple[Tensor, str]:
    """Its frames (T, 3, H, W) uint8 and a text: of `clip` (video uid, start and end in seconds), or
    of a row of the metadata, whose narration stands in for a text that is not given.

    Raises:
        ConfigError: no such row, no such times, or the clip cannot be read.
    """
    if clip is not None:
        assert text is not None
        chosen = _clip_of(clip)
    else:
        table = ClipTable.open(recipe.data.metadata)
        if not 0 <= row < len(table):
            raise ConfigError(f"--row {row}: {table.path} has the rows 0 to {len(table) - 1}")
        found = table[row]
        chosen = VideoClip(found.video_uid, found.start_s, found.end_s)
        clean = recipe.data.clean_narrations
        text = text or (clean_narration(found.text) if clean else found.text)
    try:
        return read_evaluation_clip(chosen, reading_of(recipe)), text
    except VideoError as error:
        raise ConfigError(f"{error.path}: {error.cause}: the clip cannot be read") from None


def _clip_of(words: Sequence[str]) -> VideoClip:
    uid, start, end = words
    try:
        start_s, end_s = float(start), float(end)
    except ValueError:
        raise ConfigError(f"--clip {start} {end}: must be seconds") from None
    if not 0 <= start_s < end_s < float("inf"):
        raise ConfigError(f"--clip {start} {end}: must be a start and a later end, in seconds")
    return VideoClip(uid, start_s, end_s)
