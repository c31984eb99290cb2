"""What is computed once must need what all of it needs, to the byte."""

from itertools import product

import pytest

from svitt_ego.config import load_recipe
from svitt_ego.models.attention import tiled
from svitt_ego.profiling.planning import same_work
from svitt_ego.profiling.planning.plan import planned_config
from svitt_ego.profiling.planning.planned_run import PlannedRun, PlannedStep
from tests.profiling.planning.tiny import TINY

CONFIG = "ds_configs/zero2_fp16.json"


def planned(micro_batches: list[int], *overrides: str) -> list[PlannedStep]:
    recipe = load_recipe("demo", [*TINY, *overrides])
    with PlannedRun(recipe, planned_config(CONFIG, recipe, 2), 2) as run:
        return [run.step(anchors) for anchors in micro_batches]


@pytest.mark.parametrize(
    ("tile_bytes", "micro_batches", "overrides"),
    [(2**12, [5], ()), (2**14, [2, 7], ("training.recompute.what=layers",))],
)
def test_work_done_once_stands_for_all(
    tile_bytes: int, micro_batches: list[int], overrides: tuple[str, ...], monkeypatch
):
    monkeypatch.setitem(tiled.TILE_BYTES, "cuda", tile_bytes)
    monkeypatch.setattr(tiled, "LEAST_QUERIES", 1)
    monkeypatch.setattr(tiled, "LEAST_HEADS", 2)
    short = planned(micro_batches, *overrides)
    monkeypatch.setattr(same_work, "_unlike_pairs", product)
    monkeypatch.setattr(same_work, "_first_pair", zip)
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
