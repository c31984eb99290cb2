"""Steps made of the commands that a user would type: shown, run, and skipped where done."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from svitt_ego.training.free_port import free_port

ALREADY_THERE = "there already"
_LEAVE_S = 60.0
"""How long a command that is stopped may take: its ranks finish their step and save it."""


def title(text: str) -> None:
    print(f"\n== {text}", flush=True)


def run_python(*command: object) -> None:
    """
    Raises:
        subprocess.CalledProcessError: it failed; it said why itself.
    """
    _run(sys.executable, *command)


def run_deepspeed(processes: int, *command: object) -> None:
    """By the launcher, on this machine.

    Raises:
        subprocess.CalledProcessError: it failed; it said why itself.
    """
    _run(
        Path(sys.executable).with_name("deepspeed"),
        *("--num_accelerators", processes, "--master_port", free_port(), "--log_level", "warning"),
        *command,
    )


def is_newer(result: Path, source: Path) -> bool:
    """Whether a result is there and was made after its source."""
    return result.is_file() and result.stat().st_mtime >= source.stat().st_mtime


def _run(*command: object) -> None:
    words = [str(word) for word in command]
    print(f"$ {' '.join([Path(words[0]).name, *words[1:]])}", flush=True)
    # A group of its own: the launcher passes no signal on to the ranks, which would train on.
    process = subprocess.Popen(words, start_new_session=True)
    try:
        code = process.wait()
    except BaseException:  # Ctrl-C, or SIGTERM where it ends this process
        _stop_group(process)
        raise
    if code:
        raise subprocess.CalledProcessError(code, words)


def _stop_group(process: subprocess.Popen[bytes]) -> None:
    """Ask everything that a command has started to end, and wait until it has."""
    deadline = time.monotonic() + _LEAVE_S
    try:
        os.killpg(process.pid, signal.SIGTERM)
        while time.monotonic() < deadline:
            process.poll()  # or it stays as a zombie, and so in its group
            os.killpg(process.pid, 0)
            time.sleep(0.1)
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass  # none is left
    process.wait()
