"""launch/compare_memory.py as a user runs it."""

import json
import runpy
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "launch" / "compare_memory.py"
TINY = {
    "model.video.layers": 2,
    "model.video.node_sparsity.layers": [0],
    "model.video.image_size": 48,
    "model.video.edge_sparsity.block_size": 3,
    "model.text.layers": 1,
}


def run_command(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), *arguments])
    monkeypatch.setattr(sys, "path", list(sys.path))
    runpy.run_path(str(SCRIPT), run_name="__main__")


def test_compares_a_recipe(tmp_path: Path, monkeypatch, capsys):
    overrides = [f"--set={key}={value}" for key, value in TINY.items()]
    sizes = ("--steps", "1", "--micro-batch", "2", "--output-dir", str(tmp_path))
    run_command(monkeypatch, "--recipe", "demo", *sizes, *overrides)
    assert capsys.readouterr().out.endswith(f"report: {tmp_path / 'report.html'}\n")
    result = json.loads((tmp_path / "memory.json").read_text())
    assert result["recipe"] == "demo" and result["anchors"] == 2
    names = [variant["name"] for variant in result["variants"]]
    assert names == ["dense", "dense_efficient", "dense_efficient_drop", "sparse"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--recipe", "no-such"], "no-such"),
        (["--recipe", "demo", "--run-dir", "/nowhere"], "/nowhere: not a training run"),
        (["--recipe", "demo", "--frames", "0"], "must be a whole number above 0"),
    ],
)
def test_mistakes_are_one_line(tmp_path: Path, monkeypatch, capsys, arguments, message):
    with pytest.raises(SystemExit) as ending:
        run_command(monkeypatch, *arguments, "--output-dir", str(tmp_path / "out"))
    # argparse prints its message, an exit with text leaves printing to the interpreter.
    text = ending.value.code if isinstance(ending.value.code, str) else capsys.readouterr().err
    assert ending.value.code != 0 and message in text.splitlines()[-1]
    assert not (tmp_path / "out").exists()
