"""Pictures as something that plays: a GIF for pages, an mp4 for players and slides."""

from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

_SHOWN_FPS = 10
"""Players handle few frames a second badly, so pictures are repeated up to about this rate."""


def save_gif(frames: Sequence[NDArray[np.uint8]], path: Path, fps: int) -> None:
    """Frames (height, width, 3), over and over."""
    first, *others = (Image.fromarray(frame) for frame in frames)
    first.save(path, save_all=True, append_images=others, duration=1000 // fps, loop=0)


def save_mp4(frames: Sequence[NDArray[np.uint8]], path: Path, fps: int) -> None:
    """Frames (height, width, 3) of even sizes, once, as H.264."""
    height, width = frames[0].shape[:2]
    repeats = max(1, _SHOWN_FPS // fps)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps * repeats, options={"crf": "18"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for frame in frames:
            for _ in range(repeats):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
