"""A dataset and a recipe small enough for tests that train."""

from pathlib import Path

import pytest
import yaml

from svitt_ego.data.synthetic.generate import generate


@pytest.fixture(scope="session")
def egosynth(tmp_path_factory) -> Path:
    return generate(tmp_path_factory.mktemp("egosynth"), "tiny", seed=0, workers=1)


@pytest.fixture
def recipe_file(egosynth, tmp_path) -> Path:
    """The demo's recipe on the tiny dataset, with everything random switched on."""
    tree = {
        "base": str(Path("launch/recipes/demo.yaml").resolve()),
        "model": {
            "video": {"layers": 3, "drop_path": 0.1, "node_sparsity": {"layers": [1]}},
            "text": {"dropout": 0.1},
        },
        "data": {
            "metadata": str(egosynth / "egoclip.csv"),
            "videos": {"root": str(egosynth / "videos"), "chunk_s": 5.0},
            "tokenizer": str(egosynth / "tokenizer"),
            "max_unreadable_share": 0.9,
        },
        "training": {"micro_batch_size": 2, "checkpoint_every_steps": 2, "epochs": 4},
        "evaluation": {"egomcq": str(egosynth / "egomcq.json")},
    }
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(tree))
    return path
