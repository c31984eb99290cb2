"""How videos are prepared."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from svitt_ego.config import ConfigError
from svitt_ego.config.schema import VideoFiles


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
    """x264's: slower ones make smaller files."""

    def __post_init__(self) -> None:
        """
        Raises:
            ConfigError: a chunk is not a whole number of frames.
        """
        frames = self.chunk_s * self.fps
        if frames < 1 or abs(frames - round(frames)) > 1e-6:
            raise ConfigError(
                f"chunk_s = {self.chunk_s}: must be a whole number of frames at {self.fps} fps"
            )

    @property
    def chunk_frames(self) -> int:
        return round(self.chunk_s * self.fps)

    def files(self, root: Path) -> VideoFiles:
        """As a recipe would name the result."""
        return VideoFiles(root=str(root), layout=self.layout, chunk_s=self.chunk_s)
