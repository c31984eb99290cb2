"""EgoMCQ on hand-made questions, and end to end on real files with a stand-in for the model."""

import json

import pytest
import torch
from torch.nn.functional import normalize

from svitt_ego.config import ConfigError
from svitt_ego.config.schema import VideoFiles
from svitt_ego.data.batch import Fault
from svitt_ego.data.text import load_tokenizer
from svitt_ego.evaluation.egomcq import evaluate_egomcq, score
from svitt_ego.evaluation.embedding import ClipEmbeddings, ClipReading
from svitt_ego.evaluation.mcq_questions import ChoiceClip, Question
from tests.data.ego_files import frame_numbers, save_tokenizer, write_video

FPS = 10


def clips_of(count):
    return [ChoiceClip(f"video{index}", 0.0, 2.0) for index in range(count)]


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
    result = score(questions, clips, ClipEmbeddings(features, {}), texts, text_features)
    assert result.inter == pytest.approx(200 / 3) and result.intra == 0.0
    assert result.questions == {"inter": 3, "intra": 1}
    assert [answer.chosen for answer in result.answers] == [1, 1, 0, 2]
    assert [answer.correct for answer in result.answers] == [True, True, False, False]
    assert result.answers[1].similarities == pytest.approx((0.6, 0.8))
    assert result.summary().splitlines() == [
        "inter-video accuracy  66.7% of 3 questions",
        "intra-video accuracy   0.0% of 1 questions",
    ]


def test_an_unreadable_clip_is_never_chosen():
    clips = clips_of(3)
    faults = {0: Fault("0.mp4", "corrupt"), 1: Fault("1.mp4", "missing")}
    embedded = ClipEmbeddings(torch.tensor([[0.0], [0.0], [-1.0]]), faults)
    questions = [
        Question("a", "inter", "t", (clips[0], clips[2]), answer=1),
        Question("b", "inter", "t", (clips[0], clips[2]), answer=0),
        Question("c", "inter", "t", (clips[0], clips[1]), answer=0),
    ]
    result = score(questions, clips, embedded, ["t"], torch.tensor([[1.0]]))
    assert [answer.chosen for answer in result.answers] == [1, 1, None]
    assert [answer.correct for answer in result.answers] == [True, False, False]
    assert result.answers[0].similarities == (None, -1.0)
    assert result.intra is None
    assert result.unreadable == (faults[0], faults[1])
    assert "2 of 3 clips were unreadable, the first: 0.mp4: corrupt" in result.summary()


def test_broken_weights_are_an_error():
    clips = clips_of(2)
    embedded = ClipEmbeddings(torch.tensor([[float("nan")], [1.0]]), {})
    questions = [Question("a", "inter", "t", tuple(clips), answer=1)]
    with pytest.raises(ConfigError, match="question 'a': a similarity is not a number"):
        score(questions, clips, embedded, ["t"], torch.tensor([[1.0]]))


class StandIn:
    """Knows a clip by the number its first frame carries, and a text by its number of tokens."""

    def __init__(self, first_frames):
        self.place = {number: place for place, number in enumerate(first_frames)}
        self.clips_seen = 0
        self.texts_seen = 0

    def embed_video(self, video):
        self.clips_seen += len(video)
        features = torch.zeros(len(video), len(self.place))
        for row, clip in enumerate(video):
            features[row, self.place[frame_numbers(clip)[0]]] = 1.0
        return normalize(features + 0.01, dim=-1)

    def embed_text(self, ids, mask):
        self.texts_seen += len(ids)
        features = torch.zeros(len(ids), len(self.place))
        features[torch.arange(len(ids)), mask.sum(dim=1) - 3] = 1.0  # one "cuts": place 0
        return normalize(features + 0.01, dim=-1)


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


@pytest.mark.parametrize("workers", [0, 2])
def test_end_to_end_with_one_unreadable_file(files, tokenizer, tmp_path, workers):
    (tmp_path / "video2.mp4").write_bytes(b"not a video")
    clips = clips_of(4)
    # 2 frames of 0-2 s: the middles of the halves are 0.5 s and 1.5 s, so frames 5 and 15.
    model = StandIn([5, 105, 205, 305])
    reading = ClipReading(files, frames=2, image_size=32, batch_size=3, workers=workers)
    result = evaluate_egomcq(
        questions_of(clips), reading, tokenizer, 32, model.embed_video, model.embed_text, False
    )
    assert [answer.correct for answer in result.answers] == [True, True, False, True]
    assert (result.inter, result.intra) == (50.0, 100.0)
    assert model.clips_seen == 3 and model.texts_seen == 4  # each once, not once a question
    (fault,) = result.unreadable
    assert fault == Fault(str(tmp_path / "video2.mp4"), "corrupt")

    written = json.loads(result.to_json())
    assert written["inter"] == 50.0 and len(written["answers"]) == 4
    assert written["answers"][2]["similarities"][2] is None
    assert written["unreadable"] == [{"path": fault.path, "cause": "corrupt"}]


def test_no_readable_clip_is_an_error(files, tokenizer):
    clips = [ChoiceClip("elsewhere", 0.0, 1.0), ChoiceClip("nowhere", 0.0, 1.0)]
    reading = ClipReading(files, frames=2, image_size=32, batch_size=3, workers=0)
    model = StandIn([0, 1])
    with pytest.raises(ConfigError, match=r"none of the questions' 2 clips.*elsewhere\.mp4: miss"):
        evaluate_egomcq(
            questions_of(clips), reading, tokenizer, 32, model.embed_video, model.embed_text, False
        )
