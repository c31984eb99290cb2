"""R@k at an IoU: how many queries have the truth among their first k predictions, in percent."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import torch

from svitt_ego.config import ConfigError
from svitt_ego.grounding.queries import Query
from svitt_ego.grounding.spans import pairwise_iou

RANKS = (1, 5)
IOUS = (0.3, 0.5)

Windows = Sequence[tuple[float, float]]
"""Predictions for one query in seconds of the clip, best first."""


@dataclass(frozen=True)
class GroundingScore:
    recalls: dict[str, float]
    """Percent by name, such as `R@1 IoU>0.3`."""
    mean_iou: float
    """Of the first prediction, 0 where there is none."""
    queries: int
    unanswered: int
    """Without a prediction: they count as missed."""
    ignored: int = 0
    """Answers to queries that are left out."""

    def summary(self) -> str:
        figures = "   ".join(f"{name} {value:.2f}" for name, value in self.recalls.items())
        ignored = f", {self.ignored} answers to queries left out" if self.ignored else ""
        return (
            f"{figures}   of {self.queries} queries "
            f"({self.unanswered} without a prediction{ignored})"
        )


def recall_name(rank: int, iou: float) -> str:
    return f"R@{rank} IoU>{iou:g}"


def score(
    queries: Sequence[Query],
    predictions: Mapping[str, Windows],
    left_out: Collection[str] = (),
) -> GroundingScore:
    """As the challenge's evaluation: a hit has an IoU strictly above the threshold, and the mean is
    over queries (Ego4D episodic-memory, NLQ).

    Args:
        predictions: by the query's id.
        left_out: ids of queries that do not count, such as `Queries.left_out`.

    Raises:
        ConfigError: a query has no window to compare with, or a prediction is for no query.
    """
    for query in queries:
        if query.window_s is None:
            raise ConfigError(f"query {query.id} has no window: this split cannot be scored here")
    others = predictions.keys() - {query.id for query in queries}
    unknown = others.difference(left_out)
    if unknown:
        raise ConfigError(f"{len(unknown)} predictions are for no query, one is {min(unknown)}")
    hits = {recall_name(rank, iou): 0 for iou in IOUS for rank in RANKS}
    first_ious, unanswered = 0.0, 0
    for query in queries:
        windows = predictions.get(query.id, ())
        if not windows:
            unanswered += 1
            continue
        of_query = torch.tensor(windows, dtype=torch.float64)
        truth = torch.tensor([query.window_s], dtype=torch.float64)
        ious = pairwise_iou(of_query, truth)[:, 0]
        first_ious += float(ious[0])
        for iou in IOUS:
            for rank in RANKS:
                hits[recall_name(rank, iou)] += bool((ious[:rank] > iou).any())
    return GroundingScore(
        recalls={name: 100 * count / len(queries) for name, count in hits.items()},
        mean_iou=first_ious / len(queries),
        queries=len(queries),
        unanswered=unanswered,
        ignored=len(others),
    )
