"""The sizes EgoSynth comes in."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Size:
    """How much to generate. Videos last about `video_s`; frames are `width` x `height` pixels."""

    train_videos: int
    test_videos: int
    video_s: float
    fps: int
    width: int
    height: int
    chunk_s: int
    questions_per_type: int


SIZES: dict[str, Size] = {
    "tiny": Size(3, 5, 12.0, 10, 96, 72, 5, 5),
    "demo": Size(86, 24, 60.0, 10, 128, 96, 15, 240),
    "small": Size(240, 64, 90.0, 12, 128, 96, 15, 1000),
    "full": Size(900, 180, 120.0, 12, 128, 96, 15, 4000),
}
