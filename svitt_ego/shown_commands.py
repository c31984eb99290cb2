"""Steps made of the commands that a user would type: shown, run, and skipped where done."""

import subprocess
import sys
from pathlib import Path

from svitt_ego.training.free_port import free_port

ALREADY_THERE = "there already"


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
    subprocess.run(words, check=True)
