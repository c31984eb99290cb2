"""Reading queries: both formats, what is left out, and one line for what is wrong."""

import json
import re

import pytest

from svitt_ego.data.long_clip import LongClip
from svitt_ego.grounding.queries import QueriesError, read_clips, read_queries
from tests.grounding.nlq_files import nlq_clip, nlq_query, nlq_tree, write_nlq


def test_reads_ego4d_json_and_counts_what_it_leaves_out(tmp_path):
    path = write_nlq(
        tmp_path / "nlq_val.json",
        nlq_clip("a", nlq_query(1, 3, "First?"), nlq_query(2, 4, None), nlq_query(5, 5)),
        nlq_clip("b", nlq_query(0, 0.5, " "), nlq_query(7, 6), nlq_query(4, 25, "Last?")),
    )
    queries = read_queries(path)
    assert [(q.id, q.clip_uid, q.text, q.window_s) for q in queries.usable] == [
        ("note-a_0", "a", "First?", (1.0, 3.0)),
        ("note-b_2", "b", "Last?", (4.0, 25.0)),  # ends past the clip, as published
    ]
    assert (queries.null, queries.empty_windows) == (2, 2)
    assert queries.clips == (
        LongClip("a", "video", 100.0, 120.0),
        LongClip("b", "video", 100.0, 120.0),
    )
    assert queries.texts == {"note-a_0": "First?", "note-b_2": "Last?"}
    assert {q.clip_duration_s for q in queries.usable} == {20.0}
    assert queries.summary() == (
        f"{path}: 2 queries about 2 clips; left out 2 without text and 2 with an empty window"
    )


def test_the_test_split_has_no_windows(tmp_path):
    path = write_nlq(tmp_path / "nlq_test.json", nlq_clip("a", {"query": "Where?"}, {"slot_x": 1}))
    queries = read_queries(path)
    assert [q.window_s for q in queries.usable] == [None] and queries.null == 1


def jsonl_line(**changes):
    return {
        "query": "Where?",
        "query_id": "note_with_parts_3",
        "duration": 480.0,
        "video_id": "clip",
        "query_type": "nlq",
        "timestamps": [[1.5, 2.5]],
    } | changes


def test_reads_groundnlq_jsonl(tmp_path):
    path = tmp_path / "val.jsonl"
    lines = [jsonl_line(), {}, jsonl_line(query_id="note_4", timestamps=[[3, 3]])]
    lines.append(jsonl_line(query_id="note_5", query=None, timestamps=[]))
    path.write_text("\n".join(json.dumps(line) if line else "" for line in lines))
    queries = read_queries(path)
    (query,) = queries.usable
    assert (queries.null, queries.left_out) == (1, {"note_4", "note_5"})
    assert (query.annotation_uid, query.index, query.window_s) == ("note_with_parts", 3, (1.5, 2.5))
    assert (query.clip_uid, query.clip_duration_s, queries.empty_windows) == ("clip", 480.0, 1)
    assert queries.clips == ()
    with pytest.raises(QueriesError, match="does not say where its clips are"):
        read_clips([path])


def test_clips_of_several_files_are_there_once(tmp_path):
    first = write_nlq(tmp_path / "nlq_train.json", nlq_clip("a", nlq_query(1, 2)), nlq_clip("c"))
    early = nlq_clip("b", nlq_query(1, 2)) | {"video_start_sec": -0.02}
    second = write_nlq(tmp_path / "nlq_val.json", nlq_clip("a", nlq_query(1, 2)), early)
    clips = read_clips([first, second])
    assert [clip.clip_uid for clip in clips] == ["a", "c", "b"]
    assert clips[2].start_s == 0.0  # a video has no frame before its first
    assert read_queries(second).usable[1].clip_duration_s == clips[2].duration_s == 120.0


def wrong_clip(**changes):
    return nlq_tree(nlq_clip("a", nlq_query(1, 2)) | changes)


WRONG_JSON = {
    "not JSON": ("{", "not JSON: "),
    "a list": ([], "videos is missing"),
    "no clips": ({"videos": [{}]}, "clips is missing"),
    "no uid": ({"videos": [{"video_uid": "v", "clips": [{}]}]}, "clip_uid is missing"),
    "no video": ({"videos": [{"clips": [{}]}]}, "video_uid is missing"),
    "a path": (wrong_clip(clip_uid="../x"), "uid '../x': must be letters, digits"),
    "no time": (wrong_clip(video_start_sec=500.0), "clip a: 500.0 to 120.0 s is no time"),
    "no end": (
        wrong_clip(video_end_sec=None),
        "clip a: video_end_sec = None: must be int or float",
    ),
    "time as text": (
        nlq_tree(nlq_clip("a", nlq_query(1, 2) | {"clip_start_sec": "1"})),
        "clip a: annotation note-a, query 0: clip_start_sec = '1': must be int or float",
    ),
    "text as number": (
        nlq_tree(nlq_clip("a", nlq_query(1, 2, 3))),
        "clip a: annotation note-a, query 0: query = 3: must be a text",
    ),
    "query as text": (nlq_tree(nlq_clip("a", "Where?")), "query 0: a query must be an object"),
    "past the end": (
        nlq_tree(nlq_clip("a", nlq_query(1, 2), nlq_query(20, 22))),
        "annotation note-a, query 1: its window begins at 20 s, but clip a ends at 20 s",
    ),
    "before the start": (
        nlq_tree(nlq_clip("a", nlq_query(-5, -1))),
        "annotation note-a, query 0: its window ends at -1 s, before 0",
    ),
    "a time of no float": (
        nlq_tree(nlq_clip("a", nlq_query(1, 10**400))),
        "query 0: clip_end_sec = 1000",
    ),
    "twice": (
        nlq_tree(nlq_clip("a", nlq_query(1, 2)), nlq_clip("a", nlq_query(1, 2))),
        "query note-a_0 stands twice",
    ),
    "nothing usable": (nlq_tree(nlq_clip("a", nlq_query(2, 2))), "holds no usable query"),
}


@pytest.mark.parametrize("name", WRONG_JSON)
def test_wrong_json_is_one_line(tmp_path, name):
    tree, message = WRONG_JSON[name]
    path = tmp_path / "nlq_val.json"
    path.write_text(tree if isinstance(tree, str) else json.dumps(tree))
    with pytest.raises(QueriesError, match=re.escape(message)) as caught:
        read_queries(path)
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


WRONG_JSONL = {
    "not JSON": ("{", "line 2: not JSON: "),
    "id": (jsonl_line(query_id="note"), "line 2: query_id = 'note': must be annotation_uid_index"),
    "no duration": (jsonl_line(duration=None), "line 2: duration = None: must be int or float"),
    "no length": (jsonl_line(duration=0), "line 2: duration = 0: must be above 0"),
    "two windows": (jsonl_line(timestamps=[[1, 2], [3, 4]]), "must be one window, [[start, end]]"),
    "NaN": (jsonl_line(timestamps=[[1, float("nan")]]), "line 2: end = nan: must be a finite"),
    "past the end": (jsonl_line(timestamps=[[481, 482]]), "line 2: its window begins at 481 s"),
}


@pytest.mark.parametrize("name", WRONG_JSONL)
def test_wrong_jsonl_is_one_line(tmp_path, name):
    line, message = WRONG_JSONL[name]
    path = tmp_path / "val.jsonl"
    first = json.dumps(jsonl_line(query_id="note_0"))
    path.write_text(f"{first}\n{line if isinstance(line, str) else json.dumps(line)}\n")
    with pytest.raises(QueriesError, match=re.escape(message)):
        read_queries(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(QueriesError, match=r"nowhere\.json: cannot be read"):
        read_queries(tmp_path / "nowhere.json")
