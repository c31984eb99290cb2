"""Faults that reach a launch from outside while it trains."""

import os
import signal
import subprocess
import time

from svitt_ego.command_line import BAD_INPUT
from svitt_ego.fault_suite.checks import Bases, Found, resume_and_compare
from svitt_ego.fault_suite.ended import wait_for
from svitt_ego.fault_suite.lab import INTERVAL, last_recorded_step, losses
from svitt_ego.training.run_directory import RunDirectory

_SLOW = "kill:slow_steps:9:0"


def signal_to_all(bases: Bases) -> Found:
    """As a scheduler sends it: to launcher, ranks and loaders alike."""
    run = bases.lab.copy_as_if_killed_after(bases.whole, 2)
    started = time.monotonic()
    process = bases.lab.start(run, _SLOW)
    _wait_for_step(run, 3, bases.lab.patience_s)
    os.killpg(process.pid, signal.SIGTERM)
    ended = wait_for(process, started, bases.lab.patience_s)
    ok = ended.code not in (0, None) and "SIGTERM: stopping at the step's end" in ended.said
    return resume_and_compare(bases, run, 0, f"launch ended with {ended.how()}; ", ok)


def loader_killed(bases: Bases) -> Found:
    run = bases.lab.copy_as_if_killed_after(bases.whole, 2)
    started = time.monotonic()
    process = bases.lab.start(run, _SLOW)
    _wait_for_step(run, 3, bases.lab.patience_s)
    listed = subprocess.run(
        ["ps", "-eo", "pid=,ppid=,pgid=", "--sort=-start_time"], capture_output=True, text=True
    )
    table = [[int(word) for word in line.split()] for line in listed.stdout.splitlines()]
    mine = {pid: parent for pid, parent, group in table if group == process.pid}
    leaves = [pid for pid in mine if pid not in mine.values()]
    os.kill(max(leaves), signal.SIGKILL)
    ended = wait_for(process, started, bases.lab.patience_s)
    before = f"launch ended with {ended.how()}; "
    return resume_and_compare(bases, run, INTERVAL, before, ended.code not in (0, None))


def two_at_once(bases: Bases) -> Found:
    run = bases.lab.new_run()
    started = time.monotonic()
    first = bases.lab.start(run, _SLOW)
    _wait_for_step(run, 1, bases.lab.patience_s)
    second = bases.lab.go_on(run)
    ended = wait_for(first, started, bases.lab.patience_s)
    equal = losses(run) == losses(bases.whole)
    ok = second.code == BAD_INPUT and "another training" in second.said and ended.code == 0
    refusal = second.error_line().partition(": another")[2].partition("(")[0]
    said = f"second: {second.how()}, another{refusal}…; first: {ended.how()}"
    return Found(f"{said}; losses {'' if equal else 'not '}equal", ok and equal, 0)


def _wait_for_step(run: RunDirectory, step: int, patience_s: float) -> None:
    until = time.monotonic() + patience_s
    while last_recorded_step(run) < step:
        if time.monotonic() > until:
            raise RuntimeError(f"{run.path}: did not reach step {step}")
        time.sleep(0.2)
