"""What is computed once must need what all of it needs, to the byte."""

from itertools import product

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from svitt_ego.config import load_recipe
from svitt_ego.models.attention import tiled
from svitt_ego.profiling.ledger import StepMemory
from svitt_ego.profiling.planning import same_work
from svitt_ego.profiling.planning.plan import planned_config
from svitt_ego.profiling.planning.planned_run import FlopCount, PlannedRun, PlannedStep
from svitt_ego.profiling.tracker import TensorTracker
from tests.profiling.planning.tiny import TINY

CONFIG = "ds_configs/zero2_fp16.json"
HEADS, PATCHES, BLOCK = 6, 12, 3


def compute_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(same_work, "_unlike_pairs", product)
    monkeypatch.setattr(same_work, "_first_pair", zip)


def attention_alone(samples: int, sparse: bool, of_each: bool) -> tuple[StepMemory, int]:
    """Memory and FLOPs of both passes, and of [CLS] scores; `of_each` has its own codes."""
    with FakeTensorMode():
        inputs = [
            torch.empty(samples, HEADS, 1 + PATCHES, 8, dtype=torch.half, requires_grad=True)
            for _ in range(3)
        ]
        table = torch.empty(40, HEADS, requires_grad=True)
        codes = torch.zeros(samples if of_each else 1, PATCHES, dtype=torch.int64)
        pattern = torch.empty(PATCHES // BLOCK, 2, dtype=torch.int64) if sparse else None
        tracker = TensorTracker()
        with tracker.step() as memory, FlopCount() as counter, same_work.same_work_once():
            with tracker.phase("scores"):
                tiled.cls_attention(*inputs[:2], table, codes)
            with tracker.phase("forward"):
                out = tiled.tiled_attention(*inputs, table, codes, pattern, BLOCK)
            with tracker.phase("backward"):
                out.backward(torch.empty_like(out))
    return memory[0], counter.flops


@pytest.mark.parametrize(
    ("tile_bytes", "samples"),
    [(2**10, 3), (2**11, 1), (2**12, 7), (2**13, 10), (2**13, 17)],
)
@pytest.mark.parametrize(("sparse", "of_each"), [(True, True), (False, False)])
def test_attention_alone(
    tile_bytes: int, samples: int, sparse: bool, of_each: bool, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(tiled.TILE_BYTES, "cpu", tile_bytes)
    monkeypatch.setattr(tiled, "LEAST_QUERIES", 1)
    monkeypatch.setattr(tiled, "LEAST_HEADS", 2)
    short = attention_alone(samples, sparse, of_each)
    compute_everything(monkeypatch)
    assert attention_alone(samples, sparse, of_each) == short


def planned(micro_batches: list[int], *overrides: str) -> list[PlannedStep]:
    recipe = load_recipe("demo", [*TINY, *overrides])
    with PlannedRun(recipe, planned_config(CONFIG, recipe, 2), 2) as run:
        return [run.step(anchors) for anchors in micro_batches]


@pytest.mark.parametrize(
    ("tile_bytes", "micro_batches", "overrides"),
    [(2**12, [5], ()), (2**14, [2, 7], ("training.recompute.what=layers",))],
)
def test_a_whole_step(
    tile_bytes: int, micro_batches: list[int], overrides: tuple[str, ...], monkeypatch
):
    monkeypatch.setitem(tiled.TILE_BYTES, "cuda", tile_bytes)
    monkeypatch.setattr(tiled, "LEAST_QUERIES", 1)
    monkeypatch.setattr(tiled, "LEAST_HEADS", 2)
    short = planned(micro_batches, *overrides)
    compute_everything(monkeypatch)
    assert planned(micro_batches, *overrides) == short


def test_parts_that_are_computed():
    sizes = [3, 3, 3, 3, 2]
    starts = [sum(sizes[:n]) for n in range(5)]
    parts = [slice(start, start + size) for start, size in zip(starts, sizes, strict=True)]
    chosen, stood_for = [], 0
    for pair in same_work._unlike_pairs(parts, parts[:2]):
        chosen.append(pair)
        stood_for += same_work.times()
    assert stood_for == 10 and same_work.times() == 1
    assert chosen == list(product([parts[0], parts[1], parts[4]], parts[:2]))
