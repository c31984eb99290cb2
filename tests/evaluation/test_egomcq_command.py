"""launch/evaluate_egomcq.py as a user runs it."""

import json
from dataclasses import replace
from typing import get_args

import pytest
import torch

from svitt_ego.config.schema import VideoFiles
from svitt_ego.evaluation.clip_reading import ClipReading, FrameOrder, read_evaluation_clip
from svitt_ego.evaluation.mcq_questions import read_questions
from tests.evaluation.launching import launch, launch_ranks, refusal

SCRIPT = "evaluate_egomcq.py"


def early_refusal(monkeypatch: pytest.MonkeyPatch, capsys, *arguments: object) -> str:
    """Before the command has read a question or a model."""
    work = ("evaluation.mcq_questions.read_questions", "training.trained_model.load_trained_model")
    for name in work:
        monkeypatch.setattr(f"svitt_ego.{name}", lambda *_: pytest.fail("work has begun"))
    return refusal(monkeypatch, capsys, SCRIPT, *arguments)


def test_every_question_is_answered(run, egosynth, tmp_path, monkeypatch, capsys):
    output = tmp_path / "new" / "mcq.json"
    launch(monkeypatch, SCRIPT, "--run", run, "--output", output, "--set", "data.workers=0")
    printed = capsys.readouterr().out
    assert "inter-video accuracy" in printed and printed.endswith(f"every answer: {output}\n")
    result = json.loads(output.read_text())
    questions = json.loads((egosynth / "egomcq.json").read_text())
    assert {answer["id"]: answer["answer"] for answer in result["answers"]} == {
        key: question["answer"] for key, question in questions.items()
    }
    assert sum(result["questions"].values()) == len(questions)
    assert result["unreadable"] == [] and result["frames"] == 4
    lowest = {"dual": -1.001, "fusion": 0.0, "ensemble": -1.001}
    for answer in result["answers"]:
        assert answer["scores"].keys() == lowest.keys()
        for name, values in answer["scores"].items():
            assert len(values) == 5 and all(lowest[name] <= value < 2.001 for value in values)
            assert values[answer["chosen"][name]] == max(values)
    for name, kinds in result["accuracy"].items():
        for kind, accuracy in kinds.items():
            of_kind = [answer for answer in result["answers"] if answer["kind"] == kind]
            correct = sum(answer["chosen"][name] == answer["answer"] for answer in of_kind)
            assert accuracy == pytest.approx(100 * correct / len(of_kind))
    assert result["inter"] == result["accuracy"]["dual"]["inter"]


def test_two_ranks_answer_as_one(run, tmp_path):
    """With more frames than the model was trained on, through separate processes."""
    outputs = tmp_path / "one.json", tmp_path / "two.json"
    arguments = ("--run", run, "--frames", 5, "--set", "data.workers=0")
    for world_size, output in enumerate(outputs, start=1):
        launch_ranks(world_size, SCRIPT, *arguments, "--output", output)
    one, two = (json.loads(output.read_text()) for output in outputs)
    assert one["frames"] == two["frames"] == 5
    assert one["clips"] == two["clips"] and one["questions"] == two["questions"]
    for alone, together in zip(one["answers"], two["answers"], strict=True):
        for name, values in alone["scores"].items():
            assert together["scores"][name] == pytest.approx(values, abs=1e-5)


def test_the_model_cannot_be_overridden(run, tmp_path, monkeypatch, capsys):
    arguments = ("--run", run, "--output", tmp_path / "mcq.json")
    line = early_refusal(monkeypatch, capsys, *arguments, "--set", "model.video.layers=3")
    assert line.startswith("error: --set model.video.layers=3: only data.* and evaluation.*")


def test_an_unusable_output_is_refused_before_any_work(run, tmp_path, monkeypatch, capsys):
    line = early_refusal(monkeypatch, capsys, "--run", run, "--output", tmp_path)
    assert line == f"error: {tmp_path}: is a directory: give the path of a file"
    (tmp_path / "file").write_text("")
    line = early_refusal(
        monkeypatch, capsys, "--run", run, "--output", tmp_path / "file" / "mcq.json"
    )
    assert line.startswith(f"error: {tmp_path / 'file'}: cannot be made")


def test_a_missing_run_is_refused(tmp_path, monkeypatch, capsys):
    output = tmp_path / "new" / "mcq.json"
    line = early_refusal(monkeypatch, capsys, "--run", tmp_path / "none", "--output", output)
    assert line == f"error: {tmp_path / 'none'}: not a run directory: it has no recipe.yaml"
    assert not output.parent.exists()


def test_other_orders_of_the_frames_are_other_clips(egosynth):
    files = VideoFiles(root=str(egosynth / "videos"), chunk_s=5.0)
    question = read_questions(egosynth / "egomcq.json")[0]
    read = {}
    for order in get_args(FrameOrder):
        reading = ClipReading(files, 4, 48, batch_size=1, workers=0, order=order)
        read[order] = [read_evaluation_clip(clip, reading) for clip in question.choices]
    orders = set()
    for filmed, shuffled, still in zip(*read.values(), strict=True):
        assert all(torch.equal(frame, filmed[2]) for frame in still)
        places = [next(i for i in range(4) if torch.equal(f, filmed[i])) for f in shuffled]
        assert sorted(places) == [0, 1, 2, 3] != places
        orders.add(tuple(places))
    assert len(orders) > 1
    again = [
        read_evaluation_clip(clip, replace(reading, order="shuffled")) for clip in question.choices
    ]
    assert all(torch.equal(*pair) for pair in zip(again, read["shuffled"], strict=True))
