"""Convert egoclip.csv to columns that are opened by memory map, in {metadata}.prepared beside it.
Training does it by itself where it has not been done; this shows what was malformed.

python launch/prepare_metadata.py data/egoclip/egoclip.csv
"""

import argparse
import time
from pathlib import Path

from svitt_ego.command_line import one_line_errors
from svitt_ego.config import ConfigError
from svitt_ego.data.metadata import ClipTable
from svitt_ego.data.metadata.convert import MALFORMED
from svitt_ego.data.metadata.table import prepared_folder


def main() -> None:
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("metadata", type=Path, help="egoclip.csv, tab-separated")
    parser.add_argument("--strict", action="store_true", help="a malformed row is an error")
    parser.add_argument("--force", action="store_true", help="convert anew")
    parser.add_argument(
        "--verify", action="store_true", help="compare the converted files with their checksums"
    )
    arguments = parser.parse_args()
    with one_line_errors():
        run(arguments)


def run(arguments: argparse.Namespace) -> None:
    started = time.monotonic()
    folder = prepared_folder(arguments.metadata)
    table = ClipTable.open(
        arguments.metadata, arguments.strict, progress=True, anew=arguments.force
    )
    if arguments.verify and (damaged := table.manifest.damaged(folder)):
        raise ConfigError(f"{folder}: {', '.join(damaged)} changed on disk: convert with --force")
    manifest = table.manifest
    print(f"{len(table)} clips of {len(table.video_uids)} videos in {folder}")
    print(f"{table.verb_classes} verb classes, {table.noun_classes} noun classes")
    print(f"{manifest.malformed_rows} malformed rows left out")
    for reason, rows in manifest.malformed_reasons.items():
        print(f"  {rows:>8}  {reason}")
    if manifest.malformed_rows:
        print(f"  each with its line: {folder / MALFORMED}")
    print(f"{time.monotonic() - started:.1f} s")


if __name__ == "__main__":
    main()
