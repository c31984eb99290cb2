"""Our own commands, as many at a time as there are shares of the cores.

What a command says goes to a log. After the first that fails, none is begun and those that run are
stopped; a training that is stopped leaves a checkpoint to go on from.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from svitt_ego.config import ConfigError
from svitt_ego.side_by_side.core_shares import CoreShares
from svitt_ego.training.interruption import INTERRUPTED

REPOSITORY = Path(__file__).resolve().parents[2]
_POLL_S = 3.0


class Commands:
    """Runs scripts of launch/, each on a share of the cores, and knows those that run."""

    def __init__(self, logs: Path, shares: CoreShares) -> None:
        """
        Args:
            logs: folder.
            shares: as many commands run at a time; more threads that ask for one wait.
        """
        self.logs = logs
        self._shares = shares
        self._running: set[subprocess.Popen[bytes]] = set()
        self._stopped = False

    def run(
        self, name: str, script: str, *arguments: object, watch: Callable[[], None] | None = None
    ) -> None:
        """A script of launch/ on a share of the cores, to its end.

        Args:
            name: of the log; errors name it too.
            watch: called now and then while it runs.

        Raises:
            ConfigError: it was stopped, or failed; then with the last line that it said.
        """
        log = self.logs / f"{name}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, REPOSITORY / "launch" / script, *arguments]
        with self._shares.one() as cores, log.open("a", encoding="utf-8") as file:
            if self._stopped:
                raise ConfigError(f"{script} of {name} was not begun: another command failed")
            file.write(f"$ {script} {' '.join(map(str, arguments))}\n")
            file.flush()
            process = subprocess.Popen([str(word) for word in command], stdout=file, stderr=file)
            self._running.add(process)
            try:
                os.sched_setaffinity(process.pid, cores)  # before it has threads: they inherit it
                if self._stopped:  # meanwhile
                    process.terminate()
                code = _ended(process, watch)
            except BaseException:
                process.terminate()
                process.wait()  # or its cores would be dealt out while it runs
                raise
            finally:
                self._running.remove(process)
        if code == INTERRUPTED:
            raise ConfigError(f"{name} was stopped; the same command goes on from its checkpoint")
        if code:
            said = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1]
            raise ConfigError(f"{script} of {name} failed with exit code {code}: {said} ({log})")

    def stop(self) -> None:
        """Begin no command any more, and ask those that run to end."""
        self._stopped = True
        for process in tuple(self._running):
            process.terminate()

    @contextmanager
    def side_by_side(self) -> Iterator[Callable[..., Future[Any]]]:
        """Where calls that run commands are handed in, as many at a time as there are shares. The
        first error is raised, whichever call's future is asked first."""
        failed: list[BaseException] = []

        def attempt(call: Callable[..., Any], *arguments: Any) -> Any:
            try:
                return call(*arguments)
            except BaseException as error:
                failed.append(error)
                self.stop()
                raise

        with ThreadPoolExecutor(self._shares.count) as pool:
            try:
                yield partial(pool.submit, attempt)
            except BaseException as error:
                first = failed[:1]  # before those that fail because of the stop
                pool.shutdown(wait=False, cancel_futures=True)
                self.stop()
                if first and isinstance(error, Exception):  # not Ctrl-C, of which they die too
                    raise first[0] from None
                raise
        if failed:  # and nobody has asked
            raise failed[0]


def _ended(process: subprocess.Popen[bytes], watch: Callable[[], None] | None) -> int:
    """Its exit code, once there is one."""
    while True:
        try:
            return process.wait(_POLL_S)
        except subprocess.TimeoutExpired:
            if watch:
                watch()
