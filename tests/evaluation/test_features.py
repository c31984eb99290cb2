"""Features on disk are those of the model; what is there is kept; other settings are refused."""

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from svitt_ego.data.long_clip import LongClip
from svitt_ego.data.text import encode_texts, load_tokenizer
from svitt_ego.evaluation.clip_reading import reading_of
from svitt_ego.evaluation.feature_files import FeatureIndex, read_features
from svitt_ego.evaluation.windows import Windowing, read_windows
from svitt_ego.training.run_directory import RunDirectory
from svitt_ego.training.trained_model import load_trained_model
from tests.evaluation.launching import launch, launch_ranks, refusal
from tests.grounding.nlq_files import nlq_clip, nlq_query, nlq_tree


@pytest.fixture
def nlq(tmp_path, egosynth):
    """Two clips, the first across the border of two chunks of 5 s, and one of a missing video."""
    uid = sorted(path.name for path in (egosynth / "videos").iterdir())[0]
    spans = {"c1": (3.0, 7.0), "c2": (0.5, 1.5)}
    clips = [
        nlq_clip(name, nlq_query(0.2, 0.9, "where is it?"))
        | {"video_start_sec": start_s, "video_end_sec": end_s}
        for name, (start_s, end_s) in spans.items()
    ]
    tree = nlq_tree(*clips)
    tree["videos"][0]["video_uid"] = uid
    tree["videos"].append({"video_uid": "gone", "clips": [nlq_clip("c3")]})
    path = tmp_path / "nlq_val.json"
    path.write_text(json.dumps(tree))
    return path, uid


def test_extracted_resumed_and_refused(run, recipe, nlq, tmp_path, monkeypatch, capsys):
    path, uid = nlq
    output = tmp_path / "features"
    arguments = ("--run", run, "--output", output, "--clips", path, "--queries", path)
    arguments += ("--window", 6, "--stride", 3, "--set", "data.workers=0")
    launch(monkeypatch, "extract_features.py", *arguments)
    said = capsys.readouterr().out
    assert "2 clips embedded, 0 there already" in said and "windows/s" in said
    index = FeatureIndex.read(output)
    assert index.clips.keys() == {"c1", "c2"} and index.unreadable.popitem()[1] == "missing"
    assert index.clips["c1"].windows == 1 + (120 - 6) // 3 and index.width == 64

    model, _ = load_trained_model(run)
    clip = LongClip("c1", uid, 3.0, 7.0)
    with torch.no_grad():
        video = read_windows(clip, range(17, 22), Windowing(6, 3, 30.0), reading_of(recipe))
        expected = model.project_video(model.encode_video(video).pooled).numpy()
    features = read_features(output / index.clips["c1"].file)
    assert features.dtype == np.float32 and features.shape == (39, 64)
    assert np.allclose(features[17:22], expected, atol=1e-4)

    tokens = load_file(output / "queries_nlq_val.safetensors")
    tokenizer = load_tokenizer(recipe.data.tokenizer, recipe.model.text.vocabulary_size)
    ids, mask = encode_texts(tokenizer, ["where is it?"], recipe.data.max_text_tokens)
    with torch.no_grad():
        text = model.encode_text(ids, mask)
        assert np.allclose(tokens["note-c1_0"], model.project_text(text.tokens)[0], atol=1e-5)
        assert np.allclose(tokens["note-c1_0"][0], model.project_text(text.pooled)[0], atol=1e-5)

    (output / "c2.safetensors").write_bytes(b"torn")
    kept = (output / "c1.safetensors").stat().st_mtime_ns
    launch(monkeypatch, "extract_features.py", *arguments)
    assert "1 clips embedded, 1 there already" in capsys.readouterr().out
    assert (output / "c1.safetensors").stat().st_mtime_ns == kept
    assert len(read_features(output / "c2.safetensors")) == 9

    tree = json.loads(path.read_text())
    del tree["videos"][1], tree["videos"][0]["clips"][0]
    tree["videos"][0]["clips"][0]["clip_uid"] = "c4"
    path.write_text(json.dumps(tree))
    launch(monkeypatch, "extract_features.py", *arguments)
    assert "1 clips embedded, 0 there already" in capsys.readouterr().out
    assert FeatureIndex.read(output).clips.keys() == {"c1", "c2", "c4"}

    line = refusal(monkeypatch, capsys, "extract_features.py", *arguments, "--window", 8)
    assert "index.json: is of window_frames 6, not 8: give another folder" in line
    (output / "index.json").unlink()  # as of an extraction that was stopped
    line = refusal(monkeypatch, capsys, "extract_features.py", *arguments, "--window", 8)
    assert "c4.safetensors: was made with window_frames 6, not 8: give another folder" in line


def test_another_model_leaves_the_queries_of_the_first(run, nlq, tmp_path, monkeypatch, capsys):
    path, _ = nlq
    output, other = tmp_path / "features", tmp_path / "other"
    arguments = ("--output", output, "--clips", path, "--queries", path, "--window", 30)
    arguments += ("--stride", 30, "--set", "data.workers=0")
    launch(monkeypatch, "extract_features.py", "--run", run, *arguments)
    queries = output / "queries_nlq_val.safetensors"
    written = queries.read_bytes()
    shutil.copytree(run, other)
    directory = RunDirectory(other)
    (weights,) = directory.weights_files()
    save_file({name: 2 * tensor for name, tensor in load_file(weights).items()}, weights)
    line = refusal(monkeypatch, capsys, "extract_features.py", "--run", other, *arguments)
    assert "index.json: is of weights_sha256" in line
    assert queries.read_bytes() == written


def test_two_ranks_extract_what_one_does(run, egosynth, tmp_path):
    arguments = ("--run", run, "--window", 30, "--stride", 45, "--set", "data.workers=0")
    folders = tmp_path / "one", tmp_path / "two"
    for world_size, folder in enumerate(folders, start=1):
        printed = launch_ranks(world_size, "extract_features.py", *arguments, "--output", folder)
    videos = len(list((egosynth / "videos").iterdir()))
    assert f"{videos} clips embedded, 0 there already" in printed
    one, two = (FeatureIndex.read(folder) for folder in folders)
    assert one == two and len(one.clips) == videos
    for clip in one.clips.values():
        alone, together = (read_features(folder / clip.file) for folder in folders)
        assert len(alone) == clip.windows and np.allclose(alone, together, atol=1e-5)
