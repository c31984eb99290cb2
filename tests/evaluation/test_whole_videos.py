"""Folders of videos as long clips."""

import pytest

from svitt_ego.config import ConfigError
from svitt_ego.config.schema import VideoFiles
from svitt_ego.data.long_clip import LongClip
from svitt_ego.evaluation.whole_videos import whole_videos
from tests.data.ego_files import write_video


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
