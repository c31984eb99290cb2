"""`nlq_{train,val,test}.json` in Ego4D's format, with its blemishes: some queries are null, some
windows have no length."""

from typing import Any

import numpy as np

from svitt_ego.data.synthetic.nlq.long_video import LongVideo, stable_uid
from svitt_ego.data.synthetic.nlq.questions import Question

_NULL_SHARE = 0.02
_EMPTY_SHARE = 0.01
_ANNOTATIONS_PER_CLIP = 2


def nlq_file(split: str, videos: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "version": "v1",
        "date": "260101",
        "description": f"EgoSynth NLQ annotations ({split})",
        "metadata": "generated: every window is that of an action, or of a run of them",
        "videos": videos,
    }


def video_entry(
    video: LongVideo, split: str, questions: list[Question], fps: int, rng: np.random.Generator
) -> dict[str, Any]:
    """A video with its one clip, which is all of it."""
    end_s = round(video.duration_s, 6)
    clip_uid = stable_uid(video.video_uid, "clip")
    shares = np.array_split(np.array(questions, dtype=object), _ANNOTATIONS_PER_CLIP)
    clip = {
        "clip_uid": clip_uid,
        **_span("video", 0.0, end_s, fps),
        **_span("clip", 0.0, end_s, fps),
        "source_clip_uid": stable_uid(video.video_uid, "source"),
        "annotations": [
            {
                "annotation_uid": stable_uid(clip_uid, number),
                "language_queries": [_query(question, split, fps, rng) for question in share],
            }
            for number, share in enumerate(shares)
        ],
    }
    return {"video_uid": video.video_uid, "split": split, "clips": [clip]}


def _query(question: Question, split: str, fps: int, rng: np.random.Generator) -> dict[str, Any]:
    is_null, is_empty = rng.random(2) < (_NULL_SHARE, _EMPTY_SHARE)
    words = {
        "template": question.template,
        "query": None if is_null else question.text,
        "slot_x": question.slot_x,
        "verb_x": question.verb_x,
    }
    if split == "test":  # the challenge keeps the windows back
        return words
    end_s = question.start_s if is_empty else question.end_s
    return {
        **_span("clip", question.start_s, end_s, fps),
        **_span("video", question.start_s, end_s, fps),
        **words,
        "raw_tags": [question.template, question.text, question.slot_x, question.verb_x],
    }


def _span(of: str, start_s: float, end_s: float, fps: int) -> dict[str, float]:
    return {
        f"{of}_start_sec": start_s,
        f"{of}_end_sec": end_s,
        f"{of}_start_frame": round(start_s * fps),
        f"{of}_end_frame": round(end_s * fps),
    }
