"""Zero-shot retrieval: sentences for a clip (V2T), clips for a sentence (T2V)."""

import json
from collections import Counter
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from svitt_ego.config import ConfigError
from svitt_ego.data.batch import Fault
from svitt_ego.evaluation.clip_reading import ClipReading
from svitt_ego.evaluation.embedding import ClipEmbeddings, embed_clips, embed_texts, embedders
from svitt_ego.evaluation.ranking import (
    first_right_ranks,
    mean_average_precision,
    normalised_dcg,
    recall_at,
)
from svitt_ego.evaluation.ranks import Ranks
from svitt_ego.evaluation.retrieval_task import RetrievalTask
from svitt_ego.models import SViTTEgo

RECALLED = (1, 5, 10)
Directions = dict[str, float]
"""`v2t`, `t2v` and their `average`, in percent."""


@dataclass(frozen=True)
class RetrievalResult:
    """Figures by metric and direction. Unreadable clips can't be ranked and, as queries, earn 0."""

    clips: int
    sentences: int
    metrics: dict[str, Directions]
    """mAP, nDCG, R@1, R@5, R@10, in percent."""
    median_rank: dict[str, float | None]
    """Of the best right item; None where it cannot be ranked."""
    unreadable: tuple[Fault, ...]

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=1, allow_nan=False) + "\n"

    def summary(self) -> str:
        """A table, and an account of unreadable clips if there are any."""
        lines = [
            f"{self.clips} clips, {self.sentences} sentences, percent",
            f"{'':<6}{'V2T':>8}{'T2V':>8}{'average':>9}",
        ]
        lines += [
            f"{name:<6}{of['v2t']:>8.2f}{of['t2v']:>8.2f}{of['average']:>9.2f}"
            for name, of in self.metrics.items()
        ]
        if self.unreadable:
            causes = Counter(fault.cause for fault in self.unreadable).most_common()
            first = self.unreadable[0]
            lines.append(
                f"{len(self.unreadable)} of {self.clips} clips were unreadable "
                f"({', '.join(f'{count} {cause}' for cause, count in causes)}) and count as never "
                f"found; the first: {first.path}: {first.cause}"
            )
        return "\n".join(lines)


def evaluate_retrieval(
    task: RetrievalTask,
    reading: ClipReading,
    model: SViTTEgo,
    tokenizer: PreTrainedTokenizerBase,
    max_text_tokens: int,
    ranks: Ranks,
    progress: bool = True,
) -> RetrievalResult | None:
    """Embed every clip and sentence once and rank; None but on rank 0.

    Raises:
        ConfigError: no clip can be read, or the model gives a similarity that is not a number.
    """
    embed, embed_text = embedders(model)
    embedded = embed_clips(task.clips, reading, embed, ranks, progress)
    if embedded is None:
        return None
    text_features = embed_texts(
        task.sentences, tokenizer, max_text_tokens, reading.batch_size, embed_text, progress
    )
    return measure(task, embedded, text_features.numpy())


def measure(
    task: RetrievalTask, embedded: ClipEmbeddings, text_features: NDArray[np.float32]
) -> RetrievalResult:
    """
    Args:
        text_features: (sentences, P).

    Raises:
        ConfigError: a similarity is not a number.
    """
    similarity = embedded.features.numpy() @ text_features.T
    if np.isnan(similarity).any():
        raise ConfigError("a similarity is not a number: broken weights?")
    similarity[sorted(embedded.faults)] = -np.inf
    metrics: dict[str, Directions] = {}
    median_rank: dict[str, float | None] = {}
    for name, s, relevance in (
        ("v2t", similarity, task.relevance),
        ("t2v", similarity.T, task.relevance.T),
    ):
        ranks = first_right_ranks(s, relevance == 1)
        figures = {
            "mAP": mean_average_precision(s, relevance),
            "nDCG": normalised_dcg(s, relevance),
            **{f"R@{k}": recall_at(ranks, k) for k in RECALLED},
        }
        for metric, value in figures.items():
            metrics.setdefault(metric, {})[name] = value
        median = float(np.median(ranks))
        median_rank[name] = median if np.isfinite(median) else None
    for of in metrics.values():
        of["average"] = (of["v2t"] + of["t2v"]) / 2
    return RetrievalResult(
        clips=len(task.clips),
        sentences=len(task.sentences),
        metrics=metrics,
        median_rank=median_rank,
        unreadable=tuple(embedded.faults[place] for place in sorted(embedded.faults)),
    )
