"""Exactly the wanted frames, from any layout and across chunk borders, or a `VideoError`."""

import gc
import importlib.metadata
import os
import pickle
import shutil
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.reformatter import VideoReformatter

from svitt_ego.config.schema import VideoFiles
from svitt_ego.data.video import decord_frames, pyav_frames
from svitt_ego.data.video.chunks import chunk_path
from svitt_ego.data.video.clip import read_clip
from svitt_ego.data.video.decord_frames import load_decord
from svitt_ego.data.video.errors import DecoderError, VideoError
from svitt_ego.data.video.frames import read_frames
from svitt_ego.data.video.whole_file import decode_whole
from tests.data.ego_files import frame_numbers, write_audio, write_video

FPS = 10
CHUNK_S = 4
CHUNK_FRAMES = FPS * CHUNK_S
TOTAL_FRAMES = 2 * CHUNK_FRAMES + 25  # the last chunk is shorter


@pytest.fixture(scope="module")
def roots(tmp_path_factory):
    """The same numbered video in the three layouts."""
    root = tmp_path_factory.mktemp("videos")
    for chunk in range(3):
        frames = min(CHUNK_FRAMES, TOTAL_FRAMES - chunk * CHUNK_FRAMES)
        path = root / "index" / "uid" / f"{chunk}.mp4"
        write_video(path, frames, FPS, first_number=chunk * CHUNK_FRAMES)
        other = root / "start_second" / "uid.mp4" / f"{chunk * CHUNK_S}.mp4"
        other.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, other)
    write_video(root / "whole" / "uid.mp4", TOTAL_FRAMES, FPS)
    return root


@pytest.fixture(params=["pyav", "decord"])
def decoder(request):
    return request.param


def files(roots, layout, decoder="auto"):
    root = str(roots / layout)
    return VideoFiles(root=root, layout=layout, chunk_s=float(CHUNK_S), decoder=decoder)


@pytest.mark.parametrize("layout", ["index", "start_second", "whole"])
def test_random_clips_have_exactly_the_frames_shown_at_their_times(roots, layout, decoder):
    rng = np.random.default_rng(1)
    for _ in range(25):
        # Away from frame borders, where rounding may go either way; many cross a chunk border.
        frames = np.sort(rng.integers(0, TOTAL_FRAMES, rng.integers(1, 9)))
        times_s = (frames + rng.uniform(0.01, 0.99, len(frames))) / FPS
        clip = read_clip(files(roots, layout, decoder), "uid", times_s)
        assert clip.shape == (len(frames), 3, 64, 64) and str(clip.dtype) == "torch.uint8"
        assert frame_numbers(clip) == frames.tolist()


def test_time_at_the_start_of_a_frame_shows_that_frame(roots, decoder):
    times_s = np.arange(TOTAL_FRAMES) / FPS
    clip = read_clip(files(roots, "index", decoder), "uid", times_s)
    assert frame_numbers(clip) == list(range(TOTAL_FRAMES))


def test_frame_rate_is_that_of_the_file(tmp_path, decoder):
    path = write_video(tmp_path / "uid.mp4", 50, fps=25)
    assert frame_numbers(
        read_frames(path, np.array([0.5, 1.9]), decoder).transpose(0, 3, 1, 2)
    ) == [12, 47]


def test_chunk_paths():
    of = {
        layout: chunk_path(VideoFiles(root="/data", layout=layout, chunk_s=300.0), "uid", 2)
        for layout in ("index", "start_second", "whole")
    }
    assert of == {
        "index": Path("/data/uid/2.mp4"),
        "start_second": Path("/data/uid.mp4/600.mp4"),
        "whole": Path("/data/uid.mp4"),
    }


@pytest.mark.parametrize("layout", ["index", "start_second", "whole"])
def test_slightly_past_the_end_is_the_last_frame_and_further_is_an_error(roots, layout, decoder):
    end_s = TOTAL_FRAMES / FPS
    clip = read_clip(files(roots, layout, decoder), "uid", np.array([end_s - 0.55, end_s + 0.4]))
    assert frame_numbers(clip) == [TOTAL_FRAMES - 6, TOTAL_FRAMES - 1]
    with pytest.raises(VideoError) as caught:
        read_clip(files(roots, layout, decoder), "uid", np.array([end_s - 0.55, end_s + 0.6]))
    assert caught.value.cause == "past the end"


def test_slightly_past_a_video_of_whole_chunks_is_its_last_frame(tmp_path):
    write_video(tmp_path / "uid" / "0.mp4", CHUNK_FRAMES, FPS)
    of = VideoFiles(root=str(tmp_path), layout="index", chunk_s=float(CHUNK_S))
    clip = read_clip(of, "uid", np.array([CHUNK_S - 0.05, CHUNK_S + 0.3]))
    assert frame_numbers(clip) == [CHUNK_FRAMES - 1, CHUNK_FRAMES - 1]
    with pytest.raises(VideoError, match=r"1\.mp4: missing"):
        read_clip(of, "uid", np.array([CHUNK_S - 0.05, CHUNK_S + 0.7]))


def corrupt(path, kind):
    good = write_video(path.with_name("good.mp4"), 30, FPS).read_bytes()
    if kind == "truncated":
        path.write_bytes(good[: len(good) // 2])
    elif kind == "text":
        path.write_text("not a video")
    elif kind == "empty":
        path.touch()
    elif kind == "audio":
        write_audio(path)


@pytest.mark.parametrize(
    ("kind", "cause"),
    [
        ("nothing", "missing"),
        ("empty", "empty"),
        ("text", "corrupt"),
        ("truncated", "corrupt"),
        ("audio", "no video stream"),
    ],
)
def test_a_bad_file_is_our_error_with_path_and_cause(tmp_path, capfd, decoder, kind, cause):
    path = tmp_path / "0.mp4"
    corrupt(path, kind)
    with pytest.raises(VideoError) as caught:
        read_frames(path, np.array([0.1, 0.2]), decoder)
    assert capfd.readouterr().err == ""  # thousands of bad files would bury all else
    assert (caught.value.path, caught.value.cause) == (path, cause)
    assert str(caught.value) == f"{path}: {cause}"
    again = pickle.loads(pickle.dumps(caught.value))  # it comes out of loader workers
    assert (again.path, again.cause) == (path, cause)


@pytest.mark.parametrize("seed", range(3))
def test_damage_anywhere_in_a_file_is_no_other_error(tmp_path, decoder, seed):
    """Half of it in the container's head, where damage is most varied."""
    path = write_video(tmp_path / "uid.mp4", 60, FPS, bf="3", b_strategy="0")
    good, times_s = path.read_bytes(), np.array([0.5, 3.2, 5.9])
    head = good.index(b"moov")
    rng = np.random.default_rng(seed)
    causes = []
    for _ in range(40):
        length = int(rng.choice([1, 4, 40]))
        place = int(rng.integers(rng.choice([0, head]), len(good) - length))
        path.write_bytes(good[:place] + rng.bytes(length) + good[place + length :])
        for read in (
            lambda: read_frames(path, times_s, decoder),
            lambda: decode_whole(path, decoder),
        ):
            try:
                read()
            except VideoError as error:
                causes.append(error.cause)
    assert len(causes) > 10


def test_names_in_a_file_may_be_of_another_encoding(tmp_path, decoder):
    path = write_video(tmp_path / "uid.mp4", 30, FPS)
    content = path.read_bytes()
    assert b"VideoHandler" in content
    path.write_bytes(content.replace(b"VideoHandler", "Vidéo Händle".encode("latin-1")))
    found = read_frames(path, np.array([0.55, 1.25]), decoder)
    assert frame_numbers(found.transpose(0, 3, 1, 2)) == [5, 12]
    assert decode_whole(path, decoder).frames == 30


def pixels_of_all(path):
    """Every frame, decoded from the first to the last."""
    reformatter = VideoReformatter()
    with av.open(str(path)) as container:
        return np.stack(
            [
                reformatter.reformat(frame, format="rgb24", threads=1).to_ndarray()
                for frame in container.decode(video=0)
            ]
        )


STRUCTURES = {
    "no B frames": {"bf": "0"},
    "pyramid of B frames": {"bf": "5", "b-pyramid": "normal", "b_strategy": "0"},
    "open groups": {"bf": "3", "b_strategy": "0", "x264-params": "open-gop=1:scenecut=0"},
    "one key frame": {"g": "1000", "bf": "3", "b_strategy": "0"},
    "only key frames": {"g": "1"},
}


@pytest.mark.parametrize("structure", STRUCTURES)
def test_pixels_are_those_of_a_full_decode(tmp_path, structure):
    path = write_video(tmp_path / "uid.mp4", 150, FPS, **STRUCTURES[structure])
    all_pixels = pixels_of_all(path)
    assert len(all_pixels) == 150
    rng = np.random.default_rng(5)
    for _ in range(30):
        frames = np.sort(rng.choice(150, rng.integers(1, 7), replace=False))
        found = read_frames(path, (frames + 0.5) / FPS, "pyav")
        assert np.array_equal(found, all_pixels[frames])


def test_open_groups_in_the_test_are_open(tmp_path):
    """Else nothing above tries frames that need the key frame before their own."""
    path = write_video(tmp_path / "uid.mp4", 60, FPS, **STRUCTURES["open groups"])
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    keys = [place for place, packet in enumerate(packets) if packet.is_keyframe]
    assert any(packets[key + 1].pts < packets[key].pts for key in keys[1:])


def test_unwanted_frames_are_mostly_not_decoded(tmp_path, monkeypatch):
    path = write_video(tmp_path / "uid.mp4", 1200, FPS, bf="5", b_strategy="0", g="60")
    taken = []
    real = pyav_frames._File._number_of
    monkeypatch.setattr(
        pyav_frames._File, "_number_of", lambda self, pts: taken.append(pts) or real(self, pts)
    )
    read_frames(path, np.array([100.55]), "pyav")
    assert 0 < len(taken) <= 2 * 60  # packets and frames of one group


def test_a_file_cut_short_behind_its_index_is_truncated(tmp_path, decoder):
    path = write_video(tmp_path / "uid.mp4", 200, FPS, movflags="+faststart")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])
    assert frame_numbers(read_frames(path, np.array([1.05]), "pyav").transpose(0, 3, 1, 2)) == [10]
    with pytest.raises(VideoError) as caught:
        read_frames(path, np.array([1.05, 19.05]), decoder)
    assert caught.value.cause in ("truncated", "corrupt")


def test_a_variable_frame_rate_is_an_error(tmp_path, decoder):
    pace = np.cumsum([10] * 40 + [30] * 40)
    path = write_video(tmp_path / "uid.mp4", 80, FPS, shown_at=(pace - pace[0]).tolist())
    with pytest.raises(VideoError, match="variable frame rate"):
        read_frames(path, np.array([3.05, 6.05]), decoder)


def test_another_frame_rate_than_the_recipe_expects_is_an_error(tmp_path, decoder):
    path = write_video(tmp_path / "uid.mp4", 50, fps=25)
    assert len(read_frames(path, np.array([0.5]), decoder, 25.0)) == 1
    with pytest.raises(VideoError, match="wrong frame rate"):
        read_frames(path, np.array([0.5]), decoder, 30.0)


def test_without_a_sample_table_auto_takes_decord(tmp_path):
    path = write_video(
        tmp_path / "uid.mp4", 60, FPS, movflags="+frag_keyframe+empty_moov+default_base_moof"
    )
    found = read_frames(path, np.array([1.05, 4.55]), "auto")
    assert frame_numbers(found.transpose(0, 3, 1, 2)) == [10, 45]
    with pytest.raises(VideoError, match="no sample table"):
        read_frames(path, np.array([1.05]), "pyav")


def test_no_file_stays_open(tmp_path, decoder):
    path = write_video(tmp_path / "uid.mp4", 60, FPS)
    read_frames(path, np.array([1.05]), decoder)
    with pytest.raises(VideoError):
        read_frames(path, np.array([99.0]), decoder)
    gc.collect()
    opened = {os.path.realpath(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd")}
    assert str(path) not in opened


def test_chunks_of_different_sizes_are_an_error(tmp_path, monkeypatch):
    sizes = {"0.mp4": 64, "1.mp4": 32}
    monkeypatch.setattr(
        "svitt_ego.data.video.clip.read_frames",
        lambda path, times_s, *_: np.zeros((len(times_s), sizes[path.name], 64, 3), np.uint8),
    )
    of = VideoFiles(root=str(tmp_path), layout="index", chunk_s=1.0)
    (tmp_path / "uid").mkdir()
    (tmp_path / "uid" / "1.mp4").touch()
    with pytest.raises(VideoError, match=r"1\.mp4: frame size differs"):
        read_clip(of, "uid", np.array([0.5, 1.5]))


@pytest.fixture
def fresh_import():
    load_decord.cache_clear()
    yield
    load_decord.cache_clear()


def test_decord2_is_refused(monkeypatch, fresh_import):
    monkeypatch.setattr(decord_frames, "version", lambda name: "3.4.0")
    with pytest.raises(DecoderError, match=r"decord2 3\.4\.0 is installed.*pip uninstall"):
        load_decord()


def test_decord_is_the_version_that_was_checked(fresh_import):
    assert importlib.metadata.version("decord") == "0.6.0"
    assert load_decord().__version__ == "0.6.0"
