"""The sizes EgoSynth-NLQ comes in."""

from dataclasses import dataclass


@dataclass(frozen=True)
class NlqSize:
    """How much to generate. A video is of `tables` scenes, each of about `table_s` seconds, and is
    asked about `queries` times; frames are `width` x `height` pixels."""

    train_videos: int
    val_videos: int
    test_videos: int
    tables: int
    table_s: float
    queries: int
    fps: int
    width: int
    height: int
    chunk_s: int

    @property
    def videos(self) -> int:
        return self.train_videos + self.val_videos + self.test_videos

    def split_of(self, index: int) -> str:
        """Training videos come first, then those of val and test."""
        if index < self.train_videos:
            return "train"
        return "val" if index < self.train_videos + self.val_videos else "test"


NLQ_SIZES: dict[str, NlqSize] = {
    "tiny": NlqSize(3, 2, 1, 2, 9.0, 6, 10, 96, 72, 5),
    "demo": NlqSize(200, 36, 4, 5, 24.0, 16, 10, 128, 96, 15),
    "full": NlqSize(900, 300, 100, 20, 24.0, 12, 12, 128, 96, 60),
}
