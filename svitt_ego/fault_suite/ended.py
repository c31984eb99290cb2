"""How a launch ended, or that it did not."""

import os
import signal
import subprocess
import time
from dataclasses import dataclass


@dataclass(frozen=True)
class Ended:
    """code: None where it hung."""

    code: int | None
    said: str
    seconds: float

    def error_line(self) -> str:
        lines = [line for line in self.said.splitlines() if "error: " in line]
        return lines[0] if lines else ""

    def how(self) -> str:
        return "no end" if self.code is None else f"code {self.code}"

    def why(self) -> str:
        """Its error, or the last that it said."""
        lines = [line for line in self.said.splitlines() if line.strip() and "[INFO]" not in line]
        return (self.error_line() or (lines[-1] if lines else ""))[:160]


def wait_for(process: subprocess.Popen[str], started: float, patience_s: float) -> Ended:
    """End of a process that leads its group; where it takes longer, of the whole group."""
    code: int | None = None
    try:
        said, _ = process.communicate(timeout=patience_s)
        code = process.returncode
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        said, _ = process.communicate()
    except BaseException:  # nothing of an interrupted suite goes on
        os.killpg(process.pid, signal.SIGKILL)
        raise
    return Ended(code, said, time.monotonic() - started)
