"""launch/pretrain.py with a fault: the first argument is FAILURE:PLACE:RANK:STEP."""

import runpy
import sys
from pathlib import Path

from svitt_ego.fault_suite.injections import inject

if __name__ == "__main__":
    local_rank = [word for word in sys.argv[1:2] if word.startswith("--local_rank")]
    failure, place, rank, step = sys.argv.pop(1 + len(local_rank)).split(":")
    inject(failure, place, int(rank), int(step))
    script = Path(__file__).resolve().parents[2] / "launch" / "pretrain.py"
    runpy.run_path(str(script), run_name="__main__")
