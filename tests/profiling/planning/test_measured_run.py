"""Ranks that fail, hang or talk a lot; what is measured is in test_planned_run.py."""

import os
import sys
import time
from pathlib import Path

import pytest

from svitt_ego.config import ConfigError
from svitt_ego.profiling.planning.measured_run import run_ranks

SLEEP = "import time; time.sleep(60)"


def ranks(*programs: str) -> list[tuple[list[str], dict[str, str]]]:
    return [([sys.executable, "-c", program], dict(os.environ)) for program in programs]


def test_all_end_well_however_much_they_say(tmp_path: Path):
    loud = "import sys; sys.stderr.write(200_000 * 'many words ')"
    run_ranks(ranks(loud, loud), tmp_path)
    assert (tmp_path / "rank1.stderr").stat().st_size > 2_000_000


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ("raise ValueError('no such tensor')", "rank 1 .* failed .*: ValueError: no such tensor"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "rank 1 .* was killed"),
        ("import sys; sys.exit(3)", "exit code 3.*it said nothing"),
    ],
)
def test_one_fails_and_the_rest_are_ended(tmp_path: Path, program: str, message: str):
    started = time.monotonic()
    with pytest.raises(ConfigError, match=message):
        run_ranks(ranks(SLEEP, program, SLEEP), tmp_path)
    assert time.monotonic() - started < 30  # nobody slept to the end


def test_a_run_that_hangs_is_ended(tmp_path: Path):
    with pytest.raises(ConfigError, match="took more than 0 s"):
        run_ranks(ranks(SLEEP), tmp_path, limit_s=0.2)
