"""Small models and batches for the tests of svitt_ego.models."""

import pytest
import torch

from svitt_ego.config.schema import (
    EdgeSparsity,
    FusionEncoder,
    Model,
    NodeSparsity,
    TextEncoder,
    VideoEncoder,
)


def small_video(**changes) -> VideoEncoder:
    settings = {
        "layers": 4,
        "width": 32,
        "heads": 4,
        "mlp_width": 48,
        "image_size": 40,
        "patch_size": 8,
        "max_frames": 3,
        "drop_path": 0.2,
        "edge_sparsity": EdgeSparsity(local_blocks=1, random_blocks=2, block_size=7),
        "node_sparsity": NodeSparsity(layers=(1, 2), keep_rate=0.7),
    }
    return VideoEncoder(**(settings | changes))


def small_model(**video) -> Model:
    return Model(
        video=small_video(**video),
        text=TextEncoder(
            layers=2,
            width=24,
            heads=3,
            mlp_width=40,
            vocabulary_size=60,
            max_positions=16,
            dropout=0.1,
        ),
        fusion=FusionEncoder(layers=2, node_sparsity=NodeSparsity(layers=(0,), keep_rate=0.3)),
        projection_width=16,
    )


@pytest.fixture
def model_recipe() -> Model:
    return small_model()


@pytest.fixture
def make_model():
    """A recipe of a small model with changes to its video encoder."""
    return small_model


@pytest.fixture
def make_video():
    """A recipe of a small video encoder with changes."""
    return small_video


@pytest.fixture
def video() -> torch.Tensor:
    return torch.randint(0, 256, (2, 3, 3, 40, 40), dtype=torch.uint8)


@pytest.fixture
def text() -> tuple[torch.Tensor, torch.Tensor]:
    ids = torch.randint(5, 60, (2, 9))
    mask = torch.ones_like(ids)
    mask[1, 6:] = 0
    return ids, mask
