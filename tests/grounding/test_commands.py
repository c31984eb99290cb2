"""The commands of grounding as a user types them, on a run that was made by hand."""

import json

import pytest
import torch

from svitt_ego.config import load_recipe
from svitt_ego.config.grounding import GroundingRecipe
from svitt_ego.grounding.build import build_grounder
from svitt_ego.models.weights import save_weights
from svitt_ego.training.run_directory import RunDirectory
from tests.data.ego_files import HEADER
from tests.evaluation.launching import launch, refusal
from tests.grounding.conftest import small_model
from tests.grounding.nlq_files import (
    nlq_clip,
    nlq_query,
    write_features,
    write_nlq,
    write_text_features,
)


@pytest.fixture
def files(tmp_path):
    """A run and what it is asked about."""
    write_nlq(tmp_path / "nlq_val.json", nlq_clip("a", nlq_query(1, 3), nlq_query(6, 18)))
    write_features(tmp_path / "features", ["a"])
    texts = tmp_path / "features" / "queries_nlq_val.safetensors"
    write_text_features(texts, ["note-a_0", "note-a_1"])
    recipe = load_recipe(
        "grounding/paper_128", [f"data.features={tmp_path / 'features'}"], GroundingRecipe
    ).model_copy(update={"model": small_model()})
    run = RunDirectory(tmp_path / "run", GroundingRecipe)
    run.write_setup(recipe, {}, {})
    weights = run.weights_file("step-000001")
    weights.parent.mkdir(parents=True)
    torch.manual_seed(0)
    save_weights(build_grounder(recipe.model).state_dict(), weights)
    return tmp_path


def test_answers_score_alike_in_memory_and_from_their_file(files, monkeypatch, capsys):
    queries, output = files / "nlq_val.json", files / "new" / "predictions.json"
    arguments = ("--run", files / "run", "--queries", queries, "--output", output)
    launch(monkeypatch, "evaluate_grounding.py", *arguments)
    *_, first = capsys.readouterr().out.splitlines()
    assert "R@5 IoU>0.5" in first and "of 2 queries" in first
    assert len(json.loads(output.read_text())["results"]) == 2
    arguments = ("--queries", queries, "--predictions", output, "--output", files / "score.json")
    picture = ("--timeline", "a", "--picture", files / "timeline.png")
    launch(monkeypatch, "score_grounding.py", *arguments, *picture)
    said = capsys.readouterr().out.splitlines()
    assert first in said
    recalls = json.loads((files / "score.json").read_text())["recalls"]
    assert all(f"{name} {value:.2f}" in first for name, value in recalls.items())
    assert (files / "timeline.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("change", "clip", "said"),
    [
        ("data.grid.stride_frames=8.0", None, "--set data.grid.stride_frames: a trained model can"),
        ("model.width=32", None, "--set model.width: a trained model cannot change it: it takes d"),
        (None, nlq_clip("b", nlq_query(1, 2)), "index.json: clip b has no features"),
        (
            None,
            nlq_clip("a", nlq_query(21, 22)),
            "its window begins at 21 s, but clip a ends at 20",
        ),
    ],
)
def test_what_does_not_fit_is_one_line(files, monkeypatch, capsys, change, clip, said):
    if clip:
        write_nlq(files / "nlq_val.json", clip)
    arguments = ("--run", files / "run", "--queries", files / "nlq_val.json")
    arguments += ("--output", files / "predictions.json", *(("--set", change) if change else ()))
    assert said in refusal(monkeypatch, capsys, "evaluate_grounding.py", *arguments)
    assert not (files / "predictions.json").exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"stride_frames": 8}, "= 8, but the run was trained on 4: extract the features with --st"),
        ({"width": 20}, "width = 20, but the run was trained on 10: extract the features with the"),
    ],
)
def test_features_unlike_those_of_the_training(files, monkeypatch, capsys, change, said):
    index = files / "features" / "index.json"
    index.write_text(json.dumps(json.loads(index.read_text()) | change))
    arguments = ("--run", files / "run", "--queries", files / "nlq_val.json")
    arguments += ("--output", files / "predictions.json", "--set", "decoding.predictions=2")
    assert said in refusal(monkeypatch, capsys, "evaluate_grounding.py", *arguments)


def test_narrations_become_queries(files, monkeypatch, capsys):
    row = ["0", "video", "130", "pass_1", "0", "105.0", "104.0", "106.5", "#C C cuts it"]
    lines = ["\t".join(HEADER), "\t".join([*row, "[1]", "[2]"])]
    (files / "egoclip.csv").write_text("\n".join(lines) + "\n")
    arguments = ("--metadata", files / "egoclip.csv", "--output", files / "narrations.jsonl")
    launch(monkeypatch, "narration_queries.py", *arguments, "--clips", files / "nlq_val.json")
    assert "1 narrations as queries; 0 have their moment" in capsys.readouterr().out
    (line,) = (files / "narrations.jsonl").read_text().splitlines()
    assert json.loads(line)["timestamps"] == [[4.0, 6.5]]
    missing = (*arguments, "--clips", files / "nowhere.json")
    line = refusal(monkeypatch, capsys, "narration_queries.py", *missing)
    assert "nowhere.json: cannot be read" in line
