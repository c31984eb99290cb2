"""Narrations as queries: windows within their clips, and what is read back."""

import re

import pytest

from svitt_ego.config import ConfigError
from svitt_ego.data.long_clip import LongClip
from svitt_ego.data.metadata import ClipTable
from svitt_ego.grounding.narration_queries import narration_queries, write_queries
from svitt_ego.grounding.queries import Query, read_queries
from tests.data.ego_files import HEADER


@pytest.fixture
def table(tmp_path):
    rows = [
        ("v", 11.0, 10.5, 11.5, "#C C lifts the cup"),
        ("other", 12.0, 11.5, 12.5, "#C C lifts the pot"),
        ("v", 10.1, 9.5, 10.4, "#C C cuts the #unsure"),  # begins before the clip
        ("v", 29.9, 29.5, 31.0, "#C C opens the box"),  # ends after it
        ("v", 9.9, 9.5, 10.4, "#C C shakes it"),  # its moment is before it
        ("v", 30.0, 29.5, 31.0, "#C C turns it"),  # and this one's after it
        ("v", 10.0, 9.0, 9.9, "#C C waits"),  # its window is before it
    ]
    lines = [
        f"{i}\t{uid}\t60.0\tpass_1\t{i}\t{time_s}\t{start_s}\t{end_s}\t{text}\t[1]\t[2]"
        for i, (uid, time_s, start_s, end_s, text) in enumerate(rows)
    ]
    path = tmp_path / "egoclip.csv"
    path.write_text("\n".join(["\t".join(HEADER), *lines]) + "\n")
    return ClipTable.open(path)


def test_windows_are_within_the_clip(table, tmp_path):
    clips = [LongClip("c", "v", 10.0, 30.0), LongClip("late", "v", 29.0, 50.0)]
    found = narration_queries(table, clips)
    assert [(q.clip_uid, q.text, *q.window_s) for q in found.queries] == [
        ("c", "lifts the cup", 0.5, 1.5),
        ("c", "cuts the something", 0.0, pytest.approx(0.4)),
        ("c", "opens the box", 19.5, 20.0),
        ("late", "opens the box", 0.5, 2.0),
        ("late", "turns it", 0.5, 2.0),
    ]
    assert {q.clip_duration_s for q in found.queries if q.clip_uid == "c"} == {20.0}
    assert found.elsewhere == 3
    said = "5 narrations as queries; 3 have their moment or their window in no clip"
    assert found.summary() == said
    write_queries(tmp_path / "narrations.jsonl", found.queries)
    assert read_queries(tmp_path / "narrations.jsonl").usable == found.queries


def test_queries_without_a_window_read_back(tmp_path):
    query = Query("note", 0, "c", "Where?", 20.0, None)
    write_queries(tmp_path / "test.jsonl", [query])
    assert read_queries(tmp_path / "test.jsonl").usable == (query,)


def test_no_narration_in_any_clip(table):
    message = "egoclip.csv: no narration lies in any of the 1 clips"
    with pytest.raises(ConfigError, match=re.escape(message)):
        narration_queries(table, [LongClip("c", "unknown", 0.0, 30.0)])
