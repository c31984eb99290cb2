"""How sure a difference between two models is, when both answered the same questions.

S: seeds; Q: questions.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 4000
_AT_ONCE = 200
"""Resamples weighed together: bounds memory to so many times Q numbers."""


@dataclass(frozen=True)
class Interval:
    """In percentage points."""

    mean: float
    low: float
    high: float
    confidence: float


def paired_interval(
    ours: NDArray[np.bool_],
    theirs: NDArray[np.bool_],
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """Percentile bootstrap interval of the difference of two accuracies, ours - theirs.

    Seeds and questions are drawn anew, each with replacement and independently of the other (the
    pigeonhole bootstrap of Owen, 2007), because another training and other questions would both
    have given another difference. A seed's two models, and a question's two answers, stay
    together. With one seed it is the ordinary paired bootstrap over questions, which knows nothing
    of how much another seed would change.

    Args:
        ours, theirs: (S, Q), whether the question was answered correctly.
        confidence: share of resamples between `low` and `high`.

    Raises:
        ValueError: shapes differ, or there is nothing to compare.
    """
    if ours.shape != theirs.shape or ours.ndim != 2 or not ours.size:
        raise ValueError(f"answers of shapes {ours.shape} and {theirs.shape} cannot be paired")
    difference = ours.astype(np.float64) - theirs
    seeds, questions = difference.shape
    rng = np.random.default_rng(seed)
    means = []
    for start in range(0, resamples, _AT_ONCE):
        count = min(_AT_ONCE, resamples - start)
        of_seeds = rng.multinomial(seeds, np.full(seeds, 1 / seeds), size=count) / seeds
        drawn = rng.integers(questions, size=(count, questions))
        means.append((of_seeds @ difference)[np.arange(count)[:, None], drawn].mean(axis=1))
    tail = (1 - confidence) / 2
    low, high = np.quantile(np.concatenate(means), [tail, 1 - tail])
    return Interval(100 * float(difference.mean()), 100 * float(low), 100 * float(high), confidence)


def interval(
    correct: NDArray[np.bool_],
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """Of one accuracy in percent: (S, Q), as `paired_interval`."""
    nothing = np.zeros_like(correct)
    return paired_interval(correct, nothing, confidence, resamples, seed)
