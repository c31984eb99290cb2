"""Plans against real steps of this CPU, and what a plan must know of ZeRO."""

import re
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from svitt_ego.config import ConfigError, load_recipe
from svitt_ego.config.schema import Recipe
from svitt_ego.profiling.planning.answer import answer
from svitt_ego.profiling.planning.assumptions import Assumptions
from svitt_ego.profiling.planning.check import CASES, check
from svitt_ego.profiling.planning.largest import LARGEST_TRIED
from svitt_ego.profiling.planning.plan import Plan, Planner, planned_config
from svitt_ego.profiling.planning.planned_run import PlannedRun, PlannedStep
from svitt_ego.profiling.planning.remedies import remedies, wider
from svitt_ego.profiling.planning.small_gpus import PRECISIONS
from svitt_ego.profiling.planning.verdict import largest_line, verdict
from tests.profiling.planning.tiny import TINY

CONFIG = "ds_configs/zero2_fp16.json"


def tiny(*overrides: str) -> Recipe:
    return load_recipe("demo", [*TINY, "training.micro_batch_size=2", *overrides])


def planned(recipe: Recipe, gpus: int, config: str = CONFIG) -> PlannedStep:
    with PlannedRun(recipe, planned_config(config, recipe, gpus), gpus) as run:
        return run.step(recipe.training.micro_batch_size)


REAL = ("ZeRO 2, two ranks", "ZeRO 3, two ranks, recomputed layers")


@pytest.mark.parametrize("case", [c for c in CASES if c.name in REAL], ids=lambda case: case.name)
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


def test_zero_3_shares_weights_too():
    recipe = tiny()
    config = planned_config("ds_configs/zero2_fp16_offload.json", recipe, 4)
    config["zero_optimization"]["stage"] = 3
    with PlannedRun(recipe, config, 4) as run:
        step = run.step(2)
    split = step.memory.peak.peak_bytes_by_category
    # this rank's part, and the whole while a pass goes on; a model so small is never let go
    assert split["parameters"] == pytest.approx(2 * step.parameters * (1 + 1 / 4), rel=0.01)
    # fp32 masters, moments and gradients, and gradients as they come
    assert step.host_bytes == pytest.approx((16 + 2) * step.parameters / 4, rel=0.01)
    assert "optimizer_states" not in split


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


def plan(recipe: Recipe, config: dict, gpus: int, gpu_memory_bytes: int, micro_batch: int) -> Plan:
    with PlannedRun(recipe, config, gpus) as run:
        return Planner(run).plan(gpu_memory_bytes, micro_batch)


def test_a_plan_says_what_fits_and_what_would():
    recipe = tiny("training.micro_batch_size=8")
    config = planned_config(CONFIG, recipe, 2)
    needed = plan(recipe, config, 2, 2**40, 8).needed_bytes
    short = plan(recipe, config, 2, needed - 2**20, 8)
    assert not short.fits and short.clips == 16
    changes = {remedy.what: remedy for remedy in remedies(short, processes=1)}
    bucket = changes["reduce_bucket_size: 5,000,000"]
    assert bucket.plan.fits and "reductions a step" in bucket.price
    assert "FLOPs" in changes["training.recompute.what=layers"].price
    offload = changes["offload_optimizer: cpu"]
    assert offload.plan.step.host_bytes > 12 * short.step.parameters / 2
    assert "optimizer_states" not in offload.plan.step.memory.peak.peak_bytes_by_category
    assert "over PCIe" in offload.price
    assert "fits: no" in verdict(short)
    result = short.to_json()
    assert sum(result["categories"].values()) == result["peak_bytes"] < result["needed_bytes"]


def test_remedies_are_the_same_from_other_processes():
    recipe = tiny("data.frames=2")
    config = planned_config("ds_configs/one_gpu_fp16_offload.json", recipe, 1)
    short = plan(recipe, config, 1, 2**20, 2)
    found = [
        {(r.what, r.price, r.plan.peak_bytes) for r in remedies(short, processes)}
        for processes in (1, 2)
    ]
    assert found[0] == found[1] and len(found[0]) == 2


def test_recomputing_reaches_a_larger_micro_batch():
    recipe = tiny()
    config = planned_config("ds_configs/one_gpu_fp16.json", recipe, 1)
    with PlannedRun(recipe, config, 1) as run:
        planner = Planner(run)
        limit_bytes = planner.plan(0, 64).needed_bytes
        largest = planner.largest(limit_bytes)
        assert largest >= 64
        made = planner.plan(limit_bytes, largest)
    more = wider(made)
    assert more.plan.micro_batch > largest and more.plan.fits and "FLOPs" in more.price
    assert wider(more.plan) is None  # recomputes already


def test_what_never_fits_says_why():
    recipe, said = tiny(), []
    config = planned_config(CONFIG, recipe, 1)
    result = answer(recipe, config, 1, 2**29, 2, Assumptions.of(1), processes=1, say=said.append)
    assert result["largest_micro_batch"] == 0 and not result["fits"]
    assert result["micro_batch"] == 2 and said[0].startswith(f"{recipe.name}: 2 anchors, 4 clips")
    assert any(line.startswith("never fits: one anchor needs") for line in said)
    assert {remedy["micro_batch"] for remedy in result["remedies"]} == {1}
    assert any("what would change it for 1 anchor, 2 clips" in line for line in said)


def test_what_is_assumed_can_be_set():
    usual, several = Assumptions.of(1), Assumptions.of(8)
    assert several.context_bytes > usual.context_bytes
    own = Assumptions.of(8, context_bytes=1000, slack_share=0.5)
    assert own.needed_bytes(100) == 1150
    assert usual.needed_bytes(0) == usual.context_bytes
    text = " ".join(own.text(tiny()))
    assert "unmeasured" in text and "50%" in text


def test_more_than_was_tried_is_said():
    recipe = tiny()
    made = plan(recipe, planned_config(CONFIG, recipe, 1), 1, 2**60, 2)
    assert "more was not tried" in largest_line(LARGEST_TRIED, made)
    assert "more was not tried" not in largest_line(12, made)


def test_the_first_step_is_as_the_second():
    recipe = tiny()
    for stage in (0, 2, 3):
        config = planned_config(CONFIG, recipe, 2)
        config["zero_optimization"]["stage"] = stage
        with PlannedRun(recipe, config, 2) as run:
            first, second = (run.step(4).memory.peak.peak_bytes for _ in range(2))
        assert first == pytest.approx(second, abs=64)


def test_a_config_that_deepspeed_refuses_is_one_line():
    recipe = tiny()
    config = planned_config(CONFIG, recipe, 1)
    config["zero_optimization"]["reduce_bucket_size"] = "many"
    with pytest.raises(ConfigError, match="cannot be planned with this DeepSpeed config") as error:
        plan(recipe, config, 1, 2**30, 2)
    assert "\n" not in str(error.value)
    assert not dist.is_initialized()


PAIRS = sorted({re.sub("fp16|bf16", "*", path.stem) for path in Path("ds_configs").glob("*.json")})


@pytest.mark.parametrize("config", PAIRS)
def test_every_shipped_config_can_be_planned_and_precisions_need_the_same(config: str):
    steps = [
        planned(tiny(), 2, f"ds_configs/{config.replace('*', precision)}.json")
        for precision in (PRECISIONS if "*" in config else PRECISIONS[:1])
    ]
    assert steps[0].memory.peak.peak_bytes > 0
    assert steps[-1] == steps[0]
