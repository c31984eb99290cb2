"""The training step through DeepSpeed's engine, on one and two real ranks; deepspeed_ranks.py is
what each of them runs.

Tolerance: fp32 sums in another order, 1e-5 of a loss or weight.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from svitt_ego.training.free_port import free_port

SCRIPT = Path(__file__).with_name("deepspeed_ranks.py")
FP32, BF16 = {}, {"bf16": {"enabled": True}}
FP16 = {
    "fp16": {"enabled": True, "initial_scale_power": 8, "loss_scale_window": 2, "hysteresis": 1}
}
PRECISIONS = {"fp32": FP32, "bf16": BF16, "fp16": FP16}
STAGES = (0, 1, 2, 3)


def zero(stage, precision=FP32, **settings):
    return {
        "zero_optimization": {"stage": stage, "reduce_bucket_size": 10000, **settings}
    } | precision


def split(name, micro, accumulation, contrastive_batch="step", stage=2):
    return {
        "name": name,
        "micro": micro,
        "accumulation": accumulation,
        "contrastive_batch": contrastive_batch,
        "deepspeed": zero(stage),
    }


MATRIX = [
    {
        "name": f"{precision} stage {stage}",
        "micro": 4,
        "accumulation": 2,
        "vtm": 1.0,
        "steps": 7,
        "bad_loss": [4],
        "bad_gradient": [6],
        "resume": True,
        "deepspeed": zero(stage, PRECISIONS[precision]),
    }
    for precision in PRECISIONS
    for stage in STAGES
]
OFFLOADED = [
    case
    | {
        "name": f"{case['name']} offloaded",
        "deepspeed": zero(
            case["deepspeed"]["zero_optimization"]["stage"],
            PRECISIONS[case["name"].split()[0]],
            offload_optimizer={"device": "cpu"},
        ),
    }
    for case in MATRIX
    if "stage 0" not in case["name"]
]
MATRIX += OFFLOADED
ONE_RANK = [
    split("whole", 8, 1, "micro_batch"),
    split("cached", 2, 4),
    split("cached, stage 0", 4, 2, stage=0),
    split("not cached", 2, 4, "micro_batch"),
    *MATRIX,
    {
        "name": "never finite",
        "micro": 8,
        "steps": 9,
        "allowed": 3,
        "bad_loss": [1, 3, 4, 5, 6],
        "deepspeed": zero(2),
    },
    {
        "name": "fp16 at the smallest scale",
        "micro": 8,
        "steps": 6,
        "bad_gradient": [2, 3, 4],
        "deepspeed": zero(1, {"fp16": FP16["fp16"] | {"initial_scale_power": 1}}),
    },
]
TWO_RANKS = [
    split("cached", 2, 2),
    split("cached, stage 1", 1, 4, stage=1),
    split("cached, stage 3", 2, 2, stage=3) | {"resume": True},
    split("gathered", 4, 1, "micro_batch"),
]


def run(cases, ranks, folder):
    folder.mkdir()
    (folder / "cases.json").write_text(json.dumps(cases))
    port = str(free_port())
    processes = []
    for rank in range(ranks):
        environment = os.environ | {
            **{"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(ranks)},
            **{"LOCAL_SIZE": str(ranks), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port},
            "PYTHONPATH": str(Path.cwd()),
        }
        command = [sys.executable, SCRIPT, folder / "cases.json", folder / "result.json"]
        processes.append(
            subprocess.Popen(
                command,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        )
    try:
        outputs = [process.communicate(timeout=400)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert all(p.returncode == 0 for p in processes), "\n".join(o[-3000:] for o in outputs)
    return json.loads((folder / "result.json").read_text())


@pytest.fixture(scope="module")
def one_rank(tmp_path_factory):
    return run(ONE_RANK, 1, tmp_path_factory.mktemp("one") / "run")


@pytest.fixture(scope="module")
def two_ranks(tmp_path_factory):
    return run(TWO_RANKS, 2, tmp_path_factory.mktemp("two") / "run")


def losses(found, key="loss"):
    return [record[key] for record in found["records"]]


def assert_same_training(found, expected):
    for key in ("loss", "loss_contrastive", "loss_mlm", "gradient_norm", "temperature"):
        assert losses(found, key) == pytest.approx(losses(expected, key), rel=1e-5), key
    for mine, theirs in zip(found["weights"], expected["weights"], strict=True):
        assert mine == pytest.approx(theirs, abs=1e-5)


@pytest.mark.parametrize("name", ["cached", "cached, stage 0"])
def test_cached_micro_batches_train_as_the_whole_batch(one_rank, name):
    assert_same_training(one_rank[name], one_rank["whole"])


@pytest.mark.parametrize("name", ["cached", "cached, stage 1", "cached, stage 3", "gathered"])
def test_two_ranks_train_as_one_with_the_whole_batch(one_rank, two_ranks, name):
    assert_same_training(two_ranks[name], one_rank["whole"])


def test_plain_accumulation_is_another_loss(one_rank):
    """Or the tests above would ask nothing of the cache."""
    plain, whole = one_rank["not cached"], one_rank["whole"]
    assert losses(plain, "loss_contrastive")[0] < losses(whole, "loss_contrastive")[0] - 0.5
    assert losses(plain, "loss_mlm")[0] == pytest.approx(losses(whole, "loss_mlm")[0], rel=1e-5)


@pytest.mark.parametrize("case", MATRIX, ids=lambda case: case["name"])
def test_a_step_that_is_not_finite_changes_nothing_and_is_counted(one_rank, case):
    found = one_rank[case["name"]]
    assert losses(found, "skipped") == [False, False, False, True, False, True, False]
    assert losses(found, "skipped_steps") == [0, 0, 0, 1, 1, 2, 2]
    changed = [a != b for a, b in zip(found["weights"], found["weights"][1:], strict=False)]
    assert changed == [True, True, False, True, False, True]
    rates = losses(found, "learning_rate")
    assert rates[4] == rates[3] and rates[6] == rates[5] > rates[4]  # the schedule waits
    assert all(loss is not None and loss > 1 for loss in losses(found)[4:])


@pytest.mark.parametrize("case", MATRIX, ids=lambda case: case["name"])
def test_a_checkpoint_of_any_stage_and_precision_goes_on_as_if_nothing_had_happened(one_rank, case):
    """The second step sees the optimiser's state, the loss scale and the schedule at work."""
    found = one_rank[case["name"]]
    assert found["resumed"] == found["went on"] and len(set(found["resumed"])) == 2


def test_so_does_one_of_weights_that_two_ranks_share(two_ranks):
    found = two_ranks["cached, stage 3"]
    assert found["resumed"] == found["went on"] and len(set(found["resumed"])) == 2


@pytest.mark.parametrize("case", OFFLOADED, ids=lambda case: case["name"])
def test_offloading_changes_where_and_not_what(one_rank, case):
    """Of every micro-batch: Adam hides a gradient that is too small, its norm does not."""
    found, expected = (one_rank[case["name"].removesuffix(end)] for end in ("", " offloaded"))
    tolerance = 1e-5 if "fp32" in case["name"] else 2e-2  # masters are rounded after another sum
    for key in ("loss", "gradient_norm"):
        mine, theirs = losses(found, key), losses(expected, key)
        assert [m is None for m in mine] == [t is None for t in theirs]
        pairs = [(m, t) for m, t in zip(mine, theirs, strict=True) if t is not None]
        assert [m for m, _ in pairs] == pytest.approx([t for _, t in pairs], rel=tolerance), key


@pytest.mark.parametrize("stage", STAGES)
def test_precisions_agree(one_rank, stage):
    """On the first steps, to what three significant digits in the features allow."""
    fp32 = losses(one_rank[f"fp32 stage {stage}"])[:2]
    assert losses(one_rank[f"fp16 stage {stage}"])[:2] == pytest.approx(fp32, rel=0.01)
    assert losses(one_rank[f"bf16 stage {stage}"])[:2] == pytest.approx(fp32, rel=0.03)


@pytest.mark.parametrize("stage", STAGES)
def test_the_loss_scale_halves_and_grows(one_rank, stage):
    """Half after a bad step, double when a window of 2 good ones has passed after the first."""
    scales = losses(one_rank[f"fp16 stage {stage}"], "loss_scale")
    assert scales == [256, 256, 512, 256, 256, 128, 128]


def test_training_stops_after_so_many_in_a_row(one_rank):
    found = one_rank["never finite"]
    assert losses(found, "skipped") == [True, False, True, True, True]
    assert found["stopped"].startswith("3 steps in a row up to step 5")
    assert "\n" not in found["stopped"]


def test_the_smallest_loss_scale_is_no_end(one_rank):
    """DeepSpeed would raise a bare exception; here the run's own limit decides."""
    found = one_rank["fp16 at the smallest scale"]
    assert losses(found, "skipped") == [False, True, True, True, False, False]
    assert losses(found, "loss_scale")[1:4] == [1, 1, 1]
