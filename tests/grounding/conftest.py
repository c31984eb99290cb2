"""Small recipes and random batches of grounding."""

import random
from dataclasses import replace

import pytest
import torch
from torch import nn

from svitt_ego.config.grounding import GroundingModel, Pyramid
from svitt_ego.grounding.batch import GroundingBatch, Sample, collate
from svitt_ego.grounding.build import build_grounder
from svitt_ego.grounding.time_grid import TimeGrid

GRID = TimeGrid(window_frames=4, stride_frames=4, fps=30)
VIDEO_WIDTH, TEXT_WIDTH = 10, 6


def small_model(**changes) -> GroundingModel:
    """Residual branches count from the start, so that a mistake in one shows."""
    values = {
        "video_width": VIDEO_WIDTH,
        "text_width": TEXT_WIDTH,
        "width": 16,
        "heads": 2,
        "pyramid": Pyramid(stem_layers=2, text_layers=1, layer_scale=1.0),
    }
    return GroundingModel(**values | changes)


def sample(windows: int, tokens: int = 5, index: int = 0) -> Sample:
    duration_s = windows * GRID.stride_frames / GRID.fps
    start_s, end_s = (torch.rand(2).sort().values * duration_s).tolist()
    return Sample(
        id=f"query_{index}",
        video=torch.randn(windows, VIDEO_WIDTH),
        text=torch.randn(tokens, TEXT_WIDTH),
        duration_s=duration_s,
        window_s=(start_s, max(end_s, start_s + 0.5)),
    )


def first_alone(batch: GroundingBatch, windows: int, tokens: int) -> GroundingBatch:
    """The first sample of the batch, of so many windows and tokens, without padding."""
    return replace(
        batch,
        ids=batch.ids[:1],
        video=batch.video[:1, :windows],
        video_mask=batch.video_mask[:1, :windows],
        text=batch.text[:1, :tokens],
        text_mask=batch.text_mask[:1, :tokens],
    )


def with_noise(model: nn.Module) -> nn.Module:
    """Every parameter moved a little: where a fresh model's biases are 0, padding that takes part
    might go unseen."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return model


@pytest.fixture(autouse=True)
def one_draw():
    """The same in every call: an untrained model may, rarely, propose nothing at all."""
    random.seed(0)
    torch.manual_seed(0)


@pytest.fixture
def make_batch():
    def make(*lengths: int, tokens: tuple[int, ...] | None = None):
        tokens = tokens or (5,) * len(lengths)
        samples = [sample(n, t, i) for i, (n, t) in enumerate(zip(lengths, tokens, strict=True))]
        return collate(samples, GRID)

    return make


@pytest.fixture
def make_model():
    return lambda **changes: build_grounder(small_model(**changes))
