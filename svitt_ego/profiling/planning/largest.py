"""The largest micro-batch that fits, found with few questions."""

from collections.abc import Callable

LARGEST_TRIED = 4096
"""Anchors: a GPU for more has not been built."""

LINES_TRIED = 8
"""Guesses along lines before halving, for a need that is far from linear."""

LONGEST_LEAP = 16
"""Times the most that was asked: the first line rests on an estimate."""


def largest_that_fits(
    need: Callable[[int], int], limit_bytes: int, first: int, empty_bytes: int = 0
) -> int:
    """The n with need(n) <= limit_bytes, asked, while n + 1 is too much: asked, or by the line
    through the two known points nearest to the limit, since the need grows about linearly.

    Returns 0 where 1 is too much, at most `LARGEST_TRIED`.

    Args:
        need: n -> bytes; asked once for an n, and as seldom as possible.
        first: where to begin.
        empty_bytes: about what 0 would need.
    """
    low, high = 0, LARGEST_TRIED + 1
    known: dict[int, int] = {}
    guess = first
    while guess != low:
        known[guess] = need(guess)
        if known[guess] <= limit_bytes:
            low = guess
        else:
            high = guess
        guess = _next_guess(known, low, high, limit_bytes, empty_bytes)
    return low


def _next_guess(
    known: dict[int, int], low: int, high: int, limit_bytes: int, empty_bytes: int
) -> int:
    """What to ask next, between low and high, exclusive; low itself where nothing is left."""
    if high - low == 1:
        return low
    if len(known) > LINES_TRIED:
        return (low + min(high, 4 * low + 2)) // 2
    points = known if len(known) > 1 else {0: empty_bytes, **known}
    a, b = sorted(points, key=lambda n: abs(points[n] - limit_bytes))[:2]
    slope = (points[b] - points[a]) / (b - a)
    if slope <= 0:  # flat, as while the optimiser has the peak: it says little of what lies far out
        return (low + min(high, 4 * low + 2)) // 2
    guess = int(a + (limit_bytes - points[a]) / slope)
    least = low if len(known) > 1 and low else low + 1  # an estimate alone ends no search
    return min(max(guess, least), high - 1, LONGEST_LEAP * max(known))
