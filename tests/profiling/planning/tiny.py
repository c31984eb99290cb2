"""Overrides that make a paper's recipe a matter of seconds."""

TINY = (
    "model.video.layers=2",
    "model.video.node_sparsity.layers=[0]",
    "model.video.image_size=48",
    "model.video.edge_sparsity.block_size=3",
    "model.text.layers=1",
)
