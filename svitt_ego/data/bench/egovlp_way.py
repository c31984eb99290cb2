"""What EgoVLP's published loader does, written from its description, as a peer to compare with.

The table is a pandas frame of Python strings; a negative is looked for among all rows; tags are
evaluated as Python; a sampler lists all indices.
"""

from pathlib import Path

import numpy as np
import pandas as pd
from torch.utils.data import DistributedSampler

SEGMENT_S = 60


def load(path: Path) -> pd.DataFrame:
    """With the name of each row's segment, its video and minute."""
    frame = pd.read_csv(path, sep="\t", on_bad_lines="skip", dtype={"clip_end": object})
    for column in frame.select_dtypes(include=["string", "str"]):
        frame[column] = frame[column].astype(object)  # as pandas had them then
    minute = (frame["narration_time"] // SEGMENT_S).astype(str).astype(object)
    frame["segment_id"] = frame["video_uid"] + "_" + minute
    return frame


def row_and_negative(frame: pd.DataFrame, row: int, rng: np.random.Generator) -> tuple[str, str]:
    """The texts of a row and of any row of its segment, itself included."""
    anchor = frame.iloc[row]
    for tags in (anchor["tag_verb"], anchor["tag_noun"]):
        eval(tags)  # noqa: S307 - EgoVLP's way; these rows are of our own making
    segment = frame[frame["segment_id"] == anchor["segment_id"]]
    negative = segment.iloc[int(rng.integers(len(segment)))]
    return anchor["clip_text"], negative["clip_text"]


def epoch_order(rows: int, epoch: int) -> int:
    """Lists this rank's part of an epoch; returns its length."""
    sampler = DistributedSampler(range(rows), num_replicas=8, rank=0, seed=0)
    sampler.set_epoch(epoch)
    return len(list(sampler))
