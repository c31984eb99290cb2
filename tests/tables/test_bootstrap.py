"""Intervals against scipy's paired bootstrap, and against what they promise."""

import numpy as np
import pytest
from scipy.stats import bootstrap

from svitt_ego.tables.bootstrap import interval, paired_interval


def test_one_seed_is_the_paired_bootstrap_of_scipy():
    rng = np.random.default_rng()
    ours, theirs = rng.random(800) < 0.62, rng.random(800) < 0.55
    theirs[:400] = ours[:400]  # paired: they agree on many
    found = paired_interval(ours[None], theirs[None])
    expected = bootstrap(
        (ours.astype(float), theirs.astype(float)),
        lambda a, b, axis: 100 * (a.mean(axis) - b.mean(axis)),
        paired=True,
        method="percentile",
        n_resamples=2000,
        batch=100,
    ).confidence_interval
    # the ends of two intervals of 4,000 resamples each: their own noise is some 2% of the width
    noise = 0.08 * (expected.high - expected.low)
    assert found.mean == pytest.approx(100 * (ours.mean() - theirs.mean()))
    assert found.low == pytest.approx(expected.low, abs=noise)
    assert found.high == pytest.approx(expected.high, abs=noise)


def test_the_interval_holds_the_truth_as_often_as_it_says():
    """Seeds and questions both random: 200 trials of a true difference of 5 points."""
    rng = np.random.default_rng(7)
    held = 0
    for trial in range(200):
        questions = rng.normal(0, 0.15, (1, 300))
        chance = [0.5 + questions + shift + rng.normal(0, 0.02, (12, 1)) for shift in (0.05, 0.0)]
        ours, theirs = (rng.random((12, 300)) < np.clip(share, 0, 1) for share in chance)
        found = paired_interval(ours, theirs, resamples=200, seed=trial)
        held += found.low <= 5 <= found.high
    # the pigeonhole bootstrap errs on the wide side: at least 95%, less four standard errors
    assert held / 200 > 0.95 - 4 * np.sqrt(0.95 * 0.05 / 200)


def test_a_seed_more_or_less_widens_the_interval():
    rng = np.random.default_rng()
    theirs = rng.random((3, 500)) < 0.5
    ours = theirs | (rng.random((3, 500)) < np.array([[0.0], [0.1], [0.2]]))
    wide = paired_interval(ours, theirs)
    narrow = paired_interval(ours.reshape(1, -1), theirs.reshape(1, -1))
    assert wide.high - wide.low > 1.5 * (narrow.high - narrow.low)
    assert wide.mean == pytest.approx(narrow.mean)


def test_no_difference_where_the_answers_are_the_same():
    answers = np.random.default_rng().random((2, 50)) < 0.4
    found = paired_interval(answers, answers)
    assert (found.mean, found.low, found.high) == (0.0, 0.0, 0.0)
    alone = interval(answers)
    assert alone.mean == pytest.approx(100 * answers.mean())
    assert alone.low < alone.mean < alone.high


@pytest.mark.parametrize("shapes", [((2, 3), (3, 2)), ((6,), (6,)), ((1, 0), (1, 0))])
def test_what_cannot_be_paired_is_refused(shapes):
    with pytest.raises(ValueError, match="cannot be paired"):
        paired_interval(*(np.zeros(shape, bool) for shape in shapes))
