"""Features of clips and queries, the samples made of them, and one line for what does not fit."""

import json
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from svitt_ego.config import ConfigError, load_recipe
from svitt_ego.config.grounding import GroundingRecipe
from svitt_ego.grounding.batch import collate
from svitt_ego.grounding.dataset import open_dataset
from svitt_ego.grounding.features import ClipEntry, ClipFeatures, TextFeatures
from svitt_ego.grounding.time_grid import TimeGrid
from tests.grounding.nlq_files import (
    nlq_clip,
    nlq_query,
    write_features,
    write_nlq,
    write_text_features,
)


@pytest.fixture
def files(tmp_path):
    clips = write_features(tmp_path / "features", ["a", "b"])
    texts = write_text_features(tmp_path / "texts.safetensors", ["note-a_0", "note-b_0"])
    write_nlq(tmp_path / "nlq.json", nlq_clip("a", nlq_query(1, 3)), nlq_clip("b", nlq_query(4, 6)))
    return tmp_path, clips, texts


def open_at(folder, *overrides, training=True):
    recipe = load_recipe(
        "grounding/paper_128",
        [
            f"data.features={folder / 'features'}",
            f"data.text_features={folder / 'texts.safetensors'}",
            "model.video_width=10",
            "model.text_width=6",
            *overrides,
        ],
        GroundingRecipe,
    )
    return open_dataset(recipe, str(folder / "nlq.json"), training)


def test_samples_and_batches_are_what_was_written(files):
    folder, clips, texts = files
    dataset = open_at(folder)
    samples = [dataset[index] for index in range(len(dataset))]
    batch = collate(samples, dataset.clips.grid)
    assert batch.ids == ("note-a_0", "note-b_0")
    torch.testing.assert_close(batch.video, torch.stack([clips["a"], clips["b"]]))
    torch.testing.assert_close(batch.text[0, :3], texts["note-a_0"])
    assert batch.text_mask.tolist() == [[True, True, True, False], [True] * 4]
    assert batch.text[0, 3].eq(0).all() and batch.video_mask.all()
    # step i is the middle of feature i: (4 i + 2) / 30 s
    torch.testing.assert_close((4 * batch.spans + 2) / 30, torch.tensor([[1.0, 3.0], [4.0, 6.0]]))


def test_seconds_and_steps_are_each_others_inverse():
    grid = TimeGrid(16.043, 8.5, 29.97)
    seconds = torch.rand(50, 2, dtype=torch.float64) * 480
    torch.testing.assert_close(grid.to_seconds(grid.to_steps(seconds)), seconds)
    assert TimeGrid(4, 4, 30).windows_in(480) == 3600
    assert TimeGrid(16, 8, 30).windows_in(1) == 2 and TimeGrid(16, 8, 30).windows_in(0.1) == 1


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("data.grid.stride_frames=8.0", "stride_frames = 4, but the recipe's data.grid.stride_fr"),
        ("data.grid.window_frames=16.0", "window_frames = 4, but the recipe's data.grid.window_f"),
        ("data.grid.fps=25.0", "fps = 30, but the recipe's data.grid.fps is 25"),
        ("model.video_width=256", "width = 10, but the recipe's model.video_width is 256: set"),
        ("model.max_windows=128", "clip a has 150 windows, more than model.max_windows = 128: set"),
        ("data.features=nowhere", "nowhere/index.json: No such file"),
        ("data.text_features=nowhere", "nowhere: cannot be read as safetensors"),
    ],
)
def test_features_that_do_not_fit_the_recipe(files, override, message):
    with pytest.raises(ConfigError, match=re.escape(message)) as caught:
        open_at(files[0], override)
    assert "\n" not in str(caught.value)


def test_a_text_of_another_width(files):
    with pytest.raises(ConfigError, match=r"query note-a_0 has features \(3, 6\), but .* is 7"):
        open_at(files[0], "model.text_width=7")


@pytest.mark.parametrize("windows", [148, 152, 75])
def test_features_of_another_stride_under_a_wrong_index(files, windows):
    index = files[0] / "features" / "index.json"
    tree = json.loads(index.read_text())
    for count in (149, 151):  # as others may count
        tree["clips"]["b"]["windows"] = count
        index.write_text(json.dumps(tree))
        open_at(files[0])
    tree["clips"]["b"]["windows"] = windows
    index.write_text(json.dumps(tree))
    message = f"clip b has {windows} windows, but its 20 s have 150 of this stride: extract its"
    with pytest.raises(ConfigError, match=message):
        open_at(files[0])


def test_features_counted_by_16_frames_pass_for_1_87_a_second():
    grid = TimeGrid(16.043, 16.043, 30)
    ClipFeatures(Path(), grid, 10, {"a": ClipEntry("a", 900, 480.0)}).check(grid, 10, True)


def test_texts_of_another_model_are_refused(files):
    folder, _, texts = files
    index = folder / "features" / "index.json"
    index.write_text(json.dumps(json.loads(index.read_text()) | {"weights_sha256": "a" * 64}))
    open_at(folder)  # the texts do not say
    save_file(texts, folder / "texts.safetensors", {"weights": "a" * 64})
    open_at(folder)
    save_file(texts, folder / "texts.safetensors", {"weights": "b" * 64})
    with pytest.raises(ConfigError, match=r"texts\.safetensors: made with the weights b{12}, but"):
        open_at(folder)


@pytest.mark.parametrize(
    ("clip", "message"),
    [
        (
            nlq_clip("c", nlq_query(1, 2)),
            "clip c has no features: give its file to extract_features",
        ),
        (
            nlq_clip("b", nlq_query(1, 2), nlq_query(1, 2)),
            "query note-b_1 has no features: give its",
        ),
        (nlq_clip("b", {"query": "Where?"}), "note-b_0: has no window: it cannot be trained on"),
        (
            nlq_clip("b", nlq_query(21, 22)) | {"video_end_sec": 150.0},
            "query note-b_0: its window begins at 21 s, but the features of clip b end at 20 s",
        ),
    ],
)
def test_queries_that_do_not_fit_the_features(files, clip, message):
    write_nlq(files[0] / "nlq.json", clip)
    with pytest.raises(ConfigError, match=re.escape(message)):
        open_at(files[0])


def test_without_windows_one_can_predict(files):
    write_nlq(files[0] / "nlq.json", nlq_clip("b", {"query": "Where?"}))
    dataset = open_at(files[0], training=False)
    assert collate([dataset[0]], dataset.clips.grid).spans is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"width": 0}, "width = 0: must be a number above 0"),
        ({"width": float("inf")}, "width = inf: must be a number above 0"),
        ({"width": 10**400}, "width = 1000"),
        (
            {"clips": {"a": {"file": "x", "windows": 150.9}}},
            "clip a: windows = 150.9: must be",
        ),
        (
            {"clips": {"a": {"file": "x", "windows": float("inf")}}},
            "clip a: windows = inf: must be a number above 0",
        ),
        (
            {"clips": {"a": {"file": "x", "windows": 150, "duration_s": float("inf")}}},
            "clip a: duration_s = inf: must be a number above 0",
        ),
        ({"fps": "30"}, "fps = '30': must be a number above 0"),
        ({"clips": []}, "clips must be an object"),
        ({"clips": {"a": {"file": "x"}}}, "clip a: windows = None: must be a number above 0"),
        ({"clips": {"a": {}}}, "clip a: must have file, windows and duration_s"),
        (
            {"clips": {"a": {"file": "../x"}}},
            "clip a: file = '../x': must be a path inside the folder",
        ),
    ],
)
def test_a_wrong_index_is_named(files, change, message):
    path = files[0] / "features" / "index.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ConfigError, match=rf"index\.json: {re.escape(message)}"):
        ClipFeatures.open(files[0] / "features")


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"features": torch.zeros(149, 10)}, "features is (149, 10) torch.float32, but index.json"),
        ({"features": torch.zeros(150, 10).half()}, "features is (150, 10) torch.float16"),
        ({"other": torch.zeros(150, 10)}, "holds no tensor 'features'"),
        (
            {"features": torch.full((150, 10), torch.nan)},
            "features holds a value that is not finite",
        ),
    ],
)
def test_wrong_features_of_a_clip_are_named(files, tensors, message):
    save_file(tensors, files[0] / "features" / "a.safetensors")
    with pytest.raises(ConfigError, match=rf"a\.safetensors: {re.escape(message)}"):
        ClipFeatures.open(files[0] / "features").read("a")


def test_wrong_features_of_a_query_are_named(files):
    path = files[0] / "texts.safetensors"
    save_file({"note-a_0": torch.full((2, 6), torch.inf)}, path)
    with pytest.raises(ConfigError, match=r"query note-a_0 holds a value that is not finite"):
        TextFeatures(path, 6).read("note-a_0")


def test_a_damaged_file_is_named(files):
    (files[0] / "features" / "a.safetensors").write_bytes(b"\x00" * 40)
    with pytest.raises(ConfigError, match=r"a\.safetensors: cannot be read as safetensors"):
        ClipFeatures.open(files[0] / "features").read("a")
    with pytest.raises(ConfigError, match=r"query nobody_0 has no features"):
        TextFeatures(files[0] / "texts.safetensors", 6).read("nobody_0")
