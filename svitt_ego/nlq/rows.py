"""What `make nlq` trains and scores."""

from dataclasses import dataclass

VIDEO_TEXT, NARRATIONS, QUERIES, BASELINE = (
    f"nlq/{name}" for name in ("video_text", "narrations", "queries", "vslnet")
)
CENTRE = "centre prior"
"""Windows around the middle of the clip, of no model."""


@dataclass(frozen=True)
class Row:
    """A grounding model to train and score."""

    name: str
    folder: str
    """Of its runs."""
    recipe: str = QUERIES
    pretrains: bool = True
    """On narrations first."""
    sees: bool = True
    """False: its features are noise."""
    reads: bool = True
    """False: all its queries are the same."""


MAIN = Row("GroundNLQ", "grounding")
ROWS = (
    MAIN,
    Row("GroundNLQ, no pre-training", "untaught", pretrains=False),
    Row("VSLNet", "vslnet", recipe=BASELINE, pretrains=False),
    Row("random features", "random_features", pretrains=False, sees=False),
    Row("text-free", "text_free", pretrains=False, reads=False),
)
FLOORS = ("random features", "text-free", CENTRE)
