"""EgoMCQ questions on held-out videos.

Inter-video: five clips of five videos. Intra-video: five clips of one video, four of them the four
motions along one axis on one object, within seconds of each other. The choices are drawn before the
answer and the answer among them, so that length, position and look of a clip tell nothing.
"""

import json
from dataclasses import dataclass

import numpy as np

from svitt_ego.config import ConfigError
from svitt_ego.data.synthetic.narrations import Row
from svitt_ego.data.synthetic.script import Script
from svitt_ego.data.synthetic.vocabulary import VERBS

INTER, INTRA = 1, 2
CHOICES = 5
_NEAR_S = 30.0
# How often the answer is one of the four like clips and not the fifth. Always would let "not the
# odd one" be a good guess (1/4); drawn evenly (0.8) the odd one would often be found by its look.
_LIKE_ANSWER_SHARE = 0.9


@dataclass(frozen=True)
class HeldOutClip:
    """A held-out row with what the questions need to know beyond it."""

    row: Row
    verb_ids: frozenset[int]
    noun_ids: frozenset[int]
    object_index: int
    block: int

    def conflicts(self, other: "HeldOutClip") -> bool:
        """Whether both would fit one narration: they share a verb class and a noun class."""
        return bool(self.verb_ids & other.verb_ids) and bool(self.noun_ids & other.noun_ids)

    def seconds_from(self, other: "HeldOutClip") -> float:
        return abs(float(self.row["narration_time"]) - float(other.row["narration_time"]))


def held_out_clips(script: Script, rows: list[Row]) -> list[HeldOutClip]:
    """The clips of one video, in time order."""
    return [
        HeldOutClip(
            row,
            frozenset(json.loads(str(row["tag_verb"]))),
            frozenset(json.loads(str(row["tag_noun"]))),
            action.object_index,
            action.block,
        )
        for action, row in zip(script.actions, rows, strict=True)
    ]


def write_questions(
    videos: list[list[HeldOutClip]], per_type: int, seed: int
) -> dict[str, dict[str, object]]:
    """`per_type` inter and as many intra questions in the form of egomcq.json.

    Raises ConfigError if the videos do not hold enough clips.
    """
    rng = np.random.default_rng((seed, 2))
    drawn = [
        *((INTER, *_inter(rng, videos, number)) for number in range(per_type)),
        *((INTRA, *question) for question in _intra(rng, videos, per_type)),
    ]
    return {
        str(number): {
            "answer": answer,
            "types": kind,
            "query": choices[answer].row,
            "choices": {str(place): clip.row for place, clip in enumerate(choices)},
        }
        for number, (kind, choices, answer) in enumerate(drawn)
    }


def _inter(
    rng: np.random.Generator, videos: list[list[HeldOutClip]], number: int
) -> tuple[list[HeldOutClip], int]:
    for _ in range(1000):
        order = rng.permutation(len(videos))[:CHOICES]
        clips = [videos[video][int(rng.integers(len(videos[video])))] for video in order]
        if len(clips) == CHOICES and not _ambiguous(clips):
            return clips, int(rng.integers(CHOICES))
    raise ConfigError(
        f"no five unlike clips of five videos for inter-video question {number}: "
        f"there are {len(videos)} held-out videos; use a larger size"
    )


def _intra(
    rng: np.random.Generator, videos: list[list[HeldOutClip]], count: int
) -> list[tuple[list[HeldOutClip], int]]:
    """Questions spread evenly over the blocks of all videos; no clip is asked for twice."""
    blocks = [
        (video, [clip for clip in video if clip.block == block])
        for video in videos
        for block in sorted({clip.block for clip in video})
    ]
    questions: list[tuple[list[HeldOutClip], int]] = []
    asked: set[tuple[object, object]] = set()
    for _ in range(4):
        for place in rng.permutation(len(blocks)):
            video, block = blocks[place]
            like = _like_clips(rng, block)
            odd = _odd_clip(rng, video, like) if like else None
            if odd is None:
                continue
            clips = [*like, odd]
            of_like = rng.random() < _LIKE_ANSWER_SHARE
            answer = clips[int(rng.integers(len(like)))] if of_like else odd
            key = (answer.row["video_uid"], answer.row["narration_ind"])
            if key in asked:
                continue
            asked.add(key)
            order = rng.permutation(CHOICES)
            shuffled = [clips[i] for i in order]
            questions.append((shuffled, shuffled.index(answer)))
            if len(questions) == count:
                return questions
    raise ConfigError(
        f"only {len(questions)} of {count} intra-video questions fit {len(videos)} held-out "
        "videos; use a larger size"
    )


def _like_clips(rng: np.random.Generator, block: list[HeldOutClip]) -> list[HeldOutClip]:
    """One clip of each verb of the block's axis, or [] if the block was cut short."""
    by_verb: dict[int, list[HeldOutClip]] = {}
    for clip in block:
        by_verb.setdefault(next(iter(clip.verb_ids)), []).append(clip)
    axes = [VERBS[verb_id].axis for verb_id in by_verb]
    axis = max(sorted(set(axes)), key=axes.count)
    like = [verb_id for verb_id in sorted(by_verb) if VERBS[verb_id].axis == axis]
    if len(like) != CHOICES - 1:
        return []
    return [by_verb[verb][int(rng.integers(len(by_verb[verb])))] for verb in like]


def _odd_clip(
    rng: np.random.Generator, video: list[HeldOutClip], like: list[HeldOutClip]
) -> HeldOutClip | None:
    """A fifth clip: other work on the same object, or one of the motions on another object.

    The nearest in time serve best; work within the block, if there is any, comes first half the
    time.
    """
    verbs = frozenset().union(*(clip.verb_ids for clip in like))
    fitting = [clip for clip in video if not any(clip.conflicts(other) for other in like)]
    inside = [clip for clip in fitting if clip.block == like[0].block]
    if inside and rng.random() < 0.7:
        return inside[int(rng.integers(len(inside)))]
    kindred = [
        clip
        for clip in fitting
        if clip.object_index == like[0].object_index or clip.verb_ids & verbs
    ]
    near = [clip for clip in kindred if clip.seconds_from(like[0]) <= _NEAR_S]
    pool = near or sorted(fitting, key=like[0].seconds_from)[:3]
    return pool[int(rng.integers(len(pool)))] if pool else None


def _ambiguous(clips: list[HeldOutClip]) -> bool:
    return any(
        first.conflicts(second)
        for place, first in enumerate(clips)
        for second in clips[place + 1 :]
    )
