"""The largest micro-batch that fits, found with few questions."""

from collections.abc import Callable, Mapping

LARGEST_TRIED = 4096
"""Anchors: a GPU for more has not been built."""

LINES_TRIED = 8
"""Guesses along lines before halving, for a need that is far from linear."""

LONGEST_LEAP = 16
"""Times the most that was asked: the first line rests on an estimate."""


def largest_that_fits(
    need: Callable[[int], int], limit_bytes: int, known: Mapping[int, int], empty_bytes: int = 0
) -> int:
    """The n with need(n) <= limit_bytes, asked, while n + 1 is too much: asked, or by the line
    from n to the next that is, since the need grows about linearly.

    Returns 0 where 1 is too much, at most `LARGEST_TRIED`.

    Args:
        need: n -> bytes; asked once for an n, and as seldom as possible.
        known: n -> bytes of what was asked before, at least once.
        empty_bytes: about what 0 would need.
    """
    points = dict(known)
    low = max((n for n in points if points[n] <= limit_bytes), default=0)
    high = min((n for n in points if points[n] > limit_bytes), default=LARGEST_TRIED + 1)
    while high - low > 1:
        if len(points) - len(known) < LINES_TRIED:
            guess = _along_the_line(points, low, high, limit_bytes, empty_bytes)
        else:
            guess = _between(low, high)
        if guess == low:
            break
        points[guess] = need(guess)
        if points[guess] <= limit_bytes:
            low = guess
        else:
            high = guess
    return low


def _along_the_line(
    points: Mapping[int, int], low: int, high: int, limit_bytes: int, empty_bytes: int
) -> int:
    """What to ask next, between low and high, exclusive; low itself where one more is too much."""
    known = points if len(points) > 1 else {0: empty_bytes, **points}
    nearest = sorted(known, key=lambda n: abs(known[n] - limit_bytes))[:2]
    guess = _crossing(known, *nearest, limit_bytes)
    # only what is known on both sides of the limit ends the search: the nearest two may be on one
    # side, next to each other, and their line then leads astray
    if low in points and high in points and (guess is None or not low < guess < high):
        return _crossing(points, low, high, limit_bytes)
    if guess is None:
        return _between(low, high)
    return min(max(guess, low + 1), high - 1, LONGEST_LEAP * max(points))


def _crossing(known: Mapping[int, int], a: int, b: int, limit_bytes: int) -> int | None:
    """Where the line through two points reaches the limit, rounded down; None where it is flat, as
    while the optimiser has the peak: that says little of what lies far out."""
    slope = (known[b] - known[a]) / (b - a)
    return int(a + (limit_bytes - known[a]) / slope) if slope > 0 else None


def _between(low: int, high: int) -> int:
    return (low + min(high, 4 * low + 2)) // 2
