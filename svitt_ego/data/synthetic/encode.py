"""Write frames as H.264 chunks `{folder}/{k}.mp4`."""

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

GOP_FRAMES = 15


def encode_chunks(
    frames: Iterable[np.ndarray], folder: Path, fps: int, chunk_frames: int, crf: int = 26
) -> int:
    """Encode uint8 RGB frames (height, width, 3), even sizes, into chunks; return their number.

    Chunk k holds frames [k * chunk_frames, (k + 1) * chunk_frames); the last one may be shorter.
    One thread and a fixed preset: the same frames give the same streams everywhere.
    """
    chunk, container, stream = 0, None, None
    for index, frame in enumerate(frames):
        if index % chunk_frames == 0:
            if container is not None:
                _finish(container, stream)
            container = av.open(str(folder / f"{chunk}.mp4"), "w")
            stream = _open_stream(container, frame.shape, fps, crf)
            chunk += 1
        picture = av.VideoFrame.from_ndarray(
            cv2.cvtColor(frame, cv2.COLOR_RGB2YUV_I420), format="yuv420p"
        )
        picture.pts = index % chunk_frames
        container.mux(stream.encode(picture))
    if container is not None:
        _finish(container, stream)
    return chunk


def _open_stream(
    container: av.container.OutputContainer, shape: tuple[int, ...], fps: int, crf: int
) -> av.VideoStream:
    options = {"preset": "ultrafast", "crf": str(crf), "g": str(GOP_FRAMES), "threads": "1"}
    stream = container.add_stream("libx264", rate=fps, options=options)
    stream.height, stream.width = shape[:2]
    stream.pix_fmt = "yuv420p"
    stream.codec_context.time_base = Fraction(1, fps)
    return stream


def _finish(container: av.container.OutputContainer, stream: av.VideoStream) -> None:
    container.mux(stream.encode(None))
    container.close()
