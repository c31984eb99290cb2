"""Preparing videos: the right frames, structure, resuming after a kill, errors."""

import os
import signal
import struct
import subprocess
import sys
import time

import av
import numpy as np
import pytest

from svitt_ego.config import ConfigError
from svitt_ego.data.metadata.manifest import mark_of
from svitt_ego.data.preparation import prepare as prepare_module
from svitt_ego.data.preparation.prepare import prepare_videos
from svitt_ego.data.preparation.settings import Settings
from svitt_ego.data.video.clip import read_clip
from svitt_ego.durable_files import read_json_lines
from tests.data.ego_files import frame_numbers, write_audio, write_video

SMALL = Settings(short_side=32, fps=10, key_frame_every=5, chunk_s=4.0, crf=15)


def prepare(source, dest, settings=SMALL, workers=1):
    return prepare_videos(source, dest, settings, workers, progress=False)


def numbers_at(settings, dest, uid, times_s):
    return frame_numbers(read_clip(settings.files(dest), uid, np.array(times_s)))


@pytest.mark.parametrize("layout", ["index", "start_second", "whole"])
@pytest.mark.parametrize("source_fps", [5, 10, 25])
def test_each_frame_is_the_one_the_source_shows_then(tmp_path, source_fps, layout):
    frames = round(9.6 * source_fps)
    write_video(tmp_path / "source" / "uid.mp4", frames, source_fps, bf="3", b_strategy="0")
    settings = Settings(**{**vars(SMALL), "layout": layout})
    prepared = prepare(tmp_path / "source", tmp_path / "dest", settings)
    assert (prepared.videos, prepared.problems) == (1, ())
    assert prepared.chunks == (1 if layout == "whole" else 3)
    times_s = np.arange(96) / 10
    expected = np.floor(times_s * source_fps + 1e-3).astype(int)
    assert numbers_at(settings, tmp_path / "dest", "uid", times_s + 0.01) == expected.tolist()


def test_an_uneven_source_becomes_even(tmp_path):
    """Shown: 0 until 1 s, 1 until 1.5 s, 2 until 5 s, 3 to the end."""
    write_video(tmp_path / "source" / "uid.mp4", 5, 10, shown_at=[0, 100, 150, 500, 520], bf="0")
    prepare(tmp_path / "source", tmp_path / "dest")
    found = numbers_at(SMALL, tmp_path / "dest", "uid", np.arange(52) / 10 + 0.05)
    assert found == [0] * 10 + [1] * 5 + [2] * 35 + [3] * 2


def test_size_rate_and_key_frames_are_as_asked(tmp_path):
    write_video(tmp_path / "source" / "uid.mp4", 60, 25)
    prepare(tmp_path / "source", tmp_path / "dest")
    with av.open(str(tmp_path / "dest" / "uid" / "0.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.width, stream.height, stream.average_rate) == (32, 32, 10)
        assert not container.streams.audio
        keys = [packet.is_keyframe for packet in container.demux(stream) if packet.size]
    assert keys == [place % 5 == 0 for place in range(24)]
    larger = Settings(**{**vars(SMALL), "short_side": 512})
    prepare(tmp_path / "source", tmp_path / "larger", larger)
    with av.open(str(tmp_path / "larger" / "uid" / "0.mp4")) as container:
        assert container.streams.video[0].width == 64  # never enlarged


def test_the_manifest_names_every_chunk_with_its_checksum_and_the_source_is_kept(tmp_path):
    path = write_video(tmp_path / "source" / "uid.mp4", 90, 10)
    content = path.read_bytes()
    prepare(tmp_path / "source", tmp_path / "dest")
    assert path.read_bytes() == content
    head, *chunks = read_json_lines(tmp_path / "dest" / "manifest.jsonl")
    assert head["settings"]["fps"] == 10
    assert [(chunk["uid"], chunk["chunk"], chunk["frames"]) for chunk in chunks] == [
        ("uid", 0, 40), ("uid", 1, 40), ("uid", 2, 10),
    ]  # fmt: skip
    for chunk in chunks:
        mark = mark_of(tmp_path / "dest" / "uid" / f"{chunk['chunk']}.mp4")
        assert (mark.size_bytes, mark.sha256) == (chunk["size_bytes"], chunk["sha256"])


def test_only_what_is_missing_or_changed_is_made_again(tmp_path):
    source, dest = tmp_path / "source", tmp_path / "dest"
    for name in ("a", "b"):
        write_video(source / f"{name}.mp4", 60, 10)
    assert prepare(source, dest).already_there == 0
    assert prepare(source, dest).already_there == 4
    (dest / "a" / "1.mp4").unlink()
    (dest / "manifest.jsonl").open("a").write('{"uid": "b", "chu')  # killed while writing
    assert prepare(source, dest).already_there == 3
    write_video(source / "b.mp4", 60, 10, first_number=500)
    os.utime(source / "b.mp4", ns=(1, 1))
    assert prepare(source, dest).already_there == 2
    assert numbers_at(SMALL, dest, "b", [0.55, 4.55]) == [505, 545]
    assert numbers_at(SMALL, dest, "a", [0.55, 4.55]) == [5, 45]


def test_a_killed_run_goes_on_and_leaves_no_half_file(tmp_path):
    source, dest = tmp_path / "source", tmp_path / "dest"
    for name in range(4):
        write_video(source / f"{name}.mp4", 400, 10, first_number=1000 * name)
    command = [sys.executable, "launch/prepare_videos.py", str(source), str(dest), "--workers", "2"]
    for name, value in vars(SMALL).items():
        command += [f"--{name.replace('_', '-')}", str(value)]
    started = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while len(list(dest.glob("*/*.mp4"))) < 5 and time.monotonic() < deadline:
        assert started.poll() is None, "over before it could be killed"
        time.sleep(0.005)
    started.send_signal(signal.SIGKILL)
    started.wait()
    half_done = len(list(dest.glob("*/*.mp4")))
    assert 5 <= half_done < 40
    time.sleep(0.3)  # its workers end with it

    ended = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr
    assert "4 videos, 40 chunks" in ended.stdout and "(0 were there)" not in ended.stdout
    assert not list(dest.rglob(".*.partial"))
    for name in range(4):
        found = numbers_at(SMALL, dest, str(name), np.arange(0.25, 40, 1.0))
        assert found == [1000 * name + 10 * second + 2 for second in range(40)]


def test_a_bad_source_is_named_and_the_others_are_made(tmp_path, capfd):
    source, dest = tmp_path / "source", tmp_path / "dest"
    good = write_video(source / "good.mp4", 30, 10)
    (source / "text.mp4").write_text("no video")
    write_audio(source / "audio.mp4")
    cut = write_video(source / "cut.mp4", 200, 10, movflags="+faststart")
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    (source / "notes.txt").write_text("not looked at")
    prepared = prepare(source, dest)
    causes = {problem.path.name: problem.cause for problem in prepared.problems}
    assert causes.pop("cut.mp4") in ("truncated", "corrupt")
    assert causes == {"text.mp4": "corrupt", "audio.mp4": "no video stream"}
    assert numbers_at(SMALL, dest, "good", [0.55]) == [5] and good.is_file()
    assert "text.mp4: corrupt" in prepared.summary()
    assert capfd.readouterr().err == ""


def test_a_length_that_no_video_has_is_a_bad_source(tmp_path):
    """Else a damaged head would ask for millions of chunks."""
    path = write_video(tmp_path / "source" / "long.mkv", 30, 10)
    content = bytearray(path.read_bytes())
    place = content.index(b"\x44\x89\x88") + 3  # Matroska's Duration, a double
    content[place : place + 8] = struct.pack(">d", 1e13)  # ms
    path.write_bytes(content)
    prepared = prepare(tmp_path / "source", tmp_path / "dest")
    assert [problem.cause for problem in prepared.problems] == ["corrupt"]
    assert prepared.chunks == 0


def test_what_cannot_be_is_one_line(tmp_path, monkeypatch):
    source, dest = tmp_path / "source", tmp_path / "dest"
    with pytest.raises(ConfigError, match="source: no such folder"):
        prepare(source, dest)
    source.mkdir()
    with pytest.raises(ConfigError, match=r"no video \(\.mp4"):
        prepare(source, dest)
    write_video(source / "a.mp4", 30, 10)
    with pytest.raises(ConfigError, match="is the source folder"):
        prepare(source, source)
    prepare(source, dest)
    with pytest.raises(ConfigError, match=r"prepared with fps = 10, now it is 5"):
        prepare(source, dest, Settings(**{**vars(SMALL), "fps": 5}))
    with monkeypatch.context() as patched:
        noted = {**SMALL.encoder_options, "bf": "2"}
        patched.setattr(Settings, "encoder_options", property(lambda self: noted))
        with pytest.raises(ConfigError, match=r"prepared with encoder_options = .*'bf': '3'"):
            prepare(source, dest)
    manifest = dest / "manifest.jsonl"
    for text in ("[1]", "{}", '{"settings": 3}', '{"settings": {}}\n[1]'):
        manifest.write_text(text + "\n")
        with pytest.raises(
            ConfigError, match=r"manifest\.jsonl: (not a manifest|line \d: not a JSON object)"
        ):
            prepare(source, dest)
    manifest.unlink()
    write_video(source / "a.mkv", 30, 10)
    with pytest.raises(ConfigError, match="have one name"):
        prepare(source, dest)
    for chunk_s in (0.05, -2.0, float("nan"), float("inf")):
        with pytest.raises(ConfigError, match="whole number of frames"):
            Settings(chunk_s=chunk_s)
    with pytest.raises(ConfigError, match="preset = 'nonsense': must be one of ultrafast"):
        Settings(preset="nonsense")
    with pytest.raises(ConfigError, match="crf = 99: must be at most 51"):
        Settings(crf=99)


def test_a_full_disk_is_one_line(tmp_path, monkeypatch):
    write_video(tmp_path / "source" / "a.mp4", 30, 10)

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(prepare_module, "encode_chunk", full)
    with pytest.raises(ConfigError, match=r"No space left on device: make room"):
        prepare(tmp_path / "source", tmp_path / "dest")
