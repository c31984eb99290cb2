"""Action-aware positives against a brute-force reading of their definition."""

from collections import Counter

import numpy as np
import pytest

from svitt_ego.data import positives as positives_module
from svitt_ego.data.metadata import ClipTable
from svitt_ego.data.positives import ActionPositives
from tests.data.ego_files import write_egoclip


def random_table(tmp_path, rng, rows, classes):
    clips = [
        {
            "video_uid": f"v{rng.integers(4)}",
            "clip_start": float(row),
            "clip_end": row + 0.5,
            "tag_verb": rng.integers(0, classes, rng.integers(0, 3)).tolist(),
            "tag_noun": rng.integers(0, classes, rng.integers(0, 4)).tolist(),
        }
        for row in range(rows)
    ]
    return ClipTable.open(write_egoclip(tmp_path / "egoclip.csv", clips))


def brute_force(table, row):
    anchor = table[row]
    return {
        other
        for other in range(len(table))
        if other != row
        and set(anchor.verbs) & set(table[other].verbs)
        and set(anchor.nouns) & set(table[other].nouns)
    }


@pytest.mark.parametrize("left_out_share", [0.0, 0.4])
@pytest.mark.parametrize("blind_draws", [0, 3, 64])
@pytest.mark.parametrize("classes", [3, 12])
def test_draws_are_exactly_those_of_the_definition(
    tmp_path, monkeypatch, classes, blind_draws, left_out_share
):
    monkeypatch.setattr(positives_module, "BLIND_DRAWS", blind_draws)
    rng = np.random.default_rng(classes)
    table = random_table(tmp_path, rng, 80, classes)
    left_out = rng.random(80) < left_out_share
    positives = ActionPositives(table, left_out if left_out_share else None)
    found = 0
    for row in range(len(table)):
        allowed = brute_force(table, row) - set(np.flatnonzero(left_out).tolist())
        for draw in range(3):
            drawn = positives.draw(row, np.random.default_rng((row, draw)))
            assert drawn in allowed if allowed else drawn is None
            found += drawn is not None
    assert 0 < found < 3 * len(table)


def test_all_positives_are_equally_likely(tmp_path):
    """Row 0 has verbs 0 and 1: row 2, which has both, is in both lists of the index."""
    verbs = [[0, 1], [0], [0, 1], [1], [0], [2]]
    nouns = [[5], [5], [5], [5], [6], [5]]
    rows = [
        {"video_uid": "v", "clip_start": i, "clip_end": i + 1, "tag_verb": v, "tag_noun": n}
        for i, (v, n) in enumerate(zip(verbs, nouns, strict=True))
    ]
    positives = ActionPositives(ClipTable.open(write_egoclip(tmp_path / "egoclip.csv", rows)))
    rng = np.random.default_rng(1)
    drawn = Counter(positives.draw(0, rng) for _ in range(3000))
    assert set(drawn) == {1, 2, 3}
    assert all(abs(count - 1000) < 150 for count in drawn.values())  # 5.8 standard deviations
