"""EgoMCQ: how often a narration is closest to its own of five clips, in percent.

Three scores of a narration and a clip: `dual`, the cosine of their projected features; `fusion`,
the probability that the fusion encoder gives them of being matched (VTM); `ensemble`, the sum of
both, as EgoVLPv2 (Pramanick et al., ICCV 2023).

An unreadable clip has no score: it is never chosen, and a question whose right clip is unreadable
counts as wrong.
"""

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from torch import Tensor
from transformers import PreTrainedTokenizerBase

from svitt_ego.config import ConfigError
from svitt_ego.data.batch import Fault
from svitt_ego.evaluation.clip_reading import ClipReading
from svitt_ego.evaluation.embedding import ClipEmbeddings, embed_clips, embed_texts, embedders
from svitt_ego.evaluation.matching import MatchingEmbedder
from svitt_ego.evaluation.mcq_questions import Kind, Question
from svitt_ego.evaluation.ranks import Ranks
from svitt_ego.evaluation.video_clip import VideoClip
from svitt_ego.models import SViTTEgo

Score = Literal["dual", "fusion", "ensemble"]
KINDS: tuple[Kind, ...] = ("inter", "intra")


@dataclass(frozen=True)
class Answer:
    """One question. Of each score the choices' values, None where a clip is unreadable, and the
    choice of the highest, None where no clip is readable."""

    id: str
    kind: Kind
    answer: int
    """The right choice."""
    scores: dict[Score, tuple[float | None, ...]]
    chosen: dict[Score, int | None]

    def is_correct(self, score: Score) -> bool:
        return self.chosen[score] == self.answer

    @property
    def unreadable(self) -> tuple[int, ...]:
        """Choices whose clip is unreadable."""
        return tuple(choice for choice, value in enumerate(self.scores["dual"]) if value is None)


@dataclass(frozen=True)
class UnreadableClip:
    """A choice's clip, and the file that keeps it from being read."""

    video_uid: str
    start_s: float
    end_s: float
    path: str
    cause: str


@dataclass(frozen=True)
class McqResult:
    """Accuracies are in percent, None where there is no question of the kind."""

    inter: float | None
    """Of the dual encoder."""
    intra: float | None
    accuracy: dict[Score, dict[Kind, float | None]]
    frames: int
    """Of a clip."""
    questions: dict[Kind, int]
    clips: int
    """Different clips of all questions, each embedded once."""
    unreadable: tuple[UnreadableClip, ...]
    answers: tuple[Answer, ...]

    @property
    def lost_questions(self) -> int:
        """Those that count as wrong because their right clip is unreadable."""
        return sum(answer.answer in answer.unreadable for answer in self.answers)

    @property
    def narrowed_questions(self) -> int:
        """Those with fewer choices because another clip than the right one is unreadable."""
        return sum(bool(set(answer.unreadable) - {answer.answer}) for answer in self.answers)

    def to_json(self) -> str:
        """Everything, as a JSON text."""
        affected = {
            "right_clip_unreadable": self.lost_questions,
            "another_clip_unreadable": self.narrowed_questions,
        }
        tree = asdict(self) | {"affected_questions": affected}
        return json.dumps(tree, indent=1, allow_nan=False) + "\n"

    def summary(self) -> str:
        """A line per kind with all scores; an account of unreadable clips if there are any."""
        lines = [
            f"{kind}-video accuracy of {self.questions[kind]} questions: "
            + ", ".join(f"{score} {of[kind]:.1f}%" for score, of in self.accuracy.items())
            for kind in KINDS
            if self.questions[kind]
        ]
        if self.unreadable:
            causes = Counter(clip.cause for clip in self.unreadable).most_common()
            first = self.unreadable[0]
            lines += [
                f"{len(self.unreadable)} of {self.clips} clips were unreadable "
                f"({', '.join(f'{count} {cause}' for cause, count in causes)}); "
                f"the first: {first.path}: {first.cause}",
                f"so {self.lost_questions} questions count as wrong, and {self.narrowed_questions} "
                "have fewer clips to choose from",
            ]
        return "\n".join(lines)


def evaluate_egomcq(
    questions: Sequence[Question],
    reading: ClipReading,
    model: SViTTEgo,
    tokenizer: PreTrainedTokenizerBase,
    max_text_tokens: int,
    with_fusion: bool,
    ranks: Ranks,
    progress: bool = True,
) -> McqResult | None:
    """Embed every different clip and narration once, then answer; None but on rank 0.

    Args:
        with_fusion: score with the fusion encoder too: of no use where VTM was not trained.

    Raises:
        ConfigError: no clip can be read, or the model gives a score that is not a number.
    """
    clips = list(dict.fromkeys(clip for question in questions for clip in question.choices))
    texts = list(dict.fromkeys(question.text for question in questions))
    embed, embed_text = embedders(model)
    probabilities: dict[tuple[int, int], float] = {}
    if with_fusion:
        embed = MatchingEmbedder(
            model, tokenizer, max_text_tokens, texts, _texts_of_clip(questions, clips, texts)
        )
        probabilities = embed.probabilities
    embedded = embed_clips(clips, reading, embed, ranks, progress)
    parts = ranks.gather(probabilities)
    if embedded is None or parts is None:
        return None
    text_features = embed_texts(
        texts, tokenizer, max_text_tokens, reading.batch_size, embed_text, progress
    )
    matched = {pair: value for part in parts for pair, value in part.items()}
    return score(
        questions,
        clips,
        embedded,
        texts,
        text_features,
        matched if with_fusion else None,
        frames=reading.frames,
    )


def score(
    questions: Sequence[Question],
    clips: Sequence[VideoClip],
    embedded: ClipEmbeddings,
    texts: Sequence[str],
    text_features: Tensor,
    matched: Mapping[tuple[int, int], float] | None = None,
    *,
    frames: int,
) -> McqResult:
    """
    Args:
        clips: the different clips, in the order of `embedded`.
        text_features: (texts, P), in the order of `texts`.
        matched: the fusion encoder's probability by text and clip; None: dual encoder alone.

    Raises:
        ConfigError: a score is not a number.
    """
    place_of_clip = {clip: place for place, clip in enumerate(clips)}
    place_of_text = {text: place for place, text in enumerate(texts)}
    answers = []
    for question in questions:
        text = place_of_text[question.text]
        places = [place_of_clip[clip] for clip in question.choices]
        known = [place for place in places if place not in embedded.faults]
        scores: dict[Score, dict[int, float]] = {
            "dual": {
                place: float(embedded.features[place] @ text_features[text]) for place in known
            }
        }
        if matched is not None:
            scores["fusion"] = {place: matched[text, place] for place in known}
            scores["ensemble"] = {
                place: scores["dual"][place] + scores["fusion"][place] for place in known
            }
        values = {name: tuple(of.get(place) for place in places) for name, of in scores.items()}
        answers.append(_answer(question, values))
    accuracy = {
        name: {kind: _accuracy(answers, kind, name) for kind in KINDS}
        for name in (("dual",) if matched is None else ("dual", "fusion", "ensemble"))
    }
    return McqResult(
        inter=accuracy["dual"]["inter"],
        intra=accuracy["dual"]["intra"],
        accuracy=accuracy,
        frames=frames,
        questions={kind: sum(answer.kind == kind for answer in answers) for kind in KINDS},
        clips=len(clips),
        unreadable=tuple(
            _unreadable(clips[place], embedded.faults[place]) for place in sorted(embedded.faults)
        ),
        answers=tuple(answers),
    )


def _texts_of_clip(
    questions: Sequence[Question], clips: Sequence[VideoClip], texts: Sequence[str]
) -> dict[int, list[int]]:
    """The narrations that a clip is a choice for, each once."""
    place_of_clip = {clip: place for place, clip in enumerate(clips)}
    place_of_text = {text: place for place, text in enumerate(texts)}
    found: dict[int, dict[int, None]] = {}
    for question in questions:
        for clip in question.choices:
            found.setdefault(place_of_clip[clip], {})[place_of_text[question.text]] = None
    return {clip: list(of_clip) for clip, of_clip in found.items()}


def _answer(question: Question, scores: dict[Score, tuple[float | None, ...]]) -> Answer:
    chosen: dict[Score, int | None] = {}
    for name, values in scores.items():
        known = {choice: value for choice, value in enumerate(values) if value is not None}
        if any(math.isnan(value) for value in known.values()):
            raise ConfigError(
                f"question {question.id!r}: a {name} score is not a number: broken weights?"
            )
        chosen[name] = max(known, key=known.__getitem__, default=None)
    return Answer(question.id, question.kind, question.answer, scores, chosen)


def _accuracy(answers: Sequence[Answer], kind: Kind, name: Score) -> float | None:
    correct = [answer.is_correct(name) for answer in answers if answer.kind == kind]
    return 100 * sum(correct) / len(correct) if correct else None


def _unreadable(clip: VideoClip, fault: Fault) -> UnreadableClip:
    return UnreadableClip(clip.video_uid, clip.start_s, clip.end_s, fault.path, fault.cause)
