"""Signals, and who holds a run directory, in processes of their own."""

import signal
import subprocess
import sys

import pytest

from svitt_ego.config import ConfigError
from svitt_ego.training.interruption import KILLED_BY_CTRL_C
from svitt_ego.training.run_lock import lock_run

LISTENER = """
import os, sys, time
import torch, torch.distributed as dist
from svitt_ego.training.interruption import StopRequest, kept_from_children
stop = StopRequest()
store = dist.HashStore()
dist.init_process_group("gloo", store=store, rank=0, world_size=1)
with kept_from_children():
    child = os.fork()
    if child == 0:
        time.sleep(1.5)
        os._exit(7)
print(child, flush=True)
while not stop.agreed(torch.device("cpu")):
    time.sleep(0.05)
print("asked", flush=True)
_, status = os.waitpid(child, 0)
sys.exit(100 + os.waitstatus_to_exitcode(status))
"""


def start(code):
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    return process, process.stdout.readline().strip()


def test_a_signal_asks_and_children_do_not_see_it():
    processes = [start(LISTENER) for _ in range(3)]
    asking = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)
    for (process, child), number in zip(processes, asking, strict=True):
        process.send_signal(number)
        subprocess.run(["kill", f"-{int(number)}", child], check=True)
    for process, _ in processes:
        assert process.stdout.readline() == "asked\n"
        assert process.wait(timeout=20) == 107  # the child slept to its end


def test_a_second_ctrl_c_ends_at_once():
    process, _ = start(LISTENER)
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == "asked\n"
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=20) == KILLED_BY_CTRL_C


def test_one_training_in_a_directory(tmp_path):
    code = (
        "import sys, pathlib; from svitt_ego.training.run_lock import lock_run\n"
        f"held = lock_run(pathlib.Path({str(tmp_path)!r})); print('held', flush=True)\n"
        "sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True
    )
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(ConfigError, match=f'another training .*"pid": {holder.pid}'):
        lock_run(tmp_path)
    holder.kill()
    holder.wait()
    lock_run(tmp_path).close()  # a killed process holds nothing
