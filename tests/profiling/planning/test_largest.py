import argparse
import random

import pytest

from svitt_ego.profiling.planning.arguments import micro_batch, share, size
from svitt_ego.profiling.planning.largest import LARGEST_TRIED, largest_that_fits


def by_counting(need, limit: int) -> int:
    n = 0
    while n < LARGEST_TRIED and need(n + 1) <= limit:
        n += 1
    return n


class Asked(list):
    """Questions to `need`, in order."""

    def __init__(self, need):
        super().__init__()
        self._need = need

    def __call__(self, n: int) -> int:
        self.append(n)
        return self._need(n)


@pytest.mark.parametrize("seed", range(20))
def test_finds_what_counting_finds(seed: int):
    draws = random.Random(seed)
    base, slope, bend = draws.randrange(50, 5000), draws.randrange(1, 90), draws.random()
    limit = draws.randrange(base // 2, base + 300 * slope)

    def need(n: int) -> int:
        return base + int(slope * n + bend * n**1.5)

    begun_with = {draws.randrange(1, 200) for _ in range(draws.randrange(1, 5))}
    asked = Asked(need)
    found = largest_that_fits(asked, limit, {n: need(n) for n in begun_with}, draws.randrange(9999))
    assert found == by_counting(need, limit)
    assert len(set(asked)) == len(asked) < 12 and begun_with.isdisjoint(asked)
    # what is said to fit was asked
    assert found in {0, *asked, *begun_with}


def test_a_line_is_found_with_few_questions():
    asked = Asked(lambda n: 1000 + 60 * n)
    assert largest_that_fits(asked, 10_000, {8: 1480}, empty_bytes=700) == 150
    assert len(asked) <= 3


def test_what_is_known_is_not_asked_again():
    known = {n: 1000 + 60 * n for n in (8, 80, 150, 151)}
    asked = Asked(known.__getitem__)
    assert largest_that_fits(asked, 10_000, known) == 150
    assert largest_that_fits(asked, known[8], known) == 8
    assert not asked


def test_a_step_in_the_need():
    assert largest_that_fits(lambda n: 10 if n < 37 else 1000, 500, {8: 10}) == 36


def test_a_need_that_stays_flat_for_long():
    need = Asked(lambda n: max(1000, 10 * n))
    assert largest_that_fits(need, 3000, {4: 1000, 8: 1000}, empty_bytes=900) == 300
    assert len(need) < 12


def test_points_that_lead_astray_end_no_search():
    """Two that are too much, next to each other and nearly equal: their line says 0."""
    asked = Asked(lambda n: min(100 * n, 30_000 + n))
    known = {8: 800, 302: 30_302, 303: 30_303}
    assert largest_that_fits(asked, 19_950, known) == 199
    assert len(asked) <= 3
    # two that fit, the second of them by little: their line says that no more do
    jagged = Asked(lambda n: 1000 + 60 * n + 500 * (n == 81))
    known = {n: jagged(n) for n in (8, 80, 81)}
    assert largest_that_fits(jagged, 6500, known) == 91


def test_no_more_than_the_largest_is_tried():
    assert largest_that_fits(lambda n: 5, 500, {8: 5}) == LARGEST_TRIED


def test_sizes():
    assert size("12GiB") == 12 * 2**30
    assert size(" 1.5 GB ") == 1_500_000_000
    for text in ("12", "12 G", "GiB", "-1GiB", "12gib", "1e3GiB"):
        with pytest.raises(argparse.ArgumentTypeError, match="number with a unit"):
            size(text)
    with pytest.raises(argparse.ArgumentTypeError, match="must be above 0"):
        size("0GiB")


def test_shares():
    assert share("5%") == share("0.05") == 0.05 and share("0") == 0
    for text in ("5", "100%", "-1%", "x", "%"):
        with pytest.raises(argparse.ArgumentTypeError, match="share below 1"):
            share(text)


def test_micro_batches():
    assert micro_batch("auto") is None and micro_batch("12") == 12
    with pytest.raises(argparse.ArgumentTypeError):
        micro_batch("0")
