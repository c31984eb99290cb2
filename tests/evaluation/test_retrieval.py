"""Retrieval between clips and sentences, both ways, and the command on EgoSynth."""

import json

import numpy as np
import pytest
import torch

from svitt_ego.config import ConfigError
from svitt_ego.data.batch import Fault
from svitt_ego.data.metadata import ClipTable
from svitt_ego.evaluation import narrated_clips as module
from svitt_ego.evaluation.embedding import ClipEmbeddings
from svitt_ego.evaluation.narrated_clips import narrated_clips
from svitt_ego.evaluation.retrieval import measure
from svitt_ego.evaluation.retrieval_task import RetrievalTask
from svitt_ego.evaluation.video_clip import VideoClip
from tests.data.ego_files import write_egoclip
from tests.evaluation.launching import launch

CLIPS = tuple(VideoClip(f"v{index}", 0.0, 1.0) for index in range(3))


def test_both_directions_by_hand():
    relevance = np.array([[1, 0], [0.5, 1], [0, 1]], np.float32)
    task = RetrievalTask(CLIPS, ("a", "b"), relevance)
    clips = torch.tensor([[1.0, 0.2], [0.9, 0.3], [0.8, 0.1]])  # cosines with a and b
    result = measure(task, ClipEmbeddings(clips, {}), np.eye(2, dtype=np.float32))
    # V2T: a comes first for every clip: right at ranks 1, 2, 2. T2V: a: 0 1 2; b: 1 0 2.
    assert result.metrics["mAP"]["v2t"] == pytest.approx(100 * (1 + 1 / 2 + 1 / 2) / 3)
    assert result.metrics["mAP"]["t2v"] == pytest.approx(100 * (1 + (1 + 2 / 3) / 2) / 2)
    assert result.metrics["R@1"]["v2t"] == pytest.approx(100 / 3)
    assert result.metrics["R@1"]["t2v"] == 100
    assert result.metrics["R@1"]["average"] == pytest.approx((100 / 3 + 100) / 2)
    assert result.median_rank == {"v2t": 2.0, "t2v": 1.0}


def test_an_unreadable_clip_is_never_found():
    task = RetrievalTask(CLIPS[:2], ("a", "b"), np.eye(2, dtype=np.float32))
    embedded = ClipEmbeddings(
        torch.tensor([[0.0, 0.0], [0.0, 1.0]]), {0: Fault("0.mp4", "missing")}
    )
    result = measure(task, embedded, np.eye(2, dtype=np.float32))
    assert all(of["v2t"] == of["t2v"] == 50 for of in result.metrics.values())
    assert result.median_rank == {"v2t": None, "t2v": None}
    assert "1 of 2 clips were unreadable (1 missing)" in result.summary()
    assert json.loads(result.to_json())["unreadable"] == [{"path": "0.mp4", "cause": "missing"}]


def test_broken_weights_are_an_error():
    task = RetrievalTask(CLIPS[:1], ("a",), np.ones((1, 1), np.float32))
    with pytest.raises(ConfigError, match="not a number"):
        measure(task, ClipEmbeddings(torch.tensor([[torch.nan]]), {}), np.ones((1, 1), np.float32))


@pytest.fixture
def table(tmp_path) -> ClipTable:
    texts = ["#C C cuts", "#C cuts", "#C C picks", "#C C cuts", "#O does"]
    rows = [
        {"video_uid": f"v{index}", "clip_start": index, "clip_end": index + 1, "clip_text": text}
        for index, text in enumerate(texts)
    ]
    return ClipTable.open(write_egoclip(tmp_path / "egoclip.csv", rows))


def test_clips_of_one_narration_are_all_right(table):
    task = narrated_clips(table, 100, seed=0, clean_narrations=False)
    assert task.sentences == ("#C C cuts", "#C cuts", "#C C picks", "#O does")
    assert task.clips[3] == VideoClip("v3", 3.0, 4.0)
    assert task.relevance.argmax(axis=1).tolist() == [0, 1, 2, 0, 3]
    assert task.relevance.sum() == 5
    assert narrated_clips(table, 100, seed=0, clean_narrations=True).sentences[0] == "cuts"
    drawn = narrated_clips(table, 3, seed=1, clean_narrations=False)
    assert len(drawn.clips) == 3 and set(drawn.clips) < set(task.clips)


def test_too_many_clips_are_refused(table, monkeypatch):
    monkeypatch.setattr(module, "MOST_CLIPS", 4)
    with pytest.raises(ConfigError, match="--clips 9: at most 4"):
        narrated_clips(table, 9, seed=0, clean_narrations=False)


def test_the_command_writes_what_it_prints(run, egosynth, tmp_path, monkeypatch, capsys):
    output = tmp_path / "recall.json"
    launch(
        monkeypatch,
        "evaluate_retrieval.py",
        *("--run", run, "--metadata", egosynth / "egoclip.csv", "--clips", 12),
        *("--output", output, "--set", "data.workers=0"),
    )
    printed = capsys.readouterr().out
    result = json.loads(output.read_text())
    assert result["clips"] == 12 and 1 < result["sentences"] <= 12
    for name, of in result["metrics"].items():
        assert 0 < of["average"] <= 100 or name == "R@1"
        row = f"{name:<6}{of['v2t']:>8.2f}{of['t2v']:>8.2f}{of['average']:>9.2f}"
        assert row in printed
    assert result["metrics"]["R@10"]["t2v"] >= result["metrics"]["R@5"]["t2v"]
