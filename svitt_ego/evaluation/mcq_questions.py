"""EgoMCQ's questions: one narration, five clips, one of which it narrates (`egomcq.json`)."""

import json
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from svitt_ego.config import ConfigError
from svitt_ego.data.text import clean_narration
from svitt_ego.evaluation.video_clip import VideoClip

Kind = Literal["inter", "intra"]

KINDS: dict[int, Kind] = {1: "inter", 2: "intra"}
"""The file's `types`. Inter: the choices are from different videos; intra: from the same one. The
metric code of EgoVLP and LaViLa prints the two names swapped."""


class QuestionsError(ConfigError):
    """The questions cannot be used; names file, question and key."""


@dataclass(frozen=True)
class Question:
    id: str
    kind: Kind
    text: str
    choices: tuple[VideoClip, ...]
    answer: int
    """Index of the right choice."""


def read_questions(path: str | Path, clean_narrations: bool = False) -> tuple[Question, ...]:
    """Read and check all questions, in the file's order.

    Args:
        clean_narrations: as the model was trained, see `data.clean_narrations`.

    Raises:
        QuestionsError: not JSON, no question, or a question that is not as it must be.
    """
    try:
        tree = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise QuestionsError(f"{path}: {error.strerror or error}") from None
    except ValueError as error:
        raise QuestionsError(f"{path}: not JSON: {error}") from None
    if not isinstance(tree, dict) or not tree:
        raise QuestionsError(f"{path}: must be an object of questions by id, with at least one")
    questions = []
    for question_id, node in tree.items():
        try:
            questions.append(_question(question_id, node))
        except ValueError as error:
            raise QuestionsError(f"{path}, question {question_id!r}: {error}") from None
    if clean_narrations:
        questions = [replace(q, text=clean_narration(q.text)) for q in questions]
    return tuple(questions)


def _question(question_id: str, node: Any) -> Question:
    kind = _get(node, "types", int)
    if kind not in KINDS:
        raise ValueError(f"types = {kind}: must be 1 (inter-video) or 2 (intra-video)")
    choices = _get(node, "choices", dict)
    if len(choices) < 2 or set(choices) != {str(index) for index in range(len(choices))}:
        raise ValueError('choices must be numbered from "0" on, and at least two')
    answer = _get(node, "answer", int)
    if not 0 <= answer < len(choices):
        raise ValueError(f"answer = {answer}: must be one of the choices 0 to {len(choices) - 1}")
    return Question(
        id=question_id,
        kind=KINDS[kind],
        text=_get(node, "query.clip_text", str),
        choices=tuple(_clip(node, f"choices.{index}") for index in range(len(choices))),
        answer=answer,
    )


def _clip(node: Any, key: str) -> VideoClip:
    start_s = max(0.0, float(_get(node, f"{key}.clip_start", (int, float))))
    end_s = float(_get(node, f"{key}.clip_end", (int, float)))
    if not (math.isfinite(start_s) and math.isfinite(end_s) and start_s < end_s):
        raise ValueError(f"{key}: clip_end {end_s} is not after clip_start {start_s}")
    return VideoClip(_get(node, f"{key}.video_uid", str), start_s, end_s)


def _get(node: Any, dotted: str, kind: type | tuple[type, ...]) -> Any:
    for part in dotted.split("."):
        if not isinstance(node, dict) or part not in node:
            raise ValueError(f"{dotted} is missing")
        node = node[part]
    if not isinstance(node, kind) or isinstance(node, bool):
        kinds = kind if isinstance(kind, tuple) else (kind,)
        raise ValueError(f"{dotted} = {node!r}: must be {' or '.join(k.__name__ for k in kinds)}")
    return node
