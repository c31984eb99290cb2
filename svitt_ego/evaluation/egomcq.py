"""EgoMCQ: how often a narration is closest to its own of five clips, in percent.

An unreadable clip has no similarity: it is never chosen, and a question whose right clip is
unreadable counts as wrong.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from torch import Tensor
from transformers import PreTrainedTokenizerBase

from svitt_ego.config import ConfigError
from svitt_ego.data.batch import Fault
from svitt_ego.evaluation.embedding import (
    ClipEmbeddings,
    ClipReading,
    EmbedText,
    EmbedVideo,
    embed_clips,
    embed_texts,
)
from svitt_ego.evaluation.mcq_questions import ChoiceClip, Kind, Question


@dataclass(frozen=True)
class Answer:
    id: str
    kind: Kind
    answer: int
    """The right choice."""
    chosen: int | None
    """None: no choice is readable."""
    correct: bool
    similarities: tuple[float | None, ...]
    """Cosine of the narration with each choice; None: unreadable."""


@dataclass(frozen=True)
class McqResult:
    """Accuracies are in percent, None where there is no question of the kind."""

    inter: float | None
    intra: float | None
    questions: dict[Kind, int]
    clips: int
    """Different clips of all questions."""
    unreadable: tuple[Fault, ...]
    answers: tuple[Answer, ...]

    def to_json(self) -> str:
        """Everything, as a JSON text."""
        return json.dumps(asdict(self), indent=1, allow_nan=False) + "\n"

    def summary(self) -> str:
        """A line per kind, and one for unreadable clips if there are any."""
        accuracies: dict[Kind, float | None] = {"inter": self.inter, "intra": self.intra}
        lines = [
            f"{kind}-video accuracy {accuracy:5.1f}% of {self.questions[kind]} questions"
            for kind, accuracy in accuracies.items()
            if accuracy is not None
        ]
        if self.unreadable:
            first = self.unreadable[0]
            lines.append(
                f"{len(self.unreadable)} of {self.clips} clips were unreadable, "
                f"the first: {first.path}: {first.cause}"
            )
        return "\n".join(lines)


def evaluate_egomcq(
    questions: Sequence[Question],
    reading: ClipReading,
    tokenizer: PreTrainedTokenizerBase,
    max_text_tokens: int,
    embed_video: EmbedVideo,
    embed_text: EmbedText,
    progress: bool = True,
) -> McqResult:
    """Embed every different clip and narration once, then answer.

    Raises:
        ConfigError: no clip can be read, or the model gives a similarity that is not a number.
    """
    clips = list(dict.fromkeys(clip for question in questions for clip in question.choices))
    texts = list(dict.fromkeys(question.text for question in questions))
    text_features = embed_texts(
        texts, tokenizer, max_text_tokens, reading.batch_size, embed_text, progress
    )
    embedded = embed_clips(clips, reading, embed_video, progress)
    if len(embedded.faults) == len(clips):
        fault = embedded.faults[0]
        raise ConfigError(
            f"data.videos (root {reading.files.root!r}, layout {reading.files.layout!r}): none of "
            f"the questions' {len(clips)} clips can be read; the first: {fault.path}: {fault.cause}"
        )
    return score(questions, clips, embedded, texts, text_features)


def score(
    questions: Sequence[Question],
    clips: Sequence[ChoiceClip],
    embedded: ClipEmbeddings,
    texts: Sequence[str],
    text_features: Tensor,
) -> McqResult:
    """
    Args:
        clips: the different clips, in the order of `embedded`.
        text_features: (texts, P), in the order of `texts`.

    Raises:
        ConfigError: a similarity is not a number.
    """
    place_of_clip = {clip: place for place, clip in enumerate(clips)}
    place_of_text = {text: place for place, text in enumerate(texts)}
    answers = []
    for question in questions:
        narration = text_features[place_of_text[question.text]]
        similarities = [
            None if place in embedded.faults else float(embedded.features[place] @ narration)
            for place in (place_of_clip[clip] for clip in question.choices)
        ]
        answers.append(_answer(question, similarities))
    return McqResult(
        inter=_accuracy(answers, "inter"),
        intra=_accuracy(answers, "intra"),
        questions={kind: _count(answers, kind) for kind in ("inter", "intra")},
        clips=len(clips),
        unreadable=tuple(embedded.faults[place] for place in sorted(embedded.faults)),
        answers=tuple(answers),
    )


def _answer(question: Question, similarities: Sequence[float | None]) -> Answer:
    known = {choice: value for choice, value in enumerate(similarities) if value is not None}
    if any(math.isnan(value) for value in known.values()):
        raise ConfigError(
            f"question {question.id!r}: a similarity is not a number: broken weights?"
        )
    chosen = max(known, key=known.__getitem__, default=None)
    return Answer(
        id=question.id,
        kind=question.kind,
        answer=question.answer,
        chosen=chosen,
        correct=chosen == question.answer,
        similarities=tuple(similarities),
    )


def _count(answers: Sequence[Answer], kind: Kind) -> int:
    return sum(answer.kind == kind for answer in answers)


def _accuracy(answers: Sequence[Answer], kind: Kind) -> float | None:
    of_kind = [answer.correct for answer in answers if answer.kind == kind]
    return 100 * sum(of_kind) / len(of_kind) if of_kind else None
