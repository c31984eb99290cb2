"""Runs side by side: on cores of their own, and none is left when one fails."""

import json
import os
import time

import pytest

from svitt_ego.config import ConfigError
from svitt_ego.side_by_side import commands
from svitt_ego.side_by_side.commands import Commands
from svitt_ego.side_by_side.core_shares import CoreShares

COMMAND = """
import json, os, sys, time
from pathlib import Path

folder = Path(__file__).parent.parent
name = Path(sys.argv[1]).name
started, cores = time.time(), sorted(os.sched_getaffinity(0))
if name == "stopped":
    sys.exit(75)
if name == "bad":
    while not list(folder.glob("*.json")):
        time.sleep(0.02)
    sys.exit("error: no room")
seconds = 60 if name.startswith("long") else 2
path = folder / f"{name}.json"
path.write_text(json.dumps({"started": started, "cores": cores, "pid": os.getpid()}))
time.sleep(seconds)
path.write_text(json.dumps({"started": started, "ended": time.time(), "cores": cores}))
"""


@pytest.fixture
def of_jobs(tmp_path, monkeypatch):
    (tmp_path / "launch").mkdir()
    (tmp_path / "launch" / "export.py").write_text(COMMAND)
    monkeypatch.setattr(commands, "REPOSITORY", tmp_path)
    return lambda jobs: Commands(tmp_path / "logs", CoreShares(jobs))


def test_the_cores_are_dealt_out():
    usable = os.sched_getaffinity(0)
    for count in range(1, len(usable) + 1):
        shares = CoreShares(count)
        dealt = [shares._free.get() for _ in range(shares.count)]
        assert shares.count == count
        assert sorted(core for share in dealt for core in share) == sorted(usable)
    assert CoreShares(len(usable) + 3).count == len(usable)
    assert 1 <= CoreShares().count <= len(usable)


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two cores")
def test_two_run_at_a_time_each_on_its_own_cores(of_jobs, tmp_path):
    ours = of_jobs(2)
    with ours.side_by_side() as later:
        handed = [later(ours.run, name, "export.py", tmp_path / name) for name in "abc"]
        for found in handed:
            found.result()
    a, b, c = (json.loads((tmp_path / f"{name}.json").read_text()) for name in "abc")
    assert not set(a["cores"]) & set(b["cores"])
    assert max(a["started"], b["started"]) < min(a["ended"], b["ended"])  # together
    assert c["started"] >= min(a["ended"], b["ended"])  # when there was room


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two cores")
def test_one_that_fails_ends_the_others(of_jobs, tmp_path):
    ours = of_jobs(2)
    started = time.monotonic()
    with (
        pytest.raises(ConfigError, match=r"export.py of bad failed with exit code 1: error: no"),
        ours.side_by_side() as later,
    ):
        others = [later(ours.run, "long", "export.py", tmp_path / "long")]
        bad = later(ours.run, "bad", "export.py", tmp_path / "bad")
        others.append(later(ours.run, "never", "export.py", tmp_path / "never"))
        bad.result()
    assert time.monotonic() - started < 30
    assert not (tmp_path / "never.json").exists()
    with pytest.raises(ProcessLookupError):
        os.kill(json.loads((tmp_path / "long.json").read_text())["pid"], 0)


def test_a_stopped_training_is_no_failure_to_mend(of_jobs, tmp_path):
    with pytest.raises(ConfigError, match=r"^a run was stopped; the same command goes on"):
        of_jobs(1).run("a run", "export.py", tmp_path / "stopped")
