"""The benchmark in small: it measures what it says, on rows that look like EgoClip's."""

import json
import subprocess
import sys

import numpy as np
import pytest

from svitt_ego.data.bench import egovlp_way, metadata_rows, training_row, video_rows
from svitt_ego.data.bench.egoclip_rows import write_egoclip
from svitt_ego.data.bench.measure import private_bytes_of_workers
from svitt_ego.data.bench.results import BenchRow, table, write_rows
from svitt_ego.data.metadata import ClipTable

ROWS = 20_000


@pytest.fixture(scope="module")
def metadata(tmp_path_factory):
    path = tmp_path_factory.mktemp("bench") / "egoclip.csv"
    write_egoclip(path, ROWS, progress=False)
    return path


def test_generated_rows_are_distributed_like_egoclips(metadata):
    clips = ClipTable.open(metadata)
    assert len(clips) == ROWS and not clips.malformed
    sizes = np.diff(clips.scenes.segments.offsets)
    assert 0.04 < (sizes == 1).mean() < 0.09 and 17 < sizes.mean() < 25
    assert 1 < (clips.end_s - clips.start_s).mean() < 1.5
    counts = np.diff(clips.nouns.offsets)
    assert counts.min() == 0 and counts.max() == 3
    assert 80 < clips.verb_classes <= 118 and 400 < clips.noun_classes <= 582


def test_both_ways_read_the_same_table_and_scenes(metadata):
    clips, frame = ClipTable.open(metadata), egovlp_way.load(metadata)
    assert len(frame) == ROWS
    rng = np.random.default_rng(0)
    for row in rng.integers(ROWS, size=20).tolist():
        text, negative = egovlp_way.row_and_negative(frame, row, rng)
        assert text == clips[row].text
        scene = frame["segment_id"].to_numpy() == frame["segment_id"][row]
        place = int(clips.scenes.place[row])
        segment = int(clips.scenes.segments.offsets.searchsorted(place, side="right")) - 1
        rows = clips.scenes.segments[segment]
        assert sorted(rows.tolist()) == scene.nonzero()[0].tolist()
        assert negative in {clips[int(other)].text for other in rows}


def test_all_metadata_rows_are_measured(metadata, monkeypatch):
    monkeypatch.setattr(metadata_rows, "RANDOM_ROWS", 500)
    conversion = metadata_rows.conversion(metadata)
    rows = metadata_rows.compared(metadata_rows.ours(metadata), metadata_rows.egovlps(metadata))
    assert all(row.value > 0 for row in rows) and conversion[0].value > 0
    assert sum(row.ratio is not None for row in rows) == 4


def test_private_memory_is_that_of_the_workers_own_pages():
    kept = []

    def use(worker):
        kept.append(np.ones(5_000_000 * (1 + worker)))

    small, large = (private_bytes_of_workers(use, workers) for workers in (1, 2))
    assert 40e6 < small < large and 35e6 < large - small < 60e6


def test_video_rows(tmp_path, monkeypatch):
    monkeypatch.setattr(video_rows, "_CLIPS", 2)
    chunks = video_rows.prepared_chunks(tmp_path, lengths_s=(2,))
    (row,) = video_rows.decoding(chunks)
    assert row.unit == "CPU ms" and row.value > 0 and row.peer > 0
    (row,) = video_rows.preparing(chunks, 2)
    assert row.value > 0


def test_loader_wait_leaves_out_the_start_of_each_launch(tmp_path):
    records = [{"step": s, "data_s": 5.0 if s in (1, 2, 5, 6) else 0.1, "step_s": 2.0}
               for s in range(1, 9)]  # fmt: skip
    launches = [{"first_step": 0}, {"first_step": 4}]
    for name, lines in (("records", records), ("launches", launches)):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (row,) = training_row.loader_wait(tmp_path)
    assert row.value == pytest.approx(5.0) and row.unit == "%"
    assert training_row.loader_wait(tmp_path / "nowhere") == []


def test_rows_are_written_with_their_ratio(tmp_path):
    rows = [BenchRow("a", 2.0, "s", 9.0), BenchRow("b", 1234.5, "MiB")]
    write_rows(tmp_path / "data.json", rows)
    written = json.loads((tmp_path / "data.json").read_text())
    assert [list(row) for row in written] == [["name", "value", "unit", "peer", "ratio"]] * 2
    assert written[0]["ratio"] == 4.5 and written[1]["ratio"] is None
    assert table(rows).splitlines()[1].split() == ["a", "2", "9", "s", "4.5"]
    assert "1,234" in table(rows) or "1,235" in table(rows)


def test_the_command_refuses_a_bad_count():
    ended = subprocess.run(
        [sys.executable, "launch/bench_data.py", "--rows", "0"], capture_output=True, text=True
    )
    assert ended.returncode == 2 and "must be a whole number above 0" in ended.stderr
