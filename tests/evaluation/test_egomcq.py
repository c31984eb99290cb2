"""EgoMCQ on hand-made questions, and end to end on real files with a stand-in for the model."""

import json
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn.functional import normalize

from svitt_ego.config import ConfigError
from svitt_ego.config.schema import VideoFiles
from svitt_ego.data.batch import Fault
from svitt_ego.data.text import load_tokenizer
from svitt_ego.evaluation.clip_reading import ClipReading
from svitt_ego.evaluation.egomcq import UnreadableClip, evaluate_egomcq, score
from svitt_ego.evaluation.embedding import ClipEmbeddings
from svitt_ego.evaluation.mcq_questions import Question
from svitt_ego.evaluation.ranks import one_rank
from svitt_ego.evaluation.video_clip import VideoClip
from tests.data.ego_files import frame_numbers, save_tokenizer, write_video

FPS = 10


def clips_of(count):
    return [VideoClip(f"video{index}", 0.0, 2.0) for index in range(count)]


def test_accuracy_by_hand():
    clips = clips_of(3)
    features = torch.eye(3)
    texts = ["like 0", "between 1 and 2", "like 2"]
    text_features = torch.tensor([[1.0, 0, 0], [0, 0.8, 0.6], [0, 0, 1.0]])
    questions = [
        Question("a", "inter", texts[0], (clips[2], clips[0]), answer=1),  # right
        Question("b", "inter", texts[1], (clips[2], clips[1]), answer=1),  # right
        Question("c", "inter", texts[1], (clips[1], clips[2]), answer=1),  # wrong
        Question("d", "intra", texts[2], (clips[0], clips[1], clips[2]), answer=0),  # wrong
    ]
    embedded = ClipEmbeddings(features, {})
    result = score(questions, clips, embedded, texts, text_features, frames=4)
    assert result.inter == pytest.approx(200 / 3) and result.intra == 0.0
    assert result.questions == {"inter": 3, "intra": 1}
    assert [answer.chosen["dual"] for answer in result.answers] == [1, 1, 0, 2]
    assert [answer.is_correct("dual") for answer in result.answers] == [True, True, False, False]
    assert result.answers[1].scores["dual"] == pytest.approx((0.6, 0.8))
    assert result.summary().splitlines() == [
        "inter-video accuracy of 3 questions: dual 66.7%",
        "intra-video accuracy of 1 questions: dual 0.0%",
    ]


def test_fusion_and_ensemble_by_hand():
    clips = clips_of(3)
    questions = [
        Question("a", "inter", "t", tuple(clips), answer=0),
        Question("b", "intra", "t", tuple(reversed(clips)), answer=0),
    ]
    embedded = ClipEmbeddings(torch.tensor([[0.6], [0.5], [-0.2]]), {})
    matched = {(0, clip): p for clip, p in enumerate((0.1, 0.3, 0.9))}  # of text 0
    result = score(questions, clips, embedded, ["t"], torch.ones(1, 1), matched, frames=4)
    first, second = result.answers
    assert first.scores["fusion"] == (0.1, 0.3, 0.9)
    assert first.scores["ensemble"] == pytest.approx((0.7, 0.8, 0.7))
    assert first.chosen == {"dual": 0, "fusion": 2, "ensemble": 1}
    assert second.chosen == {"dual": 2, "fusion": 0, "ensemble": 1}
    assert result.accuracy == {
        "dual": {"inter": 100.0, "intra": 0.0},
        "fusion": {"inter": 0.0, "intra": 100.0},
        "ensemble": {"inter": 0.0, "intra": 0.0},
    }


def test_an_unreadable_clip_is_never_chosen():
    clips = clips_of(3)
    faults = {0: Fault("0.mp4", "corrupt"), 1: Fault("1.mp4", "missing")}
    embedded = ClipEmbeddings(torch.tensor([[0.0], [0.0], [-1.0]]), faults)
    questions = [
        Question("a", "inter", "t", (clips[0], clips[2]), answer=1),
        Question("b", "inter", "t", (clips[0], clips[2]), answer=0),
        Question("c", "inter", "t", (clips[0], clips[1]), answer=0),
    ]
    result = score(questions, clips, embedded, ["t"], torch.tensor([[1.0]]), frames=4)
    assert [answer.chosen["dual"] for answer in result.answers] == [1, 1, None]
    assert [answer.is_correct("dual") for answer in result.answers] == [True, False, False]
    assert result.answers[0].scores["dual"] == (None, -1.0)
    assert result.intra is None
    assert [clip.path for clip in result.unreadable] == ["0.mp4", "1.mp4"]
    _, clips_line, questions_line = result.summary().splitlines()
    assert clips_line == (
        "2 of 3 clips were unreadable (1 corrupt, 1 missing); the first: 0.mp4: corrupt"
    )
    assert questions_line.startswith("so 2 questions count as wrong, and 2 have fewer clips")


def test_broken_weights_are_an_error():
    clips = clips_of(2)
    embedded = ClipEmbeddings(torch.tensor([[float("nan")], [1.0]]), {})
    questions = [Question("a", "inter", "t", tuple(clips), answer=1)]
    with pytest.raises(ConfigError, match="question 'a': a dual score is not a number"):
        score(questions, clips, embedded, ["t"], torch.tensor([[1.0]]), frames=4)


class StandIn(nn.Module):
    """Knows a clip by the number its first frame carries, and a text by its number of tokens; the
    fusion encoder is wrong where the dual encoder is right."""

    def __init__(self, first_frames):
        super().__init__()
        self.parameter = nn.Parameter(torch.zeros(1))
        self.place = {number: place for place, number in enumerate(first_frames)}
        self.clips_seen = 0

    def encode_video(self, video):
        self.clips_seen += len(video)
        features = torch.zeros(len(video), len(self.place))
        for row, clip in enumerate(video):
            features[row, self.place[frame_numbers(clip)[0]]] = 1.0
        return SimpleNamespace(tokens=features[:, None], pooled=features)

    def encode_text(self, ids, mask):
        features = torch.zeros(len(ids), len(self.place))
        features[torch.arange(len(ids)), mask.sum(dim=1) - 3] = 1.0  # one "cuts": place 0
        return SimpleNamespace(tokens=features[:, None], pooled=features)

    def project_video(self, pooled):
        return normalize(pooled + 0.01, dim=-1)

    project_text = project_video

    def fuse(self, text_tokens, mask, video_tokens, video_index):
        return (text_tokens * video_tokens[video_index]).sum(dim=-1, keepdim=True)

    def match_logits(self, fused):
        return torch.cat([fused[:, 0], torch.zeros(len(fused), 1)], dim=1)


@pytest.fixture
def files(tmp_path):
    for video in range(4):
        write_video(tmp_path / f"video{video}.mp4", 30, FPS, first_number=100 * video)
    return VideoFiles(root=str(tmp_path), layout="whole")


@pytest.fixture
def tokenizer(tmp_path):
    return load_tokenizer(str(save_tokenizer(tmp_path / "tokenizer")), vocabulary_size=100)


def questions_of(clips):
    """Each clip is the answer once, and narrated by one "cuts" more than the one before."""
    return [
        Question(str(i), ("inter", "intra")[i % 2], "cuts " * (i + 1), tuple(clips), answer=i)
        for i in range(len(clips))
    ]


def evaluate(questions, reading, model, tokenizer):
    return evaluate_egomcq(
        questions, reading, model, tokenizer, 32, with_fusion=True, ranks=one_rank(), progress=False
    )


@pytest.mark.parametrize("workers", [0, 2])
def test_end_to_end_with_one_unreadable_file(files, tokenizer, tmp_path, workers):
    (tmp_path / "video2.mp4").write_bytes(b"not a video")
    clips = clips_of(4)
    # 2 frames of 0-2 s: the middles of the halves are 0.5 s and 1.5 s, so frames 5 and 15.
    model = StandIn([5, 105, 205, 305])
    reading = ClipReading(files, frames=2, image_size=32, batch_size=3, workers=workers)
    result = evaluate(questions_of(clips), reading, model, tokenizer)
    assert [answer.is_correct("dual") for answer in result.answers] == [True, True, False, True]
    assert not any(answer.is_correct("fusion") for answer in result.answers)
    assert (result.inter, result.intra) == (50.0, 100.0)
    assert model.clips_seen == 3  # each once, not once a question, for all scores
    path = str(tmp_path / "video2.mp4")
    assert result.unreadable == (UnreadableClip("video2", 0.0, 2.0, path, "corrupt"),)

    written = json.loads(result.to_json())
    assert written["inter"] == 50.0 and len(written["answers"]) == 4
    assert written["accuracy"]["fusion"] == {"inter": 0.0, "intra": 0.0}
    assert written["answers"][2]["scores"]["ensemble"][2] is None
    assert written["affected_questions"] == {
        "right_clip_unreadable": 1,
        "another_clip_unreadable": 3,
    }


def test_no_readable_clip_is_an_error(files, tokenizer):
    clips = [VideoClip("elsewhere", 0.0, 1.0), VideoClip("nowhere", 0.0, 1.0)]
    reading = ClipReading(files, frames=2, image_size=32, batch_size=3, workers=0)
    with pytest.raises(ConfigError, match=r"none of the 2 clips.*elsewhere\.mp4: miss"):
        evaluate(questions_of(clips), reading, StandIn([0, 1]), tokenizer)
