"""BEiT from Hugging Face or timm into our video encoder."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import timm
import torch
from transformers import BeitModel

from svitt_ego.config.base import ConfigError
from svitt_ego.models.attention.position import CLS_ROWS
from svitt_ego.models.pretrained.inflate import fit_bias_table
from svitt_ego.models.pretrained.source import (
    State,
    check_settings,
    load_converted,
    read_config,
    read_transformers,
    read_weights,
    rename,
)

if TYPE_CHECKING:
    from svitt_ego.models.video_encoder import VideoEncoder

KEY = "model.video.pretrained"

_HUGGING_FACE = {
    "attention.o_proj": "attention.output",
    "attention.q_proj.bias": "attention.query_bias",
    "attention.v_proj.bias": "attention.value_bias",
    "layernorm_before": "attention_norm",
    "layernorm_after": "mlp_norm",
    "mlp.fc1": "mlp_in",
    "mlp.fc2": "mlp_out",
    "lambda_1": "attention_scale",
    "lambda_2": "mlp_scale",
    "relative_position_bias.relative_position_bias_table": "attention.bias_table",
}
_HUGGING_FACE_OUTSIDE = {
    "embeddings.cls_token": "cls_token",
    "embeddings.patch_embeddings.projection": "patches",
    "pooler.layernorm": "norm",
    "layernorm": "norm",
}
_HUGGING_FACE_HEADS = (
    r"classifier|lm_head|decode_head|auxiliary_head|fpn|(beit\.)?embeddings\.mask_token|"
    r".*relative_position_index$"
)
_TIMM = {
    "attn.proj": "attention.output",
    "attn.qkv": "attention.qkv",
    "attn.q_bias": "attention.query_bias",
    "attn.v_bias": "attention.value_bias",
    "attn.relative_position_bias_table": "attention.bias_table",
    "norm1": "attention_norm",
    "norm2": "mlp_norm",
    "mlp.fc1": "mlp_in",
    "mlp.fc2": "mlp_out",
    "gamma_1": "attention_scale",
    "gamma_2": "mlp_scale",
}
_TIMM_OUTSIDE = {"patch_embed.proj": "patches", "fc_norm": "norm"}


def load_beit(encoder: "VideoEncoder", name: str) -> None:
    """Load an image BEiT, inflated to the encoder's frames and resolution.

    BEiT has one final LayerNorm: of the mean token where it pools the mean (`pooler.layernorm`,
    timm's `fc_norm`), else of all tokens. It becomes the start of each final LayerNorm here.

    Raises:
        ConfigError: unreadable, no BEiT, or keys or shapes do not fit.
    """
    config = read_config(name, KEY)
    timms = "architecture" in config
    state = _from_timm(name, config) if timms else _from_hugging_face(name, config)
    recipe = encoder.recipe
    grid = (recipe.max_frames, recipe.grid_size, recipe.grid_size)
    for key in [k for k in state if k.endswith("attention.bias_table")]:
        side = (round((state[key].shape[0] - CLS_ROWS) ** 0.5) + 1) // 2
        state[key] = fit_bias_table(state[key], (1, side, side), grid)
    if recipe.pooling == "mean":
        for leaf in ("weight", "bias"):
            state[f"pooler_norm.{leaf}"] = state[f"norm.{leaf}"]
    load_converted(encoder, state, KEY, name)


def _from_hugging_face(name: str, config: dict[str, Any]) -> State:
    expected = {"model_type": "beit", "use_relative_position_bias": True, "hidden_act": "gelu"}
    check_settings(config, expected, KEY, name)
    source = read_transformers(BeitModel, _HUGGING_FACE_HEADS, KEY, name)
    state = rename(source, "layers.", _HUGGING_FACE, _HUGGING_FACE_OUTSIDE)
    for first in [k for k in state if k.endswith("attention.q_proj.weight")]:
        attention = first.removesuffix("q_proj.weight")
        parts = [state.pop(f"{attention}{part}_proj.weight") for part in "qkv"]
        state[f"{attention}qkv.weight"] = torch.cat(parts)
    return state


def _from_timm(name: str, config: dict[str, Any]) -> State:
    if not config["architecture"].startswith("beit"):
        raise ConfigError(f"{KEY} = {name!r}: a {config['architecture']!r} model, not BEiT")
    scheme = "local-dir" if Path(name).is_dir() else "hf-hub"
    # with its own classifier: timm forgives missing tensors to a model of other classes
    source = read_weights(
        lambda: timm.create_model(f"{scheme}:{name}", pretrained=True), KEY, name
    ).state_dict()
    body = {key: tensor for key, tensor in source.items() if not key.startswith("head.")}
    return rename(body, "blocks.", _TIMM, _TIMM_OUTSIDE)
