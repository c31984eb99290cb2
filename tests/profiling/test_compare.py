import csv
import json
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from svitt_ego.config import ConfigError
from svitt_ego.profiling.compare import TrainStep, Variant, compare, write_csv, write_json

WIDTH = 16


class Stack(nn.Module):
    """Layers that each keep one tensor of the input's size."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.eye(WIDTH))
        self.depth = depth
        self.modes: list[bool] = []

    def forward(self, x: Tensor) -> Tensor:
        self.modes.append(self.training)
        x = x @ self.weight
        for _ in range(self.depth):
            x = x.exp().sigmoid()
        return x


def build(depth: int, rows: int) -> TrainStep:
    model = Stack(depth).eval()
    x = torch.full((rows, WIDTH), 0.5)
    return TrainStep(
        model=model,
        optimizer=torch.optim.AdamW(model.parameters(), lr=0.1, foreach=False),
        inputs=[x],
        clips=rows,
        loss=lambda step: model(x).mean(),
    )


def comparison(*frames: int) -> dict:
    variants = [
        Variant(name, name.title(), f"{depth} layers", count, partial(build, depth, 100 * count))
        for count in frames
        for name, depth in (("deep", 6), ("shallow", 2))
    ]
    return compare(variants, steps=2, about={"recipe": "toy", "anchors": 7})


def test_comparison_measures_each_variant():
    result = comparison(1)
    deep, shallow = result["variants"]
    assert result["counter"] == "tracked tensors" and result["recipe"] == "toy"
    tensor_bytes = 100 * WIDTH * 4
    # Of each layer the exponential and the sigmoid are kept.
    activations = [v["peak_bytes_by_category"]["activations"] for v in (deep, shallow)]
    assert activations[0] - activations[1] == 2 * (6 - 2) * tensor_bytes
    for variant in (deep, shallow):
        split = variant["peak_bytes_by_category"]
        assert split["parameters"] == WIDTH * WIDTH * 4
        assert split["inputs"] == tensor_bytes
        # Held by the optimiser since the warm-up step: two moments, and a count of steps.
        assert split["optimizer_states"] == 2 * split["parameters"] + 4
        assert variant["peak_bytes"] == sum(split.values())
        assert variant["clips"] == 100 and len(variant["step_s_each"]) == 2
        assert variant["step_s"] == sum(variant["step_s_each"]) / 2
        assert variant["clips_per_s"] == pytest.approx(100 / variant["step_s"])
    with torch.no_grad():
        x = torch.full((100, WIDTH), 0.5)
        assert shallow["loss_first"] == pytest.approx(Stack(2)(x).mean().item())


def test_subjects_train():
    subject = build(3, 4)
    variant = Variant("only", "Only", "", 1, lambda: subject)
    compare([variant], steps=3, about={})
    assert subject.model.modes == [True] * 5  # warm-up, tracked, three timed
    assert not torch.equal(subject.model.weight, torch.eye(WIDTH))
    assert subject.model.weight.grad is None


def test_timelines_reach_the_peak():
    for variant in comparison(1)["variants"]:
        timeline = variant["timeline"]
        totals = [sum(values) for values in zip(*timeline["live_bytes"].values(), strict=True)]
        assert max(totals) == variant["peak_bytes"]
        assert [name for name, _, _ in timeline["phases"]] == ["forward", "backward", "optimizer"]


@pytest.mark.parametrize(("variants", "steps"), [([], 1), ([Variant("a", "", "", 1, None)], 0)])
def test_nothing_to_measure(variants: list[Variant], steps: int):
    with pytest.raises(ValueError, match="at least one"):
        compare(variants, steps, {})


def test_files(tmp_path: Path):
    result = comparison(1, 2)
    write_csv(result, tmp_path / "memory.csv")
    write_json(result, tmp_path / "memory.json")
    assert json.loads((tmp_path / "memory.json").read_text()) == result
    with (tmp_path / "memory.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["variant"], row["frames"]) for row in rows] == [
        ("deep", "1"),
        ("shallow", "1"),
        ("deep", "2"),
        ("shallow", "2"),
    ]
    for row, variant in zip(rows, result["variants"], strict=True):
        assert int(row["peak_bytes"]) == variant["peak_bytes"]
        split = [int(value) for name, value in row.items() if name.endswith("s_bytes")]
        assert sum(split) + int(row["other_bytes"]) == variant["peak_bytes"]
        assert int(row["backward_peak_bytes"]) == variant["phases"]["backward"]["peak_bytes"]
        assert float(row["step_s"]) == variant["step_s"]


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
    ],
)
def test_too_little_memory_is_one_line(error: Exception):
    def build():
        raise error

    with pytest.raises(ConfigError, match="big, 4 frames: out of memory: compare fewer variants"):
        compare([Variant("big", "big", "", 4, build)], 1, {})


def test_other_errors_stay_what_they_are():
    def build():
        raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes"):
        compare([Variant("odd", "odd", "", 4, build)], 1, {})
