"""Search: moments apart in time, in the order of their likeness, and the commands."""

import json
import shutil

import numpy as np
import pytest
import torch

from svitt_ego.data.text import encode_texts, load_tokenizer
from svitt_ego.evaluation.feature_files import FEATURES, FeatureIndex, read_features, write_features
from svitt_ego.evaluation.search import as_narration, best_apart
from svitt_ego.evaluation.windows import Windowing
from svitt_ego.training.trained_model import load_trained_model
from tests.evaluation.launching import launch, refusal


def test_windows_that_overlap_are_found_once():
    scores = np.array([0.1, 0.9, 0.8, 0.2, 0.3, 0.95], np.float32)
    assert best_apart(scores, Windowing(60, 30, 30.0), 9) == [5, 1, 3]
    assert best_apart(scores, Windowing(60, 60, 30.0), 3) == [5, 1, 2]
    assert best_apart(scores, Windowing(61, 30, 30.0), 9) == [5, 1]  # frames 0-60 and 60-120
    rng = np.random.default_rng(0)
    for window, stride in rng.integers(1, 9, (20, 2)):
        found = best_apart(rng.normal(size=40), Windowing(window, stride, 30.0), 40)
        gaps = np.diff(np.sort(found)) * stride
        assert (gaps >= window).all()


def test_a_query_becomes_a_narration():
    assert as_narration("cuts the onion", clean_narrations=False) == "#C C cuts the onion"
    assert as_narration("#O cuts", clean_narrations=False) == "#O cuts"
    assert as_narration("cuts the onion", clean_narrations=True) == "cuts the onion"


@pytest.fixture(scope="module")
def indexed(run, egosynth, tmp_path_factory):
    folder = tmp_path_factory.mktemp("search")
    with pytest.MonkeyPatch.context() as patch:
        arguments = ("--index", egosynth / "videos", "--output", folder, "--set", "data.workers=0")
        launch(patch, "search.py", "--run", run, *arguments)
    return folder


def test_the_best_moment_comes_first(run, indexed, monkeypatch, capsys):
    """A window is given the features that the query has: it must be found, at its time."""
    index = FeatureIndex.read(indexed)
    uid, clip = list(index.clips.items())[1]
    model, recipe = load_trained_model(run)
    folder = indexed.parent / "planted"
    shutil.copytree(indexed, folder)
    features = read_features(folder / clip.file)
    tokenizer = load_tokenizer(recipe.data.tokenizer, recipe.model.text.vocabulary_size)
    with torch.no_grad():
        ids, mask = encode_texts(tokenizer, ["#C C cuts"], 24)
        features[2] = model.project_text(model.encode_text(ids, mask).pooled)[0].numpy()
    write_features(folder / clip.file, {FEATURES: features}, {})
    capsys.readouterr()
    launch(
        monkeypatch, "search.py", "--run", run, "--query", "cuts", "--output", folder, "--top", 3
    )
    narration, first, *others, picture = capsys.readouterr().out.splitlines()
    assert narration == "#C C cuts" and len(others) == 2
    score, found, start_s, _, end_s, _ = first.split()
    assert (found, float(start_s), float(end_s)) == (uid, 2.0, 4.0)
    assert float(score) == pytest.approx(1.0, abs=2e-3)
    assert float(score) > float(others[0].split()[0]) >= float(others[1].split()[0])
    assert (folder / "cuts.png").read_bytes().startswith(b"\x89PNG") and "cuts.png" in picture


def test_what_cannot_be_searched_is_named(run, recipe, indexed, tmp_path, monkeypatch, capsys):
    arguments = ("search.py", "--run", run, "--query", "cuts", "--output")
    line = refusal(monkeypatch, capsys, *arguments, tmp_path / "none")
    assert line.endswith("index.json: No such file or directory")
    tree = json.loads((indexed / "index.json").read_text())
    (tmp_path / "index.json").write_text(json.dumps(tree | {"weights_sha256": "0"}))
    line = refusal(monkeypatch, capsys, *arguments, tmp_path)
    assert "was made with other weights" in line
    (tmp_path / "index.json").write_text(json.dumps(tree | {"width": 128}))
    line = refusal(monkeypatch, capsys, *arguments, tmp_path)
    assert "width = 128: not what texts are compared with" in line
    (tmp_path / "index.json").write_text("[]")
    line = refusal(monkeypatch, capsys, *arguments, tmp_path)
    assert "not an index of features" in line


def test_the_gallery(run, tmp_path, monkeypatch, capsys):
    arguments = ("--run", run, "--output", tmp_path, "--set", "data.workers=0")
    launch(monkeypatch, "gallery.py", *arguments)
    page = (tmp_path / "index.html").read_text()
    assert (tmp_path / "tokens.mp4").is_file()
    for name in ("tokens.png", "tokens.gif", "patterns.png", "search.png"):
        assert (tmp_path / name).is_file() and f'src="{name}"' in page
    assert capsys.readouterr().out.splitlines()[-1] == str(tmp_path / "index.html")
