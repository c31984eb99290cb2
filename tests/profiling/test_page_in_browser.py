"""The page in a real browser, where there is one."""

import shutil
import subprocess
from pathlib import Path

import pytest

from svitt_ego.profiling.report import write_report

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
QUIET = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

SPLIT = {"parameters": 2**20, "activations": 3 * 2**20, "temporaries": 2**18}


def variant(name: str, frames: int) -> dict:
    return {
        "name": name,
        "title": name,
        "description": "as it is",
        "frames": frames,
        "clips": 6,
        "device": "cpu",
        "dtype": "float32",
        "parameters": 2**18,
        "peak_bytes": sum(SPLIT.values()),
        "peak_bytes_by_category": SPLIT,
        "peak_bytes_by_module": {"": {"parameters": 2**20}, "video.layers.0": SPLIT},
        "phases": {"forward": {"peak_bytes": 1}, "backward": {"peak_bytes": 2}},
        "step_s": 0.5,
        "clips_per_s": 12.0,
        "tracked_step_s": 0.6,
        "loss_first": 3.25,
        "timeline": {
            "seconds": [0.0, 0.6],
            "live_bytes": {name: [size, size] for name, size in SPLIT.items()},
            "phases": [["forward", 0.0, 0.2], ["backward", 0.2, 0.6]],
        },
    }


@pytest.mark.skipif(BROWSER is None, reason="no chromium here")
def test_no_error_on_the_console_and_everything_is_drawn(tmp_path: Path):
    about = {"recipe": "toy", "anchors": 3, "counter": "tracked tensors", "machine": "x86_64"}
    about |= {"threads": 2, "torch": "2", "timed_steps": 1}
    names = ("dense", "sparse")
    results = [variant(name, frames) for frames in (4, 8) for name in names]
    page = write_report(tmp_path, about | {"variants": results})
    profile = f"--user-data-dir={tmp_path / 'profile'}"
    logging = ("--enable-logging=stderr", "--v=0", "--virtual-time-budget=2000")
    ended = subprocess.run(
        [BROWSER, *QUIET, profile, *logging, "--dump-dom", page.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ended.returncode == 0, ended.stderr
    assert "CONSOLE" not in ended.stderr
    assert ended.stdout.count("<svg") == 3 and "</html>" in ended.stdout
    assert "<title>dense: activations 3.0 MiB</title>" in ended.stdout
