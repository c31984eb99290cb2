"""Signals, and who holds a run directory, in processes of their own."""

import signal
import subprocess
import sys
import time

import pytest

from svitt_ego.config import ConfigError
from svitt_ego.training.interruption import KILLED_BY_CTRL_C
from svitt_ego.training.run_lock import lock_run

LISTENER = """
import sys, time
import torch, torch.distributed as dist
from torch.utils.data import DataLoader, Dataset
from svitt_ego.training.interruption import StopRequest, deaf_workers

class Numbers(Dataset):
    def __len__(self):
        return 1000
    def __getitem__(self, index):
        time.sleep(0.01)
        return index

stop = StopRequest()
dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
with deaf_workers(DataLoader(Numbers(), batch_size=1, num_workers=1)) as batches:
    (worker,) = batches._workers
    print(worker.pid, flush=True)
    while not stop.agreed(torch.device("cpu")):
        next(batches)
    time.sleep(0.5)
    print("asked", next(batches).item() > 0, flush=True)
    raise RuntimeError("a failing rank must end, too")
"""


def start(code):
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    return process, process.stdout.readline().strip()


def test_a_signal_asks_and_workers_do_not_see_it():
    processes = [start(LISTENER) for _ in range(3)]
    asking = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)
    for (process, worker), number in zip(processes, asking, strict=True):
        process.send_signal(number)
        subprocess.run(["kill", f"-{int(number)}", worker], check=True)
    for process, _ in processes:
        assert process.stdout.readline() == "asked True\n"
        assert process.wait(timeout=20) == 1


def test_a_second_ctrl_c_ends_at_once():
    process, _ = start(LISTENER)
    process.send_signal(signal.SIGINT)
    time.sleep(0.2)
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
