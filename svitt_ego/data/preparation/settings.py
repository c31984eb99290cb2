"""How videos are prepared."""

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from svitt_ego.config import ConfigError
from svitt_ego.config.schema import VideoFiles

PRESETS = (
    *("ultrafast", "superfast", "veryfast", "faster", "fast"),
    *("medium", "slow", "slower", "veryslow", "placebo"),
)
"""x264's, from the fastest to that of the smallest files."""
_WORST_CRF = 51


@dataclass(frozen=True)
class Settings:
    short_side: int = 256
    """Pixels; a smaller video keeps its size."""
    fps: int = 30
    """A frame is shown until the next one: n at n / fps is the source's frame at that time."""
    key_frame_every: int = 30
    """Frames. A clip is decoded from the key frame before it."""
    chunk_s: float = 600.0
    layout: Literal["index", "start_second", "whole"] = "index"
    crf: int = 23
    """x264's quality: lower is better and larger."""
    preset: str = "veryfast"
    """One of `PRESETS`."""

    def __post_init__(self) -> None:
        """
        Raises:
            ConfigError: a chunk is not a whole number of frames, or x264 knows no such value.
        """
        if self.preset not in PRESETS:
            raise ConfigError(f"preset = {self.preset!r}: must be one of {', '.join(PRESETS)}")
        if self.crf > _WORST_CRF:
            raise ConfigError(f"crf = {self.crf}: must be at most {_WORST_CRF}")
        frames = self.chunk_s * self.fps
        if not (math.isfinite(frames) and frames >= 1 and abs(frames - round(frames)) <= 1e-6):
            raise ConfigError(
                f"chunk_s = {self.chunk_s}: must be a whole number of frames at {self.fps} fps"
            )

    @property
    def chunk_frames(self) -> int:
        return round(self.chunk_s * self.fps)

    @property
    def encoder_options(self) -> dict[str, str]:
        """Of libx264."""
        return {
            "preset": self.preset,
            "crf": str(self.crf),
            "g": str(self.key_frame_every),
            "keyint_min": str(self.key_frame_every),
            "sc_threshold": "0",  # no key frames but those
            # always three frames between others that no frame refers to: a reader leaves them out
            "bf": "3",
            "b_strategy": "0",
            "b-pyramid": "none",
        }

    def noted(self) -> dict[str, Any]:
        """All that the result depends on, for its manifest."""
        return asdict(self) | {"encoder_options": self.encoder_options}

    def files(self, root: Path) -> VideoFiles:
        """As a recipe would name the result."""
        return VideoFiles(root=str(root), layout=self.layout, chunk_s=self.chunk_s)
