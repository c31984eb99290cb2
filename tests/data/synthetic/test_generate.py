import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest

from svitt_ego.data.synthetic import generate as generate_module
from svitt_ego.data.synthetic.generate import generate
from svitt_ego.data.synthetic.sizes import SIZES

TINY = SIZES["tiny"]
TEXTS = ("egoclip.csv", "egomcq.json", "taxonomy.json", "manifest.json")


def read_rows(folder: Path) -> list[dict[str, str]]:
    with open(folder / "egoclip.csv", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def decode(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def assert_same_dataset(first: Path, second: Path) -> None:
    for name in TEXTS + ("tokenizer/tokenizer.json", "tokenizer/tokenizer_config.json"):
        assert (first / name).read_bytes() == (second / name).read_bytes(), name
    videos = sorted(path.relative_to(first) for path in first.glob("videos/*/*.mp4"))
    assert videos == sorted(path.relative_to(second) for path in second.glob("videos/*/*.mp4"))
    for path in videos:
        np.testing.assert_array_equal(decode(first / path), decode(second / path))


def test_egoclip_columns_and_tags(tiny_dataset: Path):
    rows = read_rows(tiny_dataset)
    taxonomy = json.loads((tiny_dataset / "taxonomy.json").read_text())
    assert list(rows[0]) == [
        "clip_idx",
        "video_uid",
        "video_dur",
        "narration_source",
        "narration_ind",
        "narration_time",
        "clip_start",
        "clip_end",
        "clip_text",
        "tag_verb",
        "tag_noun",
    ]
    assert [int(row["clip_idx"]) for row in rows] == list(range(len(rows)))
    for row in rows:
        verbs, nouns = json.loads(row["tag_verb"]), json.loads(row["tag_noun"])
        assert all(0 <= verb < len(taxonomy["verbs"]) for verb in verbs) and len(verbs) == 1
        assert all(0 <= noun < len(taxonomy["nouns"]) for noun in nouns)
        assert row["clip_text"].startswith("#C C ")
        start, end = float(row["clip_start"]), float(row["clip_end"])
        assert 0 <= start < float(row["narration_time"]) < end <= float(row["video_dur"])
        assert 0.8 <= end - start <= 2.1
        assert any(
            name in row["clip_text"]
            for noun in nouns
            for name in taxonomy["nouns"][noun]["synonyms"]
        ) or (not nouns and "#unsure" in row["clip_text"])


def test_chunks_cover_each_video(tiny_dataset: Path):
    rows = read_rows(tiny_dataset)
    durations = {row["video_uid"]: float(row["video_dur"]) for row in rows}
    assert len(durations) == TINY.train_videos
    for uid, duration_s in durations.items():
        frames = round(duration_s * TINY.fps)
        names = sorted(path.name for path in (tiny_dataset / "videos" / uid).iterdir())
        chunk_frames = TINY.chunk_s * TINY.fps
        assert names == [f"{k}.mp4" for k in range(-(-frames // chunk_frames))]
        for k, name in enumerate(names):
            with av.open(str(tiny_dataset / "videos" / uid / name)) as container:
                stream = container.streams.video[0]
                assert stream.codec_context.name == "h264"
                assert stream.codec_context.pix_fmt == "yuv420p"
                assert (stream.width, stream.height) == (TINY.width, TINY.height)
                assert stream.average_rate == TINY.fps
                times = [frame.time for frame in container.decode(video=0)]
            expected = min(chunk_frames, frames - k * chunk_frames)
            np.testing.assert_allclose(times, np.arange(expected) / TINY.fps, atol=1e-6)


def test_some_clips_cross_a_chunk_border(tiny_dataset: Path):
    crossing = [
        row
        for row in read_rows(tiny_dataset)
        if float(row["clip_start"]) // TINY.chunk_s != float(row["clip_end"]) // TINY.chunk_s
    ]
    assert crossing


def test_training_and_question_videos_differ(tiny_dataset: Path):
    questions = json.loads((tiny_dataset / "egomcq.json").read_text())
    train = {row["video_uid"] for row in read_rows(tiny_dataset)}
    asked = {
        clip["video_uid"]
        for question in questions.values()
        for clip in (question["query"], *question["choices"].values())
    }
    made = {path.name for path in (tiny_dataset / "videos").iterdir()}
    assert not train & asked
    assert train | asked == made
    assert len(questions) == 2 * TINY.questions_per_type


def test_workers_do_not_change_the_dataset(tiny_dataset: Path, tmp_path: Path):
    # Through the command line, as worker processes start from the caller's main module.
    repository = Path(generate_module.__file__).parents[3]
    command = [
        sys.executable,
        str(repository / "launch" / "make_egosynth.py"),
        *("--output", str(tmp_path / "out"), "--size", "tiny", "--seed", "3", "--workers", "2"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=repository)
    assert done.returncode == 0, done.stderr
    assert_same_dataset(tiny_dataset, tmp_path / "out")


def test_interrupted_generation_is_continued(
    tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    made = []
    real = generate_module.make_video

    def dies_at_third(folder: Path, size: object, seed: int, index: int) -> None:
        if len(made) == 2:
            raise KeyboardInterrupt
        real(folder, size, seed, index)
        made.append(index)

    monkeypatch.setattr(generate_module, "make_video", dies_at_third)
    with pytest.raises(KeyboardInterrupt):
        generate(tmp_path, "tiny", seed=3, workers=1, progress=False)
    assert not (tmp_path / "manifest.json").exists()
    finished = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "videos").iterdir()}
    half = tmp_path / "videos" / ".half.partial"
    half.mkdir()
    (half / "0.mp4").write_bytes(b"cut off")
    monkeypatch.setattr(generate_module, "make_video", real)
    generate(tmp_path, "tiny", seed=3, workers=1, progress=False)
    assert len(finished) == 2
    for name, changed_ns in finished.items():
        assert (tmp_path / "videos" / name).stat().st_mtime_ns == changed_ns
    assert_same_dataset(tiny_dataset, tmp_path)


def test_complete_dataset_is_reused_and_a_lost_video_made_again(
    tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    copy = tmp_path / "copy"
    shutil.copytree(tiny_dataset, copy)
    lost = sorted((copy / "videos").iterdir())[0]
    shutil.rmtree(lost)
    generate(copy, "tiny", seed=3, workers=1, progress=False)
    assert_same_dataset(tiny_dataset, copy)
    monkeypatch.setattr(generate_module, "make_video", lambda *_: pytest.fail("made again"))
    monkeypatch.setattr(generate_module, "_write_annotations", None)
    generate(copy, "tiny", seed=3, workers=1, progress=False)


def test_another_dataset_is_not_overwritten(tiny_dataset: Path, tmp_path: Path):
    with pytest.raises(ValueError, match="seed 3, wanted 4"):
        generate(tiny_dataset, "tiny", seed=4)
    (tmp_path / "egoclip.csv").write_text("real data")
    with pytest.raises(ValueError, match="not empty"):
        generate(tmp_path, "tiny")
    assert (tmp_path / "egoclip.csv").read_text() == "real data"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": "huge"}, "unknown EgoSynth size 'huge'"),
        ({"size": "tiny", "seed": -1}, "seed must not be negative"),
        ({"size": "tiny", "workers": 0}, "workers must be at least 1"),
    ],
)
def test_bad_arguments(tmp_path: Path, arguments: dict, message: str):
    with pytest.raises(ValueError, match=message):
        generate(tmp_path / "out", **arguments)
    assert not (tmp_path / "out").exists()


def test_seeds_give_different_videos(tiny_dataset: Path, tmp_path: Path):
    generate_module.make_video(tmp_path, TINY, 4, 0)
    other = next((tmp_path / "videos").iterdir())
    assert not (tiny_dataset / "videos" / other.name).exists()


def test_every_size_has_whole_frames_and_chunks():
    for size in SIZES.values():
        assert size.width % 2 == 0 and size.height % 2 == 0
        assert size.width * 3 == size.height * 4
        assert size.test_videos >= 5
