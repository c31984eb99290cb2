import json
import math
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from svitt_ego.config import ConfigError
from svitt_ego.profiling.planning.against_original import Beside, Ours, in_order, markdown
from svitt_ego.profiling.published import PUBLISHED
from svitt_ego.profiling.report import write_report
from svitt_ego.profiling.run_summary import TrainedRun, read_run
from svitt_ego.profiling.units import show_bytes, show_seconds

PNG_START = b"\x89PNG\r\n\x1a\n"


def variant(name: str, frames: int, activations: int, loss: float = 3.25) -> dict:
    split = {"parameters": 2**20, "activations": activations, "temporaries": 2**18, "other": 8}
    live = {name: [size // 2, size, size] for name, size in split.items()}
    return {
        "name": name,
        "title": name.replace("_", ", "),
        "description": f"what <{name}> & does",
        "frames": frames,
        "clips": 6,
        "device": "cpu",
        "dtype": "float32",
        "parameters": 2**18,
        "peak_bytes": sum(split.values()),
        "peak_bytes_by_category": split,
        "peak_bytes_by_module": {"": {"parameters": 2**20}, "video.layers.0": split},
        "phases": {"forward": {"peak_bytes": 1}, "backward": {"peak_bytes": 2}},
        "step_s": 0.5,
        "step_s_each": [0.5],
        "clips_per_s": 12.0,
        "tracked_step_s": 0.6,
        "loss_first": loss,
        "timeline": {
            "seconds": [0.0, 0.3, 0.6],
            "live_bytes": live,
            "phases": [["forward", 0.0, 0.2], ["backward", 0.2, 0.5], ["optimizer", 0.5, 0.6]],
        },
    }


def comparison(*frames: int) -> dict:
    names = {"dense": 40 * 2**20, "dense_efficient": 20 * 2**20, "sparse": 10 * 2**20}
    return {
        "recipe": "toy",
        "anchors": 3,
        "counter": "tracked tensors",
        "machine": "x86_64",
        "threads": 2,
        "torch": "2.14.1",
        "timed_steps": 1,
        "variants": [variant(name, f, f * size) for f in frames for name, size in names.items()],
    }


def full_record(step: int) -> dict:
    loss = 8 * math.exp(-step / 20)
    return {
        "step": step,
        "loss": loss,
        "loss_contrastive": loss / 2,
        "loss_vtm": loss / 4,
        "loss_mlm": loss / 4,
        "learning_rate": 1e-3 / step,
        "samples_per_s": 11.5,
        "counter": "tracked tensors",
        "peak_bytes": 3 * 2**30,
        "peak_bytes_by_category": {"parameters": 2**30, "activations": 2 * 2**30},
    }


class References(HTMLParser):
    """Everything a browser would fetch or run."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.open: list[str] = []
        self.feed(page)
        self.found += re.findall(r"@import[^;]*|url\((?!#)[^)]*\)", page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if tag in ("script", "link", "iframe", "object", "embed", "img"):
            self.found.append(tag)
        for name, value in attributes:
            if name in ("src", "href", "xlink:href", "srcset") and not (value or "").startswith(
                ("#", "data:")
            ):
                self.found.append(f"{tag} {name}={value}")


def test_page_and_files_of_a_comparison(tmp_path: Path):
    page = write_report(tmp_path / "new" / "report", comparison(4, 8))
    names = {path.name for path in page.parent.iterdir()}
    pictures = {"peaks.png", "timelines.png", "growth.png"}
    assert names == pictures | {"report.html", "memory.csv", "memory.json"}
    for name in pictures:
        assert (page.parent / name).read_bytes().startswith(PNG_START)
    text = page.read_text()
    assert text.count("<svg") == 3
    assert References(text).found == []
    # the first level of each tree stands open, however small its share
    assert len(re.findall(r"<details[^>]* open><summary>\s*<span>video</span>", text)) == 3
    # Peaks of 4 frames in MiB: 160 + 1.25, 80 + 1.25, 40 + 1.25; each against the one before.
    for figure in ("161.3 MiB", "81.3 MiB", "41.3 MiB", "\N{MINUS SIGN}50%", "\N{MINUS SIGN}49%"):
        assert figure in text
    for fact in (
        "tracked tensors",
        "float32",
        "cpu (x86_64)",
        "3 anchors",
        "6 clips",
        "20% longer",
    ):
        assert fact in text
    assert "what &lt;dense&gt; &amp; does" in text and "<dense>" not in text


def test_each_saving_is_credited_to_what_saves_it(tmp_path: Path):
    result = comparison(4)
    result["variants"].insert(2, variant("dense_efficient_drop", 4, 50 * 2**20))
    text = " ".join(write_report(tmp_path, result).read_text().split())
    for what, sizes in {
        "not storing attention probabilities": "161.3 MiB to 81.3 MiB",
        "dropping tokens": "81.3 MiB to 51.3 MiB",
        "sparse edges": "51.3 MiB to 41.3 MiB",
    }.items():
        assert f"memory by {what}: {sizes}" in text


def test_the_original_beside_ours(tmp_path: Path):
    assert "layers recomputed" not in write_report(tmp_path, comparison(4)).read_text()
    peaks = {"none": Ours(2**31, 2**30), "layers": Ours(2**31, 2**20)}
    all_beside = [Beside(entry, peaks) for entry in PUBLISHED]
    result = comparison(4) | {"original": [each.to_json() for each in all_beside]}
    text = write_report(tmp_path, result).read_text()
    for figure in ("2.00 GiB", "1.00 GiB", "1.0 MiB", "8.76 GB", "6.81 GiB"):
        assert figure in text
    assert "2.00 GiB | 1.00 GiB | 1.0 MiB | 8.76 GB" in markdown(in_order(all_beside[::-1]))


def test_one_number_of_frames_has_no_growth(tmp_path: Path):
    page = write_report(tmp_path, comparison(4))
    assert not (tmp_path / "growth.png").exists()
    assert "<th>frames</th>" not in page.read_text()


def test_one_variant_alone(tmp_path: Path):
    single = comparison(4)
    del single["variants"][:2]
    assert "41.3 MiB" in write_report(tmp_path, single).read_text()


def write_run(path: Path, records: list[dict]) -> Path:
    path.mkdir()
    lines = "".join(json.dumps(record) + "\n" for record in records)
    (path / "records.jsonl").write_text(lines)
    return path


def test_a_run_adds_its_curves_and_figures(tmp_path: Path):
    run_dir = write_run(tmp_path / "train", [full_record(step) for step in range(1, 61)])
    (run_dir / "deepspeed.json").write_text('{"zero_optimization": {"stage": 2}}')
    (run_dir / "launches.jsonl").write_text('{"world_size": 4}\n')
    egomcq = tmp_path / "egomcq.json"
    egomcq.write_text('{"inter": 43.21, "intra": null, "questions": {"inter": 250, "intra": 0}}')
    page = write_report(tmp_path / "out", comparison(4), read_run(run_dir, egomcq))
    for name in ("loss", "learning_rate", "throughput", "run_peaks"):
        assert (tmp_path / "out" / f"{name}.png").read_bytes().startswith(PNG_START)
    text = page.read_text()
    assert text.count("<svg") == 6
    assert References(text).found == []
    first, last = full_record(1)["loss"], full_record(60)["loss"]
    for figure in (f"{first:.3f} → {last:.3f}", "3.00 GiB", "11.5", "43.2%", "250 questions"):
        assert figure in text
    assert "intra" not in text


@pytest.mark.parametrize(
    ("records", "pictures"),
    [
        ([{"step": 1, "loss": 2.0}], {"loss"}),
        ([{"step": 1, "loss": None, "learning_rate": 0.1}], {"learning_rate"}),
        ([{"step": s, "peak_bytes": 5} for s in (1, 2)], {"run_peaks"}),
        ([{"step": 1, "peak_bytes": 9}, {"step": 2, **full_record(2)}], None),
        ([{"unknown": 1}], set()),
    ],
)
def test_missing_fields_are_missing_pictures(tmp_path: Path, records, pictures):
    page = write_report(tmp_path / "out", None, TrainedRun("train", records))
    found = {path.stem for path in page.parent.glob("*.png")}
    assert found == (
        {"loss", "learning_rate", "throughput", "run_peaks"} if pictures is None else pictures
    )
    assert not (tmp_path / "out" / "memory.csv").exists()


def test_an_unfinished_last_line_is_ignored(tmp_path: Path):
    run_dir = write_run(tmp_path / "train", [full_record(1), full_record(2)])
    with (run_dir / "records.jsonl").open("a") as file:
        file.write('{"step": 3, "lo')
    assert [record["step"] for record in read_run(run_dir).records] == [1, 2]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "not a training run: it has no records.jsonl"),
        ({"records.jsonl": ""}, "no records yet"),
        ({"records.jsonl": '{"step": 1}\n{"step"\n{"step": 2}\n'}, "line 2: not valid JSON"),
        ({"records.jsonl": '{"step": 1}\n', "deepspeed.json": "[]"}, "must hold a JSON object"),
    ],
)
def test_a_directory_without_records_is_one_clear_line(tmp_path: Path, files, message):
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(ConfigError, match=message) as error:
        read_run(tmp_path)
    assert str(tmp_path) in str(error.value) and "\n" not in str(error.value)


def test_a_missing_or_other_result_is_one_clear_line(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"mcq.json: no such file"):
        read_run(None, tmp_path / "mcq.json")
    (tmp_path / "mcq.json").write_text('{"peak_bytes": 1}')
    with pytest.raises(ConfigError, match=r"mcq.json: no inter and intra"):
        read_run(None, tmp_path / "mcq.json")


def test_nothing_to_report(tmp_path: Path):
    with pytest.raises(ValueError, match="neither"):
        write_report(tmp_path, None)


def test_units():
    assert show_bytes(8.76 * 2**30) == "8.76 GiB"
    assert show_bytes(2**20 * 91.25) == "91.2 MiB"
    assert show_bytes(2**10 * 3) == "3.0 KiB"
    assert (show_seconds(1.234), show_seconds(0.0312)) == ("1.23 s", "31 ms")
