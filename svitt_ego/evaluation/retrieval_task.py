"""What is to be retrieved, wherever it comes from."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from svitt_ego.evaluation.video_clip import VideoClip


@dataclass(frozen=True)
class RetrievalTask:
    """Clips and sentences, and how relevant they are to each other: (clips, sentences) in [0, 1]"""

    clips: tuple[VideoClip, ...]
    sentences: tuple[str, ...]
    relevance: NDArray[np.float32]
