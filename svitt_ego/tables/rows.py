"""The rows of the tables: what each changes in the one recipe that they share."""

from dataclasses import dataclass
from typing import Literal

Table = Literal["objective", "sparsity", "ablation", "shortcut", "headline"]

DENSE = (
    "model.video.edge_sparsity=null",
    "model.video.node_sparsity=null",
    "model.fusion.node_sparsity=null",
)
INFONCE = ("objectives.contrastive.name=infonce", "objectives.contrastive.scene_negatives=false")
WARM_START = DENSE
"""What all rows start from has not learnt to do without any token, as published encoders. It knows
motions already: before a model tells any apart, rows of all kinds answer alike."""


@dataclass(frozen=True)
class Row:
    name: str
    title: str
    tables: tuple[Table, ...]
    overrides: tuple[str, ...] = ()
    """Of the recipe."""


def _strategy(name: str) -> tuple[str, ...]:
    return tuple(f"model.{part}.node_sparsity.strategy={name}" for part in ("video", "fusion"))


OURS = Row("sparse", "sparse, EgoNCE", ("objective", "sparsity", "ablation"))
INFONCE_ROW = Row("infonce", "sparse, InfoNCE", ("objective",), INFONCE)
DENSE_ROW = Row("dense", "dense, EgoNCE", ("sparsity", "ablation"), DENSE)
SEEDED = (OURS, INFONCE_ROW, DENSE_ROW)
"""Rows of Tables 1 and 2: several seeds each."""
ALL_EDGES = Row("sparse_all_edges", "sparse, EgoNCE, evaluated with all edges", ("sparsity",))
"""Not trained: the runs of `OURS`, scored otherwise."""

ABLATIONS = (
    Row("edges", "edges alone", ("ablation",), DENSE[1:]),
    Row("nodes", "nodes alone", ("ablation",), DENSE[:1]),
    Row("edges_1_5", "edges (1, 5)", ("ablation",), ("model.video.edge_sparsity.random_blocks=5",)),
    Row("keep_90", "keep rate 0.9", ("ablation",), ("model.video.node_sparsity.keep_rate=0.9",)),
    Row("keep_50", "keep rate 0.5", ("ablation",), ("model.video.node_sparsity.keep_rate=0.5",)),
    Row("random", "random tokens dropped", ("ablation",), _strategy("random")),
    Row("fuse", "dropped tokens fused (EViT)", ("ablation",), _strategy("fuse")),
    Row("merge", "like tokens merged (ToMe)", ("ablation",), _strategy("merge")),
    Row(
        "no_negatives",
        "no scene-aware negatives",
        ("ablation",),
        ("objectives.contrastive.scene_negatives=false",),
    ),
)

ONE_FRAME = Row("one_frame", "trained on one frame", ("shortcut",), (*DENSE, "data.frames=1"))
HEADLINE = Row("headline", "sparse, EgoNCE, from nothing", ("headline",), ("data.epoch_share=1.0",))
