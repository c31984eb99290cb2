"""A grounder learns to find what the query names."""

import pytest
import torch

from svitt_ego.config.grounding import REGRESSION_RANGES, Decoding, GroundingModel, Pyramid, Span
from svitt_ego.grounding.batch import GroundingBatch, Sample, collate
from svitt_ego.grounding.build import build_grounder
from svitt_ego.grounding.spans import pairwise_iou
from svitt_ego.grounding.time_grid import TimeGrid

GRID = TimeGrid(4, 4, 30)
CHANNELS, LENGTH, STEPS = 4, 64, 160

MODELS = {
    "ground_nlq": {
        "pyramid": Pyramid(
            stem_layers=2,
            text_layers=1,
            layer_scale=1.0,
            label_smoothing=0.0,
            initial_positives=20.0,
            regression_ranges=REGRESSION_RANGES[:4],
        )
    },
    "vslnet": {"span": Span(positions=LENGTH, dropout=0.0)},
}


@pytest.fixture
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # these products are too small to share
    yield
    torch.set_num_threads(threads)


def draw(rows: int) -> GroundingBatch:
    """Every channel is loud for twelve steps, one after the other; the query names one."""
    samples = []
    for row in range(rows):
        starts = torch.randperm(CHANNELS) * 16 + torch.randint(0, 4, (CHANNELS,))
        channel = int(torch.randint(CHANNELS, ()))
        video = torch.randn(LENGTH, CHANNELS) * 0.3
        for loud, start in enumerate(starts.tolist()):
            video[start : start + 12, loud] += 2
        text = torch.zeros(1, CHANNELS)
        text[0, channel] = 2
        window_s = GRID.to_seconds(starts[channel] + torch.tensor([-0.5, 11.5])).tolist()
        samples.append(Sample(str(row), video, text, LENGTH * 4 / 30, tuple(window_s)))
    return collate(samples, GRID)


@pytest.mark.parametrize("architecture", MODELS)
def test_finds_what_the_query_names(architecture, one_thread):
    torch.manual_seed(0)
    model = build_grounder(
        GroundingModel(
            architecture=architecture,
            video_width=CHANNELS,
            text_width=CHANNELS,
            width=32,
            heads=2,
            drop_path=0.0,
            **MODELS[architecture],
        )
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    # at a constant rate it depends on the CPU's rounding whether the last steps land well
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=STEPS)
    for _ in range(STEPS):
        batch = draw(16)
        loss = model.losses(model(batch), batch).total
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    model.eval()
    batch = draw(60)
    predictions = model.predict(model(batch), batch, Decoding())
    hits = [
        bool(len(predicted.windows_s))
        and pairwise_iou(predicted.windows_s[:1], truth[None]).item() > 0.5
        for predicted, truth in zip(predictions, GRID.to_seconds(batch.spans), strict=True)
    ]
    assert sum(hits) >= 48  # of 60; without the query 15
