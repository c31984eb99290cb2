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


@pytest.mark.parametrize("seed", range(20))
def test_finds_what_counting_finds(seed: int):
    draws = random.Random(seed)
    base, slope, bend = draws.randrange(50, 5000), draws.randrange(1, 90), draws.random()
    limit = draws.randrange(base // 2, base + 300 * slope)
    asked = []

    def need(n: int) -> int:
        asked.append(n)
        return base + int(slope * n + bend * n**1.5)

    found = largest_that_fits(need, limit, draws.randrange(1, 70), draws.randrange(2 * base))
    calls = len(asked)
    assert found == by_counting(need, limit)
    assert len(set(asked[:calls])) == calls and calls < 12
    # what is said to fit was asked
    assert found in {0, *asked[:calls]}


def test_a_line_is_found_with_three_questions():
    asked = []

    def need(n: int) -> int:
        asked.append(n)
        return 1000 + 60 * n

    assert largest_that_fits(need, 10_000, first=8, empty_bytes=700) == 150
    assert len(asked) <= 3


def test_a_step_in_the_need():
    found = largest_that_fits(lambda n: 10 if n < 37 else 1000, 500, first=8)
    assert found == 36


def test_no_more_than_the_largest_is_tried():
    assert largest_that_fits(lambda n: 5, 500, first=8) == LARGEST_TRIED


def test_sizes():
    assert size("12GiB") == 12 * 2**30
    assert size(" 1.5 GB ") == 1_500_000_000
    for text in ("12", "12 G", "GiB", "0GiB", "-1GiB", "12gib", "1e3GiB"):
        with pytest.raises(argparse.ArgumentTypeError, match="number with a unit"):
            size(text)


def test_shares():
    assert share("5%") == share("0.05") == 0.05 and share("0") == 0
    for text in ("5", "100%", "-1%", "x", "%"):
        with pytest.raises(argparse.ArgumentTypeError, match="share below 1"):
            share(text)


def test_micro_batches():
    assert micro_batch("auto") is None and micro_batch("12") == 12
    with pytest.raises(argparse.ArgumentTypeError):
        micro_batch("0")
