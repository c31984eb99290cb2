import random

import pytest

from svitt_ego.profiling.planning.memory_size import memory_size
from svitt_ego.profiling.planning.plan import LARGEST_TRIED, largest_that_fits


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

    found = largest_that_fits(need, limit, first=draws.randrange(1, 70))
    calls = len(asked)
    assert found == by_counting(need, limit)
    assert len(set(asked[:calls])) == calls and calls < 25
    # both sides of the border were asked, not guessed
    assert {found, found + 1} - {0, LARGEST_TRIED + 1} <= set(asked[:calls])


def test_a_step_in_the_need():
    assert largest_that_fits(lambda n: 10 if n < 37 else 1000, 500, first=8) == 36


def test_sizes():
    assert memory_size("12GiB") == 12 * 2**30
    assert memory_size(" 1.5 GB ") == 1_500_000_000
    for text in ("12", "12 G", "GiB", "0GiB", "-1GiB", "12gib", "1e3GiB"):
        with pytest.raises(ValueError, match="number with a unit"):
            memory_size(text)
