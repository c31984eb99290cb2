"""Retrieval between the clips of an EgoClip-format table and their narrations."""

import numpy as np

from svitt_ego.config import ConfigError
from svitt_ego.data.metadata import ClipTable
from svitt_ego.data.text import clean_narration
from svitt_ego.evaluation.retrieval_task import RetrievalTask
from svitt_ego.evaluation.video_clip import VideoClip

MOST_CLIPS = 20_000
"""The similarities of all pairs are held in memory."""


def narrated_clips(
    table: ClipTable, clips: int, seed: int, clean_narrations: bool
) -> RetrievalTask:
    """A seeded draw of `clips` rows, or all where there are fewer; each different narration is one
    sentence, and relevant (1, else 0) to all clips that it narrates.

    Raises:
        ConfigError: more than `MOST_CLIPS`.
    """
    if min(clips, len(table)) > MOST_CLIPS:
        raise ConfigError(
            f"--clips {clips}: at most {MOST_CLIPS}: the similarities of all pairs are in memory"
        )
    rows = np.arange(len(table))
    if clips < len(rows):
        rows = np.sort(np.random.default_rng(seed).choice(len(table), clips, replace=False))
    found = [table[int(row)] for row in rows]
    texts = [clean_narration(row.text) if clean_narrations else row.text for row in found]
    place_of = {text: place for place, text in enumerate(dict.fromkeys(texts))}
    relevance = np.zeros((len(found), len(place_of)), np.float32)
    relevance[np.arange(len(found)), [place_of[text] for text in texts]] = 1
    return RetrievalTask(
        clips=tuple(VideoClip(row.video_uid, row.start_s, row.end_s) for row in found),
        sentences=tuple(place_of),
        relevance=relevance,
    )
