"""Ranks that stay: most of a launch on a CPU is the start of its processes."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from svitt_ego.command_line import BAD_INPUT
from svitt_ego.fault_suite.ended import Ended
from svitt_ego.training.free_port import free_port

_POLL_S = 0.05


class StandingRanks:
    """A group of ranks that trains one run after another; started when first needed, and anew
    where a training has left it broken."""

    def __init__(self, count: int, folder: Path, patience_s: float) -> None:
        """
        Args:
            folder: for logs; made.
            patience_s: a training that is not over by then hangs.
        """
        self.count = count
        self.folder = folder
        self.patience_s = patience_s
        self.folder.mkdir(parents=True, exist_ok=True)
        self._processes: list[subprocess.Popen[str]] = []
        self._requests = 0
        self._start_log = folder / "start.log"

    def train(self, arguments: Sequence[str]) -> Ended:
        """launch/pretrain.py with these arguments, on all ranks, as the launcher would report it:
        the highest of their exit codes, and all that they said, rank 0 first."""
        if not self._processes:
            self._start()
        self._requests += 1
        logs = [self.folder / f"{self._requests:03d}.{rank}.log" for rank in range(self.count)]
        codes = [log.with_suffix(".code") for log in logs]
        port = free_port()
        started = time.monotonic()
        for process, log, code_file in zip(self._processes, logs, codes, strict=True):
            request = {"arguments": list(arguments), "port": port}
            request |= {"log": str(log), "code": str(code_file)}
            assert process.stdin is not None
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
        code = self._wait_for(codes, started + self.patience_s)
        seconds = time.monotonic() - started
        if code not in (0, BAD_INPUT):
            self.stop()
        said = "".join(log.read_text(errors="replace") for log in logs if log.exists())
        return Ended(code, said or self._start_log.read_text(errors="replace"), seconds)

    def stop(self) -> None:
        for process in self._processes:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # its loaders, too
            process.wait()
        self._processes = []

    def _wait_for(self, codes: list[Path], until: float) -> int | None:
        """None where they hang."""
        while not all(code.exists() for code in codes):
            dead = [process.poll() for process in self._processes]
            if any(code is not None for code in dead):
                return max(abs(code) for code in dead if code is not None)
            if time.monotonic() > until:
                return None
            time.sleep(_POLL_S)
        return max(int(code.read_text()) for code in codes)

    def _start(self) -> None:
        script = Path(__file__).with_name("standing_rank.py")
        repository = script.parents[2]
        start_log = self._start_log.open("w")
        for rank in range(self.count):
            environment = {
                **{"RANK": str(rank), "LOCAL_RANK": str(rank), "MASTER_ADDR": "127.0.0.1"},
                **{"WORLD_SIZE": str(self.count), "LOCAL_SIZE": str(self.count)},
                "PYTHONPATH": str(repository),
            }
            process = subprocess.Popen(
                [sys.executable, str(script)],
                cwd=repository,
                env=os.environ | environment,
                stdin=subprocess.PIPE,
                stdout=start_log,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
            self._processes.append(process)
        start_log.close()
