"""Plans against real steps of this CPU, and what a plan must know of ZeRO."""

from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from svitt_ego.config import load_recipe
from svitt_ego.config.schema import Recipe
from svitt_ego.profiling.planning.check import CASES, check
from svitt_ego.profiling.planning.plan import plan, planned_config
from svitt_ego.profiling.planning.planned_run import PlannedRun, PlannedStep
from svitt_ego.profiling.planning.remedies import remedies
from svitt_ego.profiling.planning.table import table

TINY = (
    "model.video.layers=2",
    "model.video.node_sparsity.layers=[0]",
    "model.video.image_size=48",
    "model.video.edge_sparsity.block_size=3",
    "model.text.layers=1",
    "training.micro_batch_size=2",
)
CONFIG = "ds_configs/zero2_fp16.json"


def tiny(*overrides: str) -> Recipe:
    return load_recipe("demo", [*TINY, *overrides])


def planned(recipe: Recipe, gpus: int, config: str = CONFIG) -> PlannedStep:
    with PlannedRun(recipe, planned_config(config, recipe, gpus), gpus) as run:
        return run.step(recipe.training.micro_batch_size)


@pytest.mark.parametrize("case", [CASES[3], CASES[-1]], ids=lambda case: case.name)
def test_predicts_a_real_step(case):
    (row,) = check([case])
    assert abs(row.error) < 0.03
    split = row.predicted
    for category in ("parameters", "optimizer_states", "gradients", "activations"):
        assert split.get(category, 0) == pytest.approx(row.measured.get(category, 0), rel=0.03)


def test_zero_2_shares_optimiser_states_among_ranks():
    recipe = tiny()
    one, four = planned(recipe, 1), planned(recipe, 4)
    states = [s.memory.peak.peak_bytes_by_category["optimizer_states"] for s in (one, four)]
    # fp32 master weights and two moments
    assert states[0] == pytest.approx(12 * one.parameters, rel=0.01)
    assert states[1] == pytest.approx(states[0] / 4, rel=0.02)
    # 2-byte numbers; so small a model never opens the second bucket
    assert four.memory.peak.peak_bytes_by_category["communication"] == 2 * 10_000_000


def test_the_gpus_kernels_are_planned_for_dense_attention_too():
    recipe = tiny("model.video.edge_sparsity=null")
    step = planned(recipe, 1)
    video = step.memory.modules
    assert any(path.startswith("video.layers") for path in video)
    assert step.flops > 0


def test_nothing_remains_of_a_plan():
    before = torch.empty(1).is_cuda, torch.tensor
    planned(tiny(), 2)
    assert not dist.is_initialized()
    assert (torch.empty(1).is_cuda, torch.tensor) == before
    assert type(torch.empty(1)) is torch.Tensor


def test_a_plan_says_what_fits_and_what_would():
    recipe = tiny("training.micro_batch_size=8")
    config = planned_config(CONFIG, recipe, 2)
    needed = plan(recipe, config, 2, 2**40, 8, find_largest=False).needed_bytes
    made = plan(recipe, config, 2, needed, None)
    assert made.fits and made.largest_micro_batch == made.micro_batch >= 8
    short = plan(recipe, config, 2, needed - 2**20, 8, find_largest=False)
    assert not short.fits and short.clips == 16
    changes = {remedy.what: remedy for remedy in remedies(short)}
    bucket = changes["reduce_bucket_size: 5,000,000"]
    assert bucket.plan.fits and "reductions a step" in bucket.price
    assert "FLOPs" in changes["training.recompute.what=layers"].price
    offload = changes["offload_optimizer: cpu"]
    assert offload.plan.step.host_bytes > 12 * short.step.parameters / 2
    assert "optimizer_states" not in offload.plan.step.memory.peak.peak_bytes_by_category
    text = table(short, list(changes.values()))
    assert "fits: no" in text and "over PCIe" in text
    result = made.to_json()
    assert sum(result["categories"].values()) == result["peak_bytes"] < result["needed_bytes"]


def test_what_never_fits_says_why():
    recipe = tiny()
    made = plan(recipe, planned_config(CONFIG, recipe, 1), 1, 2**29, None)
    assert made.largest_micro_batch == 0 and not made.fits
    assert "never fits: one anchor needs" in table(made)


@pytest.mark.parametrize("config", sorted(Path("ds_configs").glob("*.json")), ids=lambda p: p.stem)
def test_every_shipped_config_can_be_planned(config: Path):
    assert planned(tiny(), 2, str(config)).memory.peak.peak_bytes > 0
