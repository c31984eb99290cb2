"""launch/evaluate_egomcq.py as a user runs it."""

import json
import runpy
import sys
from pathlib import Path

import pytest
import torch

from svitt_ego.config import Recipe, load_recipe
from svitt_ego.data.synthetic.generate import generate
from svitt_ego.models import SViTTEgo
from svitt_ego.models.weights import save_weights
from svitt_ego.training.run_directory import RunDirectory, tag_of

SCRIPT = Path(__file__).parents[2] / "launch" / "evaluate_egomcq.py"


@pytest.fixture(scope="module")
def egosynth(tmp_path_factory) -> Path:
    return generate(tmp_path_factory.mktemp("egosynth"), "tiny", seed=1, workers=1, progress=False)


@pytest.fixture(scope="module")
def recipe(egosynth) -> Recipe:
    values = {
        "model.video.layers": 2,
        "model.video.node_sparsity.layers": [0],
        "model.video.image_size": 48,
        "model.video.edge_sparsity.block_size": 3,
        "model.text.layers": 1,
        "data.metadata": egosynth / "egoclip.csv",
        "data.videos.root": egosynth / "videos",
        "data.videos.chunk_s": 5.0,
        "data.tokenizer": egosynth / "tokenizer",
        "evaluation.egomcq": egosynth / "egomcq.json",
    }
    return load_recipe("demo", [f"{key}={value}" for key, value in values.items()])


@pytest.fixture(scope="module")
def run(recipe, tmp_path_factory) -> Path:
    """A run directory with one checkpoint, of a model that has learnt nothing."""
    directory = RunDirectory(tmp_path_factory.mktemp("run"))
    directory.write_setup(recipe, {}, {})
    weights = directory.weights_file(tag_of(7))
    weights.parent.mkdir(parents=True)
    torch.manual_seed(0)
    save_weights(SViTTEgo(recipe.model), weights)
    directory.pointer.write_text(tag_of(7))
    return directory.path


def evaluate(monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> None:
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), *map(str, arguments)])
    monkeypatch.setattr(sys, "path", list(sys.path))
    runpy.run_path(str(SCRIPT), run_name="__main__")


def refusal(monkeypatch: pytest.MonkeyPatch, capsys, *arguments: str | Path) -> str:
    """The one line with which the command refuses, before it has read a question or a model."""
    work = ("evaluation.mcq_questions.read_questions", "training.trained_model.load_trained_model")
    for name in work:
        monkeypatch.setattr(f"svitt_ego.{name}", lambda *_: pytest.fail("work has begun"))
    with pytest.raises(SystemExit) as ending:
        evaluate(monkeypatch, *arguments)
    assert ending.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_every_question_is_answered(run, egosynth, tmp_path, monkeypatch, capsys):
    output = tmp_path / "new" / "mcq.json"
    evaluate(monkeypatch, "--run", run, "--output", output, "--set", "data.workers=0")
    printed = capsys.readouterr().out
    assert "inter-video accuracy" in printed and printed.endswith(f"every answer: {output}\n")
    result = json.loads(output.read_text())
    questions = json.loads((egosynth / "egomcq.json").read_text())
    assert {answer["id"]: answer["answer"] for answer in result["answers"]} == {
        key: question["answer"] for key, question in questions.items()
    }
    assert sum(result["questions"].values()) == len(questions)
    assert result["unreadable"] == []
    for answer in result["answers"]:
        assert len(answer["similarities"]) == 5 and all(
            -1.001 < similarity < 1.001 for similarity in answer["similarities"]
        )
        best = max(answer["similarities"])
        assert answer["similarities"][answer["chosen"]] == best
        assert answer["correct"] == (answer["chosen"] == answer["answer"])
    for kind in ("inter", "intra"):
        correct = [answer["correct"] for answer in result["answers"] if answer["kind"] == kind]
        assert result[kind] == pytest.approx(100 * sum(correct) / len(correct))


def test_the_model_cannot_be_overridden(run, tmp_path, monkeypatch, capsys):
    arguments = ("--run", run, "--output", tmp_path / "mcq.json")
    line = refusal(monkeypatch, capsys, *arguments, "--set", "model.video.layers=3")
    assert line.startswith("error: --set model.video.layers=3: only data.* and evaluation.*")


def test_an_unusable_output_is_refused_before_any_work(run, tmp_path, monkeypatch, capsys):
    line = refusal(monkeypatch, capsys, "--run", run, "--output", tmp_path)
    assert line == f"error: {tmp_path}: is a directory: give the path of a file"
    (tmp_path / "file").write_text("")
    line = refusal(monkeypatch, capsys, "--run", run, "--output", tmp_path / "file" / "mcq.json")
    assert line.startswith(f"error: {tmp_path / 'file'}: cannot be made")


def test_a_missing_run_is_refused(tmp_path, monkeypatch, capsys):
    output = tmp_path / "new" / "mcq.json"
    line = refusal(monkeypatch, capsys, "--run", tmp_path / "none", "--output", output)
    assert line == f"error: {tmp_path / 'none'}: not a run directory: it has no recipe.yaml"
    assert not output.parent.exists()
