"""Running an entry point of launch/ within the test, as a user types it."""

import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from svitt_ego.training.free_port import free_port

LAUNCH = Path(__file__).parents[2] / "launch"


def launch(monkeypatch: pytest.MonkeyPatch, script: str, *arguments: object) -> None:
    path = str(LAUNCH / script)
    monkeypatch.setattr(sys, "argv", [path, *map(str, arguments)])
    monkeypatch.setattr(sys, "path", list(sys.path))
    runpy.run_path(path, run_name="__main__")


def refusal(monkeypatch: pytest.MonkeyPatch, capsys, script: str, *arguments: object) -> str:
    """The one line with which the command refuses."""
    with pytest.raises(SystemExit) as ending:
        launch(monkeypatch, script, *arguments)
    assert ending.value.code == 2
    said = capsys.readouterr().err.splitlines()
    (line,) = (line for line in said if line.startswith("error: "))
    return line


def launch_ranks(world_size: int, script: str, *arguments: object) -> str:
    """What rank 0 of so many processes prints; the others must print nothing."""
    meeting = {"WORLD_SIZE": str(world_size), "LOCAL_SIZE": str(world_size)}
    meeting |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    processes = [
        subprocess.Popen(
            [sys.executable, LAUNCH / script, *map(str, arguments)],
            env=os.environ | meeting | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(world_size)
    ]
    said = [process.communicate(timeout=300) for process in processes]
    assert [process.returncode for process in processes] == [0] * world_size, said
    assert not any(printed for printed, _ in said[1:])
    return said[0][0]
