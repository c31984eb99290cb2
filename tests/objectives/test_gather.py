"""Gathering over real processes; two_towers.py is what each of them runs."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from svitt_ego.objectives import gather_with_gradient, gather_without_gradient

SCRIPT = Path(__file__).with_name("two_towers.py")
REPOSITORY = Path(__file__).resolve().parents[2]
RANKS = 2


@pytest.fixture(scope="module")
def two_towers():
    spec = importlib.util.spec_from_file_location("two_towers", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def of_ranks(tmp_path_factory):
    """What each of two gloo processes found."""
    folder = tmp_path_factory.mktemp("ranks")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)}
    arguments = [str(RANKS), str(folder / "store"), str(folder / "result")]
    processes = [
        subprocess.Popen(
            [sys.executable, str(SCRIPT), str(rank), *arguments],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(RANKS)
    ]
    try:
        outputs = [process.communicate(timeout=90)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    for process, output in zip(processes, outputs, strict=True):
        assert process.returncode == 0, output
    return [torch.load(folder / f"result.{rank}", weights_only=True) for rank in range(RANKS)]


def test_one_process_gathers_itself():
    x = torch.randn(3, 2, requires_grad=True)
    assert gather_with_gradient(x) is x
    assert gather_without_gradient(x) is x


@pytest.mark.parametrize("objective", ["egonce", "infonce"])
def test_ranks_together_equal_one_rank_with_the_global_batch(objective, two_towers, of_ranks):
    """Loss and averaged gradients, of the learnt temperature too, in double precision."""
    model = two_towers.TwoTowers(objective)
    expected = two_towers.loss_and_gradients(model, two_towers.global_batch())
    assert expected["gradient of temperature"].abs() > 0.1
    for found in of_ranks:
        for name, value in expected.items():
            torch.testing.assert_close(
                found[f"{objective} {name}"], value, rtol=1e-10, atol=1e-12, msg=name
            )


def test_rows_come_rank_by_rank(of_ranks):
    for found in of_ranks:
        assert found["rows"].tolist() == [0, 1, 2, 10, 11, 12]


def test_unequal_batches_are_refused_on_every_rank(of_ranks):
    for found in of_ranks:
        assert "same shape, not [(2, 3), (3, 3)]" in found["unequal"]
