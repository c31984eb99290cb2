"""One run at a time in a run directory."""

import fcntl
import json
import os
import socket
from pathlib import Path
from typing import IO

from svitt_ego.config import ConfigError

LOCK = "lock"


def lock_run(folder: Path) -> IO[str]:
    """Hold the directory for as long as the returned file is open; the system lets go of it when
    the process ends, however it ends.

    Raises:
        ConfigError: another process holds it, or the folder cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / LOCK).open("a+", encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{folder}: cannot be written to: {error.strerror}") from None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        holder = file.read().strip() or "unknown"
        file.close()
        raise ConfigError(
            f"{folder}: another training is writing there ({holder}); wait for it, stop it, or "
            "give another --output-dir"
        ) from None
    except OSError:  # a file system without locks: better no lock than no training
        return file
    try:
        file.truncate(0)
        file.write(json.dumps({"host": socket.gethostname(), "pid": os.getpid()}))
        file.flush()
    except OSError:  # a full disk: the lock holds all the same
        pass
    return file
