"""The features of a real, tiny model."""

import torch

from svitt_ego.config.schema import Model
from svitt_ego.evaluation.embedding import embedders
from svitt_ego.models import SViTTEgo

TINY = {
    "video": {"layers": 2, "width": 32, "heads": 2, "mlp_width": 64, "image_size": 32}
    | {"patch_size": 8, "edge_sparsity": {"block_size": 4}}
    | {"node_sparsity": {"layers": [0], "keep_rate": 0.7}},
    "text": {"layers": 1, "width": 32, "heads": 2, "mlp_width": 64, "vocabulary_size": 50},
    "fusion": {"layers": 1, "node_sparsity": None},
    "projection_width": 16,
}


def test_features_are_unit_vectors_that_neither_dropout_nor_the_batch_changes():
    torch.manual_seed(0)
    model = SViTTEgo(Model.model_validate(TINY)).train()
    embed_video, embed_text = embedders(model)
    video = torch.randint(0, 256, (5, 3, 3, 32, 32), dtype=torch.uint8)
    ids = torch.randint(0, 50, (5, 7))
    mask = torch.ones_like(ids)
    for together, apart in (
        (embed_video(video, range(5)), [embed_video(clip[None], [0]) for clip in video]),
        (
            embed_text(ids, mask),
            [embed_text(i[None], m[None]) for i, m in zip(ids, mask, strict=True)],
        ),
    ):
        assert together.shape == (5, 16) and not together.requires_grad
        assert torch.allclose(together.norm(dim=1), torch.ones(5), atol=1e-5)
        assert torch.allclose(together, torch.cat(apart), atol=1e-5)


def test_half_precision_gives_nearly_the_same():
    torch.manual_seed(0)
    model = SViTTEgo(Model.model_validate(TINY))
    video = torch.randint(0, 256, (5, 3, 3, 32, 32), dtype=torch.uint8)
    exact = embedders(model)[0](video, range(5))
    rough = embedders(model.bfloat16())[0](video, range(5))
    assert rough.dtype == torch.bfloat16
    assert ((exact * rough.float()).sum(dim=1) > 0.99).all()
