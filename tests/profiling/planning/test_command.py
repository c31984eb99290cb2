"""launch/plan_memory.py as a user runs it."""

import json
import runpy
import sys
from pathlib import Path

import pytest

from tests.profiling.planning.tiny import TINY

SCRIPT = Path(__file__).parents[3] / "launch" / "plan_memory.py"


def run_command(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    overrides = [f"--set={override}" for override in TINY]
    config = ("--recipe", "demo", "--deepspeed_config", "ds_configs/zero2_fp16.json")
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), *config, *overrides, *arguments])
    monkeypatch.setattr(sys, "path", list(sys.path))
    runpy.run_path(str(SCRIPT), run_name="__main__")


def test_plans_a_recipe(tmp_path: Path, monkeypatch, capsys):
    out = tmp_path / "new" / "plan.json"
    size = ("--gpus", "2", "--gpu-memory", "1GiB", "--micro-batch", "4", "--json", str(out))
    run_command(monkeypatch, *size)
    text = capsys.readouterr().out
    parts = ("fits: yes", "largest micro-batch that fits: ", "assumed:")
    assert sorted(parts, key=text.index) == list(parts)  # what is known first is said first
    result = json.loads(out.read_text())
    assert result["fits"] and result["largest_micro_batch"] >= 4 and result["clips"] == 8
    assert sum(result["categories"].values()) == result["peak_bytes"]
    assert result["assumptions"] and result["deepspeed_config"].endswith(".json")


def test_assumptions_are_arguments(tmp_path: Path, monkeypatch, capsys):
    out = tmp_path / "plan.json"
    size = ("--gpu-memory", "70MiB", "--micro-batch", "64", "--processes", "1", "--json", str(out))
    run_command(monkeypatch, *size, "--context", "1KiB", "--slack", "1%")
    text = capsys.readouterr().out
    assert "context (with NCCL where there are several GPUs) is 1.0 KiB" in text
    assert "fits: no" in text and "what would change it for 64 anchors, 128 clips, each" in text
    result = json.loads(out.read_text())
    assert result["needed_bytes"] == round(1.01 * result["peak_bytes"]) + 1024
    assert not result["fits"] and len(result["remedies"]) >= 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--gpu-memory", "12"], "'12': must be a number with a unit, such as 12GiB"),
        (["--gpu-memory", "0GiB"], "'0GiB': must be above 0"),
        (["--gpu-memory", "12GiB", "--micro-batch", "0"], "must be a whole number above 0"),
        (["--gpu-memory", "12GiB", "--set", "no.such=1"], "unknown key"),
        (["--gpu-memory", "512MiB", "--processes", "1"], "never fits into such a GPU"),
        (["--gpu-memory", "12GiB", "--slack", "5"], "must be a share below 1"),
    ],
)
def test_mistakes_are_one_line(monkeypatch, capsys, arguments, message):
    with pytest.raises(SystemExit) as ending:
        run_command(monkeypatch, *arguments)
    assert ending.value.code == 2
    assert message in capsys.readouterr().err.strip().splitlines()[-1]
