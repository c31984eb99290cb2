"""Preparing videos and decoding clips of them. Each function runs in a process of its own."""

import tempfile
from pathlib import Path

import av
import cv2
import numpy as np

from svitt_ego.config.schema import DecoderName
from svitt_ego.data.bench.measure import cpu_seconds, seconds
from svitt_ego.data.bench.results import BenchRow
from svitt_ego.data.preparation.prepare import prepare_videos
from svitt_ego.data.preparation.settings import Settings
from svitt_ego.data.video.frames import read_frames

SECONDS = (600, 60, 15)
"""Lengths of the chunks."""
WIDTH, HEIGHT, FPS = 456, 256, 30
FRAMES, WINDOW_S = 4, 1.0
_CLIPS = 40


def prepared_chunks(folder: Path, lengths_s: tuple[int, ...] = SECONDS) -> dict[int, Path]:
    """Videos of a texture that a camera moves over, with noise, prepared; made where missing."""
    source = folder / "source"
    source.mkdir(parents=True, exist_ok=True)
    for length_s in lengths_s:
        if not (source / f"{length_s}.mp4").is_file():
            partial = source / f".{length_s}.partial.mp4"
            _write_source(partial, length_s)
            partial.rename(source / f"{length_s}.mp4")
    prepare_videos(source, folder / "prepared", Settings(), workers=2, progress=False)
    return {length_s: folder / "prepared" / f"{length_s}" / "0.mp4" for length_s in lengths_s}


def decoding(chunks: dict[int, Path]) -> list[BenchRow]:
    """CPU time of opening a file and reading a clip, both decoders in turns."""
    rows = []
    for length_s, path in chunks.items():
        spent_s = {"pyav": 0.0, "decord": 0.0}
        rng = np.random.default_rng(length_s)
        for clip in range(_CLIPS + 2):
            start_s = rng.uniform(0, length_s - WINDOW_S)
            times_s = start_s + (np.arange(FRAMES) + rng.random(FRAMES)) / FRAMES * WINDOW_S
            for decoder in spent_s:
                took_s = _read(path, times_s, decoder)
                if clip >= 2:  # warm
                    spent_s[decoder] += took_s
        ms = {decoder: 1e3 * total / _CLIPS for decoder, total in spent_s.items()}
        name = f"clip of {FRAMES} frames, {length_s}-s chunk; peer: decord"
        rows.append(BenchRow(name, ms["pyav"], "CPU ms", ms["decord"]))
    return rows


def preparing(chunks: dict[int, Path], length_s: int = SECONDS[-1]) -> list[BenchRow]:
    """On one worker, of a video that is small already."""
    with tempfile.TemporaryDirectory(dir=chunks[length_s].parents[2]) as folder:
        source, dest = Path(folder) / "source", Path(folder) / "prepared"
        source.mkdir()
        (source / "video.mp4").hardlink_to(chunks[length_s])
        took_s = seconds(lambda: prepare_videos(source, dest, Settings(), 1, progress=False))
    return [BenchRow("preparing, of one worker", length_s / took_s, "video s / s")]


def _read(path: Path, times_s: np.ndarray, decoder: DecoderName) -> float:
    return cpu_seconds(lambda: read_frames(path, times_s, decoder))


def _write_source(path: Path, length_s: int) -> None:
    rng = np.random.default_rng(length_s)
    coarse = rng.integers(0, 256, (60, 80, 3)).astype(np.uint8)
    world = cv2.resize(coarse, (3 * WIDTH, 3 * HEIGHT), interpolation=cv2.INTER_CUBIC)
    noise = [rng.integers(0, 9, (HEIGHT, WIDTH, 3)).astype(np.uint8) for _ in range(7)]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for n in range(length_s * FPS):
            centre = (WIDTH * (1.5 + np.sin(n / 47) * 0.9), HEIGHT * (1.5 + np.cos(n / 61) * 0.9))
            picture = cv2.add(cv2.getRectSubPix(world, (WIDTH, HEIGHT), centre), noise[n % 7])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
