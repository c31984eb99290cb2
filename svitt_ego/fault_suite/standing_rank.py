"""A rank that trains one run after another: launch/pretrain.py without a process start for each.

Requests come by standard input, a JSON object a line, as `standing_ranks.StandingRanks` writes
them. What a training says goes to the request's log; its exit code then to a file beside it.
"""

import gc
import json
import os
import runpy
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from svitt_ego.durable_files import write_atomically

SCRIPT = Path(__file__).resolve().parents[2] / "launch" / "pretrain.py"
FAILED = 1


def train(arguments: Sequence[str]) -> int:
    """Exit code of the script; `FAILED` for an exception that it does not handle."""
    import torch.distributed as dist
    from deepspeed import comm

    sys.argv = [str(SCRIPT), *arguments]
    code: object = None
    try:
        runpy.run_path(str(SCRIPT), run_name="__main__")
    except SystemExit as ended:
        code = ended.code
    except BaseException:
        traceback.print_exc()
        return FAILED
    if dist.is_initialized():  # left by an error that all ranks met
        comm.destroy_process_group()
    gc.collect()
    return code if isinstance(code, int) else 0


def main() -> None:
    requests = os.fdopen(os.dup(0))
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    import svitt_ego.training.loop  # noqa: F401  # takes most of a launch's start

    for line in requests:
        request = json.loads(line)
        os.environ["MASTER_PORT"] = str(request["port"])
        log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for stream in (1, 2):
            os.dup2(log, stream)
        os.close(log)
        code = train(request["arguments"])
        sys.stdout.flush()
        write_atomically(Path(request["code"]), str(code))
        if code == FAILED:  # its peers wait somewhere: nothing more can be done with this group
            sys.exit(code)


if __name__ == "__main__":
    main()
