"""One video of the dataset, from seed to finished chunks."""

from pathlib import Path

import cv2

from svitt_ego.data.synthetic.encode import encode_chunks
from svitt_ego.data.synthetic.render import Renderer
from svitt_ego.data.synthetic.script import write_script
from svitt_ego.data.synthetic.sizes import Size


def make_video(folder: Path, size: Size, seed: int, index: int) -> None:
    """Render and encode video `index` to `folder`/videos/{video_uid}, which appears when done."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        script = write_script(seed, index, size.video_s, size.fps)
        renderer = Renderer(script, size.width, size.height)
        final = folder / "videos" / script.video_uid
        partial = final.with_name(f".{script.video_uid}.partial")
        partial.mkdir(parents=True)
        frames = (
            renderer.frame(frame / size.fps) for frame in range(round(script.duration_s * size.fps))
        )
        encode_chunks(frames, partial, size.fps, size.chunk_s * size.fps)
        partial.rename(final)
    finally:
        cv2.setNumThreads(threads)
