"""All rows, with a line of progress for each group."""

from collections.abc import Callable
from pathlib import Path

from svitt_ego.data.bench import metadata_rows, training_row, video_rows
from svitt_ego.data.bench.egoclip_rows import write_egoclip
from svitt_ego.data.bench.measure import in_own_process
from svitt_ego.data.bench.results import BenchRow


def bench(work: Path, rows: int, run: Path, say: Callable[[str], None]) -> list[BenchRow]:
    """Measure everything; what had to be generated stays in `work` for the next time.

    Args:
        rows: of the generated metadata.
        run: a training run, whose records say how long it waited for the loader.
    """
    work.mkdir(parents=True, exist_ok=True)
    metadata = work / f"egoclip-{rows}.csv"
    if not metadata.is_file():
        say(f"generating {metadata}")
        partial = work / f"{metadata.name}.partial"
        write_egoclip(partial, rows)
        partial.rename(metadata)
    say("generating and preparing videos")
    chunks = in_own_process(video_rows.prepared_chunks, work / "videos")
    say("conversion")
    found = in_own_process(metadata_rows.conversion, metadata)
    say("metadata, this package")
    ours = in_own_process(metadata_rows.ours, metadata)
    say("metadata, EgoVLP's way")
    peers = in_own_process(metadata_rows.egovlps, metadata)
    found += metadata_rows.compared(ours, peers)
    say("decoding")
    found += in_own_process(video_rows.decoding, chunks)
    say("preparing")
    found += in_own_process(video_rows.preparing, chunks)
    return found + training_row.loader_wait(run)
