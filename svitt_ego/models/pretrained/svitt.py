"""The original SViTT checkpoint into our whole model.

SViTT inflated Hugging Face's BEiT (of `transformers` 4, whose names differ from today's) and gave
BERT's last layers cross-attention, so the names inside layers are theirs.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from svitt_ego.config.base import ConfigError
from svitt_ego.config.schema import VideoEncoder as VideoRecipe
from svitt_ego.models.attention.position import CLS_ROWS
from svitt_ego.models.pretrained import bert
from svitt_ego.models.pretrained.inflate import fit_bias_table
from svitt_ego.models.pretrained.source import State, load_converted, rename

if TYPE_CHECKING:
    from svitt_ego.models.svitt import SViTTEgo

KEY = "state_dict"
NAME = "SViTT checkpoint"

_VIDEO_LAYER = {
    "attention.attention.query.bias": "attention.query_bias",
    "attention.attention.value.bias": "attention.value_bias",
    "attention.attention.relative_position_bias.relative_position_bias_table": (
        "attention.bias_table"
    ),
    "attention.output.dense": "attention.output",
    "intermediate.dense": "mlp_in",
    "output.dense": "mlp_out",
    "layernorm_before": "attention_norm",
    "layernorm_after": "mlp_norm",
    "lambda_1": "attention_scale",
    "lambda_2": "mlp_scale",
}
_CROSS_ATTENTION = {
    old.replace("attention.", "crossattention.", 1): new.replace("attention", "cross_attention", 1)
    for old, new in bert.LAYER.items()
    if old.startswith("attention.")
}
_OUTSIDE = {
    "vision_encoder.embeddings.cls_token": "video.cls_token",
    "vision_encoder.embeddings.patch_embeddings.projection": "video.patches",
    "vision_encoder.pooler.layernorm": "video.pooler_norm",
    "vision_layernorm": "video.norm",
    "vision_proj": "video_projection",
    "text_proj": "text_projection",
    "itm_head": "match_head",
    "temp": "temperature_parameter",
    **{f"text_encoder.bert.embeddings.{old}": f"text.{new}" for old, new in bert.EMBEDDING.items()},
    **{f"text_encoder.cls.predictions.{old}": f"mlm_head.{new}" for old, new in bert.HEAD.items()},
}
_VIDEO_LAYERS = "vision_encoder.encoder.layer."
_TEXT_LAYERS = "text_encoder.bert.encoder.layer."
_HEAD = "text_encoder.cls.predictions."
_NOT_NEEDED = ("relative_position_index", "position_ids")


def load_svitt(model: "SViTTEgo", state_dict: Mapping[str, Tensor]) -> None:
    """Load every tensor; position tables of another number of frames are interpolated.

    Raises:
        ConfigError: naming missing and unknown tensors and those of other shapes.
    """
    video = model.recipe.video
    source = {k: v for k, v in state_dict.items() if not k.endswith(_NOT_NEEDED)}
    _untie_decoder(source)
    of_video = {k: source.pop(k) for k in list(source) if k.startswith(_VIDEO_LAYERS)}
    of_text = {k: source.pop(k) for k in list(source) if k.startswith(_TEXT_LAYERS)}

    state = rename(source, "layers.", {}, _OUTSIDE)
    layers = _join_projections(rename(of_video, _VIDEO_LAYERS, _VIDEO_LAYER, {}))
    state |= {f"video.{k}": _fit_frames(k, tensor, video) for k, tensor in layers.items()}
    text, fusion = bert.split_layers(
        rename(of_text, _TEXT_LAYERS, bert.LAYER | _CROSS_ATTENTION, {}), len(model.text.layers)
    )
    state |= {f"text.{k}": tensor for k, tensor in text.items()}
    state |= {f"fusion.{k}": tensor for k, tensor in fusion.items()}
    if "temperature_parameter" in state:
        state["temperature_parameter"] = state["temperature_parameter"].reshape(1)
    if video.pooling == "cls":  # SViTT pools the mean; with [CLS] its LayerNorm has no use
        for leaf in ("weight", "bias"):
            state.pop(f"video.pooler_norm.{leaf}", None)
    load_converted(model, state, KEY, NAME)


def _untie_decoder(source: State) -> None:
    """Leave out the copies of the word embedding and of the bias that the decoder is tied to."""
    for copy, original in (
        ("decoder.weight", "text_encoder.bert.embeddings.word_embeddings.weight"),
        ("decoder.bias", f"{_HEAD}bias"),
    ):
        tied = source.pop(_HEAD + copy, None)
        if tied is not None and original in source and not torch.equal(tied, source[original]):
            raise ConfigError(
                f"{KEY} = {NAME!r}: {_HEAD}{copy} differs from {original}; they are tied here"
            )


def _join_projections(layers: State) -> State:
    """Query, key and value weights as one; a layer that lacks one keeps its others' names."""
    joined = dict(layers)
    for query in [k for k in layers if k.endswith("attention.attention.query.weight")]:
        attention = query.removesuffix("attention.query.weight")
        names = [f"{attention}attention.{part}.weight" for part in ("query", "key", "value")]
        if all(name in layers for name in names):
            joined[f"{attention}qkv.weight"] = torch.cat([joined.pop(name) for name in names])
    return joined


def _fit_frames(name: str, tensor: Tensor, recipe: VideoRecipe) -> Tensor:
    """A bias table of other frames and the same resolution, fitted; all else as it is."""
    spatial = (2 * recipe.grid_size - 1) ** 2
    frame_rows, rest = divmod(tensor.shape[0] - CLS_ROWS, spatial)
    if not name.endswith("bias_table") or rest or frame_rows % 2 == 0:
        return tensor
    grid = (recipe.grid_size, recipe.grid_size)
    return fit_bias_table(tensor, ((frame_rows + 1) // 2, *grid), (recipe.max_frames, *grid))
