"""Metadata, negatives, order, decoding and preparing at EgoClip's scale, beside EgoVLP's way and
decord; leaves data.json.

python launch/bench_data.py --output-dir runs/bench
"""

import argparse
from pathlib import Path

from svitt_ego.command_line import one_line_errors, positive
from svitt_ego.data.bench.egoclip_rows import ROWS


def main() -> None:
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("--output-dir", type=Path, default=Path("runs/bench"))
    parser.add_argument(
        "--work-dir",
        type=Path,
        default=Path("runs/bench/data"),
        help="generated files, about 1.2 GB, used again (runs/bench/data)",
    )
    parser.add_argument("--rows", type=positive, default=ROWS, help=f"of the metadata ({ROWS})")
    parser.add_argument(
        "--run-dir",
        type=Path,
        default=Path("runs/demo/training"),
        help="a training run, for its wait for the loader (runs/demo/training)",
    )
    arguments = parser.parse_args()
    with one_line_errors():
        run(arguments)


def run(arguments: argparse.Namespace) -> None:
    # Heavy imports: after the arguments.
    from svitt_ego.data.bench.bench import bench
    from svitt_ego.data.bench.results import table, write_rows
    from svitt_ego.durable_files import prepare_folder_of

    path = arguments.output_dir / "data.json"
    prepare_folder_of(path)
    rows = bench(
        arguments.work_dir,
        arguments.rows,
        arguments.run_dir,
        lambda line: print(f"{line} …", flush=True),
    )
    write_rows(path, rows)
    print(f"\n{table(rows)}\n\nresults: {path}")


if __name__ == "__main__":
    main()
