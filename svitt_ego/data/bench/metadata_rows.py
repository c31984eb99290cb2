"""Metadata, negatives and order at EgoClip's scale. Each function runs in a process of its own."""

import shutil
from pathlib import Path

import numpy as np

from svitt_ego.data.bench import egovlp_way
from svitt_ego.data.bench.measure import peak_bytes, private_bytes_of_workers, seconds
from svitt_ego.data.bench.results import BenchRow
from svitt_ego.data.metadata import ClipTable
from svitt_ego.data.metadata.table import prepared_folder
from svitt_ego.data.negatives import SceneNegatives
from svitt_ego.data.positives import ActionPositives
from svitt_ego.data.randomness import Stream, generator
from svitt_ego.data.sampler import EpochSampler

WORKERS = 2
RANDOM_ROWS = 200_000
_DRAWS, _PEER_DRAWS = 20_000, 15


def conversion(path: Path) -> list[BenchRow]:
    shutil.rmtree(prepared_folder(path), ignore_errors=True)
    before = peak_bytes()
    took_s = seconds(lambda: ClipTable.open(path))
    return [
        BenchRow("conversion, once", took_s, "s"),
        BenchRow("conversion, peak memory", (peak_bytes() - before) / 2**20, "MiB"),
    ]


def ours(path: Path) -> dict[str, float]:
    """Seconds and bytes by what was done."""
    found = {"open_s": seconds(lambda: ClipTable.open(path)[0])}
    table = ClipTable.open(path)
    negatives, positives = SceneNegatives(table), ActionPositives(table)
    rows = np.random.default_rng(0).integers(len(table), size=_DRAWS).tolist()

    def with_negatives(worker: int = 0, count: int = _DRAWS) -> None:
        rng = np.random.default_rng(worker)
        for row in rng.integers(len(table), size=count).tolist():
            table[row]
            table[negatives.draw(row, generator(Stream.NEGATIVE, 0, 0, row)).row]

    def walk(worker: int) -> None:
        for row in np.random.default_rng(worker).integers(len(table), size=RANDOM_ROWS).tolist():
            table[row]

    with_negatives(count=1000)  # the pages are there
    found["row_and_negative_s"] = seconds(with_negatives) / _DRAWS
    some = rows[:2000]
    found["positive_s"] = seconds(
        lambda: [positives.draw(row, generator(Stream.POSITIVE, 0, 0, row)) for row in some]
    ) / len(some)
    sampler = EpochSampler(
        rows=len(table),
        share=1.0,
        seed=0,
        epochs=2,
        micro_batch_size=8,
        gradient_accumulation_steps=1,
        world_size=8,
        start_step=len(table) // 64,  # the second epoch, as after a restart
    )
    found["order_s"] = seconds(lambda: next(iter(sampler)))
    found["private_bytes"] = private_bytes_of_workers(walk, WORKERS)
    return found


def egovlps(path: Path) -> dict[str, float]:
    """The same of the peer."""
    frames = []
    found = {"open_s": seconds(lambda: frames.append(egovlp_way.load(path)))}
    (frame,) = frames
    rng = np.random.default_rng(0)
    rows = rng.integers(len(frame), size=_PEER_DRAWS).tolist()
    found["row_and_negative_s"] = seconds(
        lambda: [egovlp_way.row_and_negative(frame, row, rng) for row in rows]
    ) / len(rows)
    found["order_s"] = seconds(lambda: egovlp_way.epoch_order(len(frame), 1))

    def walk(worker: int) -> None:
        rows = np.random.default_rng(worker).integers(len(frame), size=RANDOM_ROWS)
        columns = [frame[name].to_numpy() for name in ("video_uid", "clip_text", "tag_noun")]
        for row in rows.tolist():
            for column in columns:
                column[row]  # a touch is enough: it changes the string's reference count

    found["private_bytes"] = private_bytes_of_workers(walk, WORKERS)
    return found


def compared(ours: dict[str, float], peers: dict[str, float]) -> list[BenchRow]:
    def row(name: str, key: str, unit: str, scale: float) -> BenchRow:
        return BenchRow(name, ours[key] * scale, unit, peers[key] * scale)

    return [
        row("open", "open_s", "s", 1),
        row(
            f"private memory of a worker, {RANDOM_ROWS} random rows", "private_bytes", "MiB", 2**-20
        ),
        row("row and scene-aware negative", "row_and_negative_s", "us", 1e6),
        BenchRow("action-aware positive", ours["positive_s"] * 1e6, "us"),
        row("an epoch's order, resumed in its middle", "order_s", "ms", 1e3),
    ]
