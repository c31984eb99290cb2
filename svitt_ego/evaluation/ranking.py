"""Metrics of retrieval: how good an order of items is for each query, averaged over queries.

Q: queries; I: items. Higher similarity comes first; -inf is a pair that cannot be ranked, such as
one with an unreadable clip. Where similarities are equal the item of lower index comes first.
"""

import numpy as np
from numpy.typing import NDArray


def _ranked(
    similarity: NDArray[np.floating], relevance: NDArray[np.floating]
) -> NDArray[np.floating]:
    """Relevance in the order of each query: (Q, I). What cannot be ranked earns nothing."""
    assert similarity.shape == relevance.shape, (similarity.shape, relevance.shape)
    order = np.argsort(-similarity, axis=1, kind="stable")
    earned = np.where(np.isneginf(similarity), 0, relevance)
    return np.take_along_axis(earned, order, axis=1)


def mean_average_precision(
    similarity: NDArray[np.floating], relevance: NDArray[np.floating]
) -> float:
    """In percent. An item is right where its relevance is 1 (EPIC-KITCHENS-100, Damen et al. 2022).

    The average precision of a query is the mean, over its right items, of the share of right items
    among those up to it. Queries without a right item are left out.

    Args:
        similarity, relevance: (Q, I).
    """
    total, queries = 0.0, 0
    for some in _slices(*similarity.shape):
        right = relevance[some] == 1
        wanted = right.sum(axis=1)
        hits = _ranked(similarity[some], right)
        precision = np.cumsum(hits, axis=1) / np.arange(1, hits.shape[1] + 1)
        has_any = wanted > 0
        total += ((precision * hits).sum(axis=1)[has_any] / wanted[has_any]).sum()
        queries += int(has_any.sum())
    return 100 * total / queries if queries else float("nan")


def normalised_dcg(similarity: NDArray[np.floating], relevance: NDArray[np.floating]) -> float:
    """In percent: discounted cumulative gain over that of the best order (EPIC-KITCHENS-100).

    The gain is the relevance, the discount of rank r = 1, 2, … is log2(r + 1), and of each query
    as many ranks count as it has items of relevance > 0. Queries without such are left out.

    Args:
        similarity, relevance: (Q, I).
    """
    discount = np.log2(np.arange(2, similarity.shape[1] + 2))
    total, queries = 0.0, 0
    for some in _slices(*similarity.shape):
        counts = (relevance[some] > 0).sum(axis=1)
        weight = (np.arange(similarity.shape[1]) < counts[:, None]) / discount
        gained = (_ranked(similarity[some], relevance[some]) * weight).sum(axis=1)
        best = (-np.sort(-relevance[some], axis=1) * weight).sum(axis=1)
        has_any = counts > 0
        total += (gained[has_any] / best[has_any]).sum()
        queries += int(has_any.sum())
    return 100 * total / queries if queries else float("nan")


def first_right_ranks(
    similarity: NDArray[np.floating], right: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """The rank, from 1 on, of each query's best right item; inf where none can be ranked: (Q,)."""
    ranks = np.full(len(similarity), np.inf)
    for some in _slices(*similarity.shape):
        hits = _ranked(similarity[some], right[some])
        ranks[some] = np.where(hits.any(axis=1), hits.argmax(axis=1) + 1, np.inf)
    return ranks


def recall_at(ranks: NDArray[np.float64], k: int) -> float:
    """Percent of queries with a right item among the first k."""
    return 100 * float(np.mean(ranks <= k))


_CELLS_AT_ONCE = 1 << 24


def _slices(queries: int, items: int) -> list[slice]:
    """Of the queries, so that temporary arrays stay small."""
    step = max(1, _CELLS_AT_ONCE // max(items, 1))
    return [slice(start, start + step) for start in range(0, queries, step)]
