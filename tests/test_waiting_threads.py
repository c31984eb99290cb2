"""How PyTorch's threads wait is set by importing the package, unless the user has set it."""

import os
import subprocess
import sys

import pytest

SHOW = "import svitt_ego.models"  # and with it PyTorch, whose OpenMP then says what it has read


@pytest.mark.parametrize("chosen, expected", [(None, "3000"), ("77", "77")])
def test_openmp_reads_the_spin_count(chosen: str | None, expected: str) -> None:
    environment = {k: v for k, v in os.environ.items() if k != "GOMP_SPINCOUNT"}
    environment["OMP_DISPLAY_ENV"] = "VERBOSE"
    if chosen:
        environment["GOMP_SPINCOUNT"] = chosen
    shown = subprocess.run(
        [sys.executable, "-c", SHOW], env=environment, capture_output=True, text=True, check=True
    )
    if "GOMP_SPINCOUNT" not in shown.stderr:
        pytest.skip("this PyTorch does not use GNU's OpenMP")
    assert f"GOMP_SPINCOUNT = '{expected}'" in shown.stderr


@pytest.mark.parametrize("script", ["pretrain", "train_grounding", "evaluate_egomcq", "tables"])
def test_commands_import_the_package_before_pytorch(script: str) -> None:
    code = (
        "import os, sys; sys.path[:0] = ['launch', '.']\n"
        f"import {script}\n"
        "assert 'GOMP_SPINCOUNT' in os.environ and 'torch' not in sys.modules"
    )
    environment = {k: v for k, v in os.environ.items() if k != "GOMP_SPINCOUNT"}
    root = os.path.dirname(os.path.dirname(__file__))
    subprocess.run([sys.executable, "-c", code], env=environment, cwd=root, check=True)
