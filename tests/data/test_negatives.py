"""Scene-aware negatives against a brute-force reading of their definition."""

from collections import Counter

import numpy as np
import pytest

from svitt_ego.data.metadata import ClipTable, MetadataError
from svitt_ego.data.negatives import SceneNegatives
from tests.data.ego_files import write_egoclip

NEIGHBOURS = 3


def random_table(tmp_path, rng, rows=120, videos=4, span_s=300, classes=3):
    clips = []
    for _ in range(rows):
        start = float(rng.uniform(0, span_s))
        clips.append(
            {
                "video_uid": f"v{rng.integers(videos)}",
                "clip_start": start,
                "clip_end": start + float(rng.uniform(0.5, 6)),
                "tag_verb": rng.integers(0, classes, rng.integers(0, 3)).tolist(),
                "tag_noun": rng.integers(0, classes, rng.integers(0, 3)).tolist(),
            }
        )
    return ClipTable.open(write_egoclip(tmp_path / "egoclip.csv", clips))


def is_negative(a, b):
    apart = a.end_s <= b.start_s or b.end_s <= a.start_s
    same_action = bool(set(a.verbs) & set(b.verbs)) and bool(set(a.nouns) & set(b.nouns))
    return apart and not same_action


def brute_force(table, row):
    """All rows that a draw may give, and where they are from."""
    anchor = table[row]
    clips = [table[other] for other in range(len(table))]

    def distance(other):
        return abs(clips[other].narration_time_s - anchor.narration_time_s)

    candidates = [
        other
        for other, clip in enumerate(clips)
        if other != row and clip.video_uid == anchor.video_uid and is_negative(anchor, clip)
    ]
    candidates.sort(key=distance)
    minute = anchor.narration_time_s // 60
    segment = [other for other in candidates if clips[other].narration_time_s // 60 == minute]
    if segment:
        return set(segment[:NEIGHBOURS]), "segment"
    if candidates:
        return {candidates[0]}, "video"
    elsewhere = {o for o, clip in enumerate(clips) if clip.video_uid != anchor.video_uid}
    return elsewhere or set(range(len(table))) - {row}, "random"


@pytest.mark.parametrize(
    "shape",
    [
        {},
        {"rows": 20, "span_s": 1200},  # lone segments
        {"rows": 30, "videos": 12, "classes": 1},  # the same action everywhere
        {"rows": 8, "videos": 1, "classes": 1},
        {"rows": 60, "span_s": 20},  # mostly overlapping
    ],
)
def test_draws_are_exactly_those_of_the_definition(tmp_path, shape):
    rng = np.random.default_rng(11)
    table = random_table(tmp_path, rng, **shape)
    negatives = SceneNegatives(table, NEIGHBOURS)
    for row in range(len(table)):
        allowed, source = brute_force(table, row)
        for draw in range(4):
            negative = negatives.draw(row, np.random.default_rng((row, draw)))
            assert negative.row != row
            assert negative.row in allowed
            assert negative.source == source


def test_all_sources_occur_in_these_tests(tmp_path):
    rng = np.random.default_rng(3)
    table = random_table(tmp_path, rng, rows=40, videos=20, span_s=400, classes=1)
    negatives = SceneNegatives(table, NEIGHBOURS)
    sources = Counter(negatives.draw(row, rng).source for row in range(len(table)))
    assert set(sources) == {"segment", "video", "random"}


def test_every_neighbour_is_drawn_about_equally_often(tmp_path):
    starts = [0, 10, 20, 30, 50]  # all within a minute; row 0's nearest three are 1, 2 and 3
    rows = [{"video_uid": "v", "clip_start": s, "clip_end": s + 1} for s in starts]
    table = ClipTable.open(write_egoclip(tmp_path / "egoclip.csv", rows))
    rng = np.random.default_rng(5)
    drawn = Counter(SceneNegatives(table, NEIGHBOURS).draw(0, rng).row for _ in range(3000))
    assert set(drawn) == {1, 2, 3}
    assert all(abs(count - 1000) < 150 for count in drawn.values())  # 5.8 standard deviations


def test_random_fallback_is_uniform_over_the_other_videos(tmp_path):
    rows = [{"video_uid": v, "clip_start": 0, "clip_end": 1} for v in "abbbc"]
    table = ClipTable.open(write_egoclip(tmp_path / "egoclip.csv", rows))
    rng = np.random.default_rng(5)
    drawn = Counter(SceneNegatives(table).draw(2, rng).row for _ in range(2000))
    assert set(drawn) == {0, 4} and abs(drawn[0] - 1000) < 150


def test_a_lone_clip_has_no_negative(tmp_path):
    rows = [{"video_uid": "a", "clip_start": 0, "clip_end": 1}]
    table = ClipTable.open(write_egoclip(tmp_path / "egoclip.csv", rows))
    with pytest.raises(MetadataError, match="at least two clips"):
        SceneNegatives(table)
