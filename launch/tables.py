"""Reproduce the paper's tables on EgoSynth: InfoNCE against EgoNCE, dense against sparse, ablations
and what can be answered without watching. Each run is made once; a killed command goes on.

python launch/tables.py --preset fast
"""

import argparse
import shutil
import signal
import sys
from pathlib import Path

from svitt_ego.command_line import one_line_errors, positive
from svitt_ego.tables.presets import PRESETS


def parse_arguments() -> argparse.Namespace:
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("--preset", choices=PRESETS, default="fast", help="(default: fast)")
    parser.add_argument("--output-dir", type=Path, help="runs (default: runs/tables/PRESET)")
    parser.add_argument("--dataset", type=Path, help="EgoSynth (default: data/egosynth-SIZE)")
    parser.add_argument(
        "--jobs",
        type=positive,
        help="runs at a time (default: one a core, at most 4; 1 with a GPU)",
    )
    parser.add_argument(
        "--results", type=Path, help="tables, and every run's answers (default: OUTPUT_DIR)"
    )
    return parser.parse_args()


def main() -> None:
    arguments = parse_arguments()
    preset = PRESETS[arguments.preset]
    folder = arguments.output_dir or Path("runs/tables") / arguments.preset
    # So that the runs are stopped too, and leave checkpoints.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    with one_line_errors():
        from svitt_ego.tables.make import make_runs
        from svitt_ego.tables.report import report_of, write_report

        dataset = arguments.dataset or Path(f"data/egosynth-{preset.size}")
        try:
            outcome = make_runs(preset, folder, dataset, arguments.jobs)
        except KeyboardInterrupt:
            sys.exit("stopped: the same command goes on")
        report = report_of(outcome)
        results = arguments.results or folder
        paths = write_report(report, results)
        if results != folder:
            shutil.rmtree(results / "answers", ignore_errors=True)  # of rows there were
            shutil.copytree(folder / "results", results / "answers")
        print(f"\n{paths[1].read_text()}")
        print("\n".join(map(str, paths)))


if __name__ == "__main__":
    main()
