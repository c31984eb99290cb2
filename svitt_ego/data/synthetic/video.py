"""One video of the dataset, from seed to finished chunks."""

from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np

from svitt_ego.data.synthetic.encode import encode_chunks
from svitt_ego.data.synthetic.render import Renderer
from svitt_ego.data.synthetic.script import write_script
from svitt_ego.data.synthetic.sizes import Size


def make_video(folder: Path, size: Size, seed: int, index: int) -> None:
    """Render and encode video `index` to `folder`/videos/{video_uid}, which appears when done."""
    script = write_script(seed, index, size.video_s, size.fps)
    renderer = Renderer(script, size.width, size.height)
    frames = (
        renderer.frame(frame / size.fps) for frame in range(round(script.duration_s * size.fps))
    )
    write_video(folder, script.video_uid, frames, size.fps, size.chunk_s)


def write_video(
    folder: Path, uid: str, frames: Iterable[np.ndarray], fps: int, chunk_s: int
) -> None:
    """Encode frames as they are drawn, by one thread, to `folder`/videos/{uid}, which appears when
    done."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        final = folder / "videos" / uid
        partial = final.with_name(f".{uid}.partial")
        partial.mkdir(parents=True)
        encode_chunks(frames, partial, fps, chunk_s * fps)
        partial.rename(final)
    finally:
        cv2.setNumThreads(threads)
