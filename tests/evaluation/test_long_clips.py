"""NLQ files and folders of videos as long clips."""

import json

import pytest

from svitt_ego.config import ConfigError
from svitt_ego.config.schema import VideoFiles
from svitt_ego.evaluation.long_clips import LongClip, read_nlq, read_queries, whole_videos
from tests.data.ego_files import write_video

NLQ = {
    "version": "1",
    "videos": [
        {
            "video_uid": "v1",
            "split": "val",
            "clips": [
                {
                    "clip_uid": "c1",
                    "video_start_sec": 0.0210286,
                    "video_end_sec": 480.02,
                    "annotations": [
                        {
                            "annotation_uid": "a1",
                            "language_queries": [{"query": "where is it?"}, {"query": None}],
                        },
                        {"annotation_uid": "a2", "language_queries": [{"query": "who?"}]},
                    ],
                }
            ],
        }
    ],
}


def nlq(tmp_path, **clip_changes):
    tree = json.loads(json.dumps(NLQ))
    tree["videos"][0]["clips"][0] |= clip_changes
    path = tmp_path / "nlq_val.json"
    path.write_text(json.dumps(tree))
    return path


def test_clips_and_queries(tmp_path):
    found = read_nlq(nlq(tmp_path))
    assert found.clips == (LongClip("c1", "v1", 0.0210286, 480.02),)
    assert found.queries == {"a1_0": "where is it?", "a2_0": "who?"}
    assert found.empty_queries == 1
    lines = tmp_path / "nlq.jsonl"
    lines.write_text('{"query_id": "a1_0", "query": "where?", "video_id": "c1"}\n')
    assert read_queries(lines) == {"a1_0": "where?"}


def test_wrong_files_are_named(tmp_path):
    with pytest.raises(ConfigError, match=r"nlq_val\.json: uid '\.\./x': must be letters"):
        read_nlq(nlq(tmp_path, clip_uid="../x"))
    with pytest.raises(ConfigError, match=r"clip c1: 500\.0 to 480\.02 s is no time"):
        read_nlq(nlq(tmp_path, video_start_sec=500.0))
    with pytest.raises(ConfigError, match="a value is of another kind"):
        read_nlq(nlq(tmp_path, video_start_sec="0"))
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(ConfigError, match="not an NLQ file: videos is missing"):
        read_nlq(tmp_path / "other.json")
    (tmp_path / "q.jsonl").write_text('{"query_id": 1}\n')
    with pytest.raises(ConfigError, match=r"q\.jsonl, line 1: must be an object"):
        read_queries(tmp_path / "q.jsonl")


def test_whole_videos(tmp_path):
    for chunk in range(2):
        write_video(tmp_path / "a" / f"{chunk}.mp4", (20, 5)[chunk], fps=10)
    (tmp_path / "b").mkdir()
    clips, unreadable = whole_videos(VideoFiles(root=str(tmp_path), layout="index", chunk_s=2.0))
    assert clips == (LongClip("a", "a", 0.0, 2.5),)
    assert unreadable == {str(tmp_path / "b" / "0.mp4"): "missing"}
    write_video(tmp_path / "c.mp4", 20, fps=10)
    clips, _ = whole_videos(VideoFiles(root=str(tmp_path), layout="whole"))
    assert clips == (LongClip("c", "c", 0.0, 2.0),)
    (tmp_path / "c.mp4").unlink()
    with pytest.raises(ConfigError, match="no readable video in layout 'whole'"):
        whole_videos(VideoFiles(root=str(tmp_path), layout="whole"))
