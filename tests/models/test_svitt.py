"""Import of the original SViTT checkpoint, and what the assembled model computes with it.

Tolerance: float32, 1e-5 of the largest value.
"""

import pytest
import torch
from torch.nn import functional as F

from svitt_ego.config.base import ConfigError
from svitt_ego.config.schema import (
    Data,
    FusionEncoder,
    Model,
    Recipe,
    TextEncoder,
    VideoEncoder,
    VideoFiles,
)
from svitt_ego.models import SViTTEgo
from tests.models import svitt_checkpoint as svitt

TEXT_LAYERS, VIDEO_LAYERS, HEADS, TEXT_HEADS = 2, 2, 4, 3


def recipe(**video) -> Recipe:
    """Of the size of `svitt_checkpoint.random_state`."""
    sizes = {"layers": VIDEO_LAYERS, "width": 16, "heads": HEADS, "mlp_width": 24}
    sizes |= {"image_size": 8, "patch_size": 4, "max_frames": 2, "pooling": "mean"}
    return Recipe(
        name="small",
        model=Model(
            video=VideoEncoder(**sizes | {"edge_sparsity": None, "node_sparsity": None} | video),
            text=TextEncoder(
                layers=TEXT_LAYERS,
                width=12,
                heads=TEXT_HEADS,
                mlp_width=20,
                vocabulary_size=30,
                max_positions=10,
            ),
            fusion=FusionEncoder(layers=2, node_sparsity=None),
            projection_width=8,
        ),
        data=Data(metadata="", videos=VideoFiles(root=""), frames=2, max_text_tokens=8),
    )


def assert_same(ours, theirs):
    torch.testing.assert_close(ours, theirs, atol=1e-5 * max(theirs.abs().max(), 1), rtol=0)


def test_every_output_is_svitts():
    state = svitt.random_state()
    model = SViTTEgo.from_svitt(state, recipe()).eval()
    video = torch.randint(0, 256, (3, 2, 3, 8, 8), dtype=torch.uint8)
    ids = torch.randint(0, 30, (3, 7))
    mask = torch.ones_like(ids)
    mask[1, 5:] = mask[2, 2:] = 0

    clips = model.encode_video(video)
    texts = model.encode_text(ids, mask)
    fused = model.fuse(texts.tokens, mask, clips.tokens)
    for i in range(3):
        tokens = svitt.video_tokens(state, video[i], HEADS, VIDEO_LAYERS)
        pooled = svitt.norm(state, "vision_encoder.pooler.layernorm", tokens[1:].mean(0))
        seen = mask[i].bool()
        text = svitt.text_tokens(state, ids[i], seen, TEXT_HEADS, TEXT_LAYERS)
        normed = svitt.norm(state, "vision_layernorm", tokens)
        both = text
        for layer in (TEXT_LAYERS, TEXT_LAYERS + 1):
            both = svitt.bert_layer(state, layer, both, seen, TEXT_HEADS, normed)
        assert_same(clips.tokens[i], normed)
        assert_same(clips.pooled[i], pooled)
        assert_same(texts.tokens[i], text)
        assert_same(fused[i], both)
        projected = F.normalize(svitt.dense(state, "vision_proj", pooled), dim=-1)
        assert_same(model.project_video(clips.pooled)[i], projected)
        projected = F.normalize(svitt.dense(state, "text_proj", text[0]), dim=-1)
        assert_same(model.project_text(texts.pooled)[i], projected)
        assert_same(model.match_logits(fused)[i], svitt.dense(state, "itm_head", both[0]))
        assert_same(model.mlm_logits(fused[i]), svitt.mlm_logits(state, both))
    assert model.temperature().item() == pytest.approx(0.05)
    assert model.temperature_parameter.shape == (1,)


def test_cls_pooling_needs_no_pooler():
    state = svitt.random_state()
    video = torch.randint(0, 256, (2, 2, 3, 8, 8), dtype=torch.uint8)
    output = SViTTEgo.from_svitt(state, recipe(pooling="cls")).eval().encode_video(video)
    for clip, pooled in zip(video, output.pooled, strict=True):
        tokens = svitt.video_tokens(state, clip, HEADS, VIDEO_LAYERS)
        assert_same(pooled, svitt.norm(state, "vision_layernorm", tokens)[0])


def test_another_number_of_frames_is_interpolated():
    """From 2 frames to 4, dt = -3 … 3 takes the nearest of -1, 0, 1."""
    state = svitt.random_state()
    model = SViTTEgo.from_svitt(state, recipe(max_frames=4))
    name = "attention.attention.relative_position_bias.relative_position_bias_table"
    theirs = state[f"vision_encoder.encoder.layer.1.{name}"]
    ours = model.video.layers[1].attention.bias_table
    for new_dt, old_dt in enumerate((0, 0, 0, 1, 1, 2, 2)):
        assert torch.equal(ours[new_dt * 9 :][:9], theirs[old_dt * 9 :][:9])
    assert torch.equal(ours[-3:], theirs[-3:])


@pytest.mark.parametrize(
    "change, said",
    [
        (lambda s: s.pop("vision_layernorm.bias"), "1 missing: video.norm.bias"),
        (
            lambda s: s.pop("vision_encoder.encoder.layer.1.attention.attention.key.weight"),
            r"1 missing: video.layers.1.attention.qkv.weight; 2 unknown: "
            r".*layers.1.attention.attention.query.weight",
        ),
        (
            lambda s: s.update({"text_encoder.bert.encoder.layer.3.extra.weight": torch.ones(1)}),
            "1 unknown: fusion.layers.1.extra.weight",
        ),
        (lambda s: s.update({"spare": torch.ones(1)}), "1 unknown: spare"),
        (
            lambda s: s.update({"itm_head.weight": torch.ones(2, 9)}),
            r"match_head.weight \(2, 9\) instead of \(2, 12\)",
        ),
        (
            lambda s: s.update({"text_encoder.cls.predictions.decoder.weight": torch.ones(30, 12)}),
            "decoder.weight differs from .*word_embeddings.weight",
        ),
    ],
)
def test_what_does_not_fit_is_named(change, said):
    state = svitt.random_state()
    change(state)
    with pytest.raises(ConfigError, match=said):
        SViTTEgo.from_svitt(state, recipe())


def test_a_checkpoint_of_another_size_is_named():
    with pytest.raises(ConfigError, match=r"of another shape: .*\(28, 12\) instead of \(20, 12\)"):
        SViTTEgo.from_svitt(svitt.random_state(text_mlp=28), recipe())
    with pytest.raises(ConfigError, match=r"bias_table \(78, 4\) instead of \(30, 4\)"):
        SViTTEgo.from_svitt(svitt.random_state(side=3), recipe())
    with pytest.raises(ConfigError, match="missing: fusion.layers.1"):
        SViTTEgo.from_svitt(svitt.random_state(fusion_layers=1), recipe())
