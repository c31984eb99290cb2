"""Steps that are commands: what they start ends with them."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from svitt_ego.shown_commands import run_python

PARENT = """
import signal, sys
from svitt_ego.shown_commands import run_python

signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
run_python(*sys.argv[1:])
"""

LAUNCHER = """
import subprocess, sys

subprocess.run([sys.executable, *sys.argv[1:]])
"""

RANK = """
import os, signal, sys, time
from pathlib import Path

folder = Path(sys.argv[1])

def save(*_):
    time.sleep(1)
    (folder / "saved").touch()
    sys.exit(75)

signal.signal(signal.SIGTERM, save)
(folder / "new").write_text(str(os.getpid()))
(folder / "new").rename(folder / "pid")
time.sleep(300)
"""


@pytest.mark.parametrize("ask", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_parent_leaves_no_rank_and_waits_for_its_checkpoint(ask, tmp_path):
    launcher, rank = tmp_path / "launcher.py", tmp_path / "rank.py"
    launcher.write_text(LAUNCHER)
    rank.write_text(RANK)
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, launcher, rank, tmp_path],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        stderr=subprocess.PIPE,
    )
    deadline = time.monotonic() + 60
    while not (tmp_path / "pid").is_file():
        assert parent.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    parent.send_signal(ask)
    parent.communicate(timeout=60)
    assert (tmp_path / "saved").is_file()
    status = Path("/proc") / (tmp_path / "pid").read_text() / "status"
    assert not status.exists() or "State:\tZ" in status.read_text()  # ended; its new parent's turn


def test_a_failure_is_passed_on(tmp_path, capfd):
    script = tmp_path / "script.py"
    script.write_text("import sys; sys.exit(3)")
    with pytest.raises(subprocess.CalledProcessError) as failure:
        run_python(script, "--word")
    assert failure.value.returncode == 3
    assert f"{script} --word" in capfd.readouterr().out
