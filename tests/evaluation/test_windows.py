"""Windows of long clips, by the numbers that the frames carry, across chunk borders."""

import pytest
import torch

from svitt_ego.config.schema import VideoFiles
from svitt_ego.data.long_clip import LongClip
from svitt_ego.evaluation.clip_reading import ClipReading
from svitt_ego.evaluation.windows import Windowing, read_stretches, read_windows
from tests.data.ego_files import frame_numbers, write_video

FPS, CHUNK_FRAMES = 10, 25


@pytest.fixture
def reading(tmp_path):
    """One video of 60 frames, numbered from 0, in chunks of 2.5 s."""
    for chunk, frames in enumerate((25, 25, 10)):
        path = tmp_path / "long" / f"{chunk}.mp4"
        write_video(path, frames, FPS, first_number=chunk * CHUNK_FRAMES)
    files = VideoFiles(root=str(tmp_path), layout="index", chunk_s=CHUNK_FRAMES / FPS)
    return ClipReading(files, frames=4, image_size=32, batch_size=5, workers=0)


def test_how_many_windows():
    windowing = Windowing(window_frames=4, stride_frames=4, fps=30.0)
    assert windowing.count(480.0) == 3600
    assert windowing.count(479.999) == 3599  # the last would end after the clip
    assert Windowing(16, 8, 30.0).count(1.0) == 2  # frames 0-15 and 8-23 of 30
    assert windowing.count(0.01) == 1
    assert windowing.span_s(0, 0.01) == (0.0, 0.01)


@pytest.mark.parametrize(("window", "stride"), [(4, 4), (4, 1), (8, 6), (2, 3)])
def test_frames_of_every_window(reading, window, stride):
    clip = LongClip("clip", "long", start_s=1.0, end_s=6.0)  # frames 10 to 59, two borders
    windowing = Windowing(window, stride, float(FPS))
    count = windowing.count(clip.duration_s)
    assert count == 1 + (50 - window) // stride
    stretches = list(read_stretches([clip], [0], windowing, reading))
    assert [stretch.first for stretch in stretches] == list(range(0, count, 5))
    seen = [frame_numbers(video) for stretch in stretches for video in stretch.video]
    # the frames at the middles of four equal parts of each window
    wanted = [
        [10 + index * stride + int((part + 0.5) * window / 4) for part in range(4)]
        for index in range(count)
    ]
    assert seen == wanted


def test_windows_read_together_are_those_read_alone(reading):
    clip = LongClip("clip", "long", 0.0, 6.0)
    windowing = Windowing(6, 2, float(FPS))
    together = read_windows(clip, range(8, 15), windowing, reading)
    alone = [read_windows(clip, range(i, i + 1), windowing, reading) for i in range(8, 15)]
    assert torch.equal(together, torch.cat(alone))


def test_a_fault_is_named(reading, tmp_path):
    (tmp_path / "long" / "1.mp4").write_bytes(b"not a video")
    clip = LongClip("clip", "long", 0.0, 6.0)
    stretches = list(read_stretches([clip], [0], Windowing(4, 4, float(FPS)), reading))
    assert [stretch.fault is None for stretch in stretches] == [True, False, False]
    assert stretches[1].fault.cause == "corrupt"
