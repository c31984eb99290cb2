"""A tiny EgoSynth and a run directory with a model that has learnt nothing."""

from pathlib import Path

import pytest
import torch

from svitt_ego.config import Recipe, load_recipe
from svitt_ego.data.synthetic.generate import generate
from svitt_ego.models import SViTTEgo
from svitt_ego.models.weights import save_weights
from svitt_ego.training.run_directory import RunDirectory, tag_of


@pytest.fixture(scope="session")
def egosynth(tmp_path_factory) -> Path:
    return generate(tmp_path_factory.mktemp("egosynth"), "tiny", seed=1, workers=1, progress=False)


@pytest.fixture(scope="session")
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


@pytest.fixture(scope="session")
def run(recipe, tmp_path_factory) -> Path:
    """A run directory with one checkpoint, of a model that has learnt nothing."""
    directory = RunDirectory(tmp_path_factory.mktemp("run"))
    directory.write_setup(recipe, {}, {})
    weights = directory.weights_file(tag_of(7))
    weights.parent.mkdir(parents=True)
    torch.manual_seed(0)
    save_weights(SViTTEgo(recipe.model).state_dict(), weights)
    directory.pointer.write_text(tag_of(7))
    return directory.path
