"""Metrics of retrieval, by hand and against plain loops."""

import math

import numpy as np
import pytest

from svitt_ego.evaluation.ranking import (
    first_right_ranks,
    mean_average_precision,
    normalised_dcg,
    recall_at,
)


def test_average_precision_by_hand():
    similarity = np.array([[0.9, 0.8, 0.1], [0.1, 0.2, 0.3]])
    relevance = np.array([[0.0, 1.0, 1.0], [0.5, 0.5, 1.0]])
    # first query: right at ranks 2 and 3, so (1/2 + 2/3) / 2; second: right at rank 1
    expected = 100 * ((1 / 2 + 2 / 3) / 2 + 1) / 2
    assert mean_average_precision(similarity, relevance) == pytest.approx(expected)
    without_any = np.vstack([relevance, [0.5, 0.5, 0.9]])
    with_third = np.vstack([similarity, [0.0, 0.0, 0.0]])
    assert mean_average_precision(with_third, without_any) == pytest.approx(expected)


def test_ndcg_by_hand():
    similarity = np.array([[0.9, 0.8, 0.1, 0.0]])
    relevance = np.array([[0.5, 1.0, 0.0, 0.25]])
    # three items count: gained .5 + 1/log2(3) + 0, best 1 + .5/log2(3) + .25/log2(4)
    gained = 0.5 + 1 / math.log2(3)
    best = 1 + 0.5 / math.log2(3) + 0.25 / 2
    assert normalised_dcg(similarity, relevance) == pytest.approx(100 * gained / best)
    assert normalised_dcg(relevance, relevance) == pytest.approx(100)


def test_what_cannot_be_ranked_earns_nothing():
    similarity = np.array([[-np.inf, 0.5], [-np.inf, -np.inf]])
    relevance = np.array([[1.0, 0.0], [1.0, 1.0]])
    assert mean_average_precision(similarity, relevance) == 0
    assert normalised_dcg(similarity, relevance) == 0
    assert first_right_ranks(similarity, relevance == 1).tolist() == [np.inf, np.inf]


def test_against_loops():
    rng = np.random.default_rng(5)
    similarity = rng.normal(size=(30, 41))
    relevance = rng.choice([0, 0.25, 0.5, 1], p=[0.6, 0.2, 0.1, 0.1], size=similarity.shape)
    precisions, gains, ranks = [], [], []
    for s, r in zip(similarity, relevance, strict=True):
        ranked = [value for _, value in sorted(zip(-s, r, strict=True))]
        places = [rank for rank, value in enumerate(ranked, start=1) if value == 1]
        ranks.append(places[0] if places else math.inf)
        if places:
            found = [(n / rank) for n, rank in enumerate(places, start=1)]
            precisions.append(sum(found) / len(found))
        count = sum(value > 0 for value in r)
        best = sum(v / math.log2(i + 2) for i, v in enumerate(sorted(r, reverse=True)[:count]))
        gains.append(sum(v / math.log2(i + 2) for i, v in enumerate(ranked[:count])) / best)
    assert mean_average_precision(similarity, relevance) == pytest.approx(100 * np.mean(precisions))
    assert normalised_dcg(similarity, relevance) == pytest.approx(100 * np.mean(gains))
    assert first_right_ranks(similarity, relevance == 1).tolist() == ranks
    assert recall_at(np.array(ranks), 5) == pytest.approx(100 * np.mean([r <= 5 for r in ranks]))


def test_slices_change_nothing(monkeypatch):
    rng = np.random.default_rng(6)
    similarity, relevance = rng.normal(size=(9, 7)), rng.integers(0, 2, (9, 7))
    metrics = (mean_average_precision, normalised_dcg)
    whole = [metric(similarity, relevance) for metric in metrics]
    monkeypatch.setattr("svitt_ego.evaluation.ranking._CELLS_AT_ONCE", 14)
    assert [metric(similarity, relevance) for metric in metrics] == pytest.approx(whole)
