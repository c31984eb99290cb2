"""BEiT from Hugging Face or timm into our video encoder."""

import re
from typing import TYPE_CHECKING, Any

import timm
import torch
from torch import Tensor
from transformers import BeitModel

from svitt_ego.config.schema import ConfigError
from svitt_ego.models.pretrained.inflate import fit_bias_table
from svitt_ego.models.pretrained.source import load_converted, read_config

if TYPE_CHECKING:
    from svitt_ego.models.video_encoder import VideoEncoder

KEY = "model.video.pretrained"

_HUGGING_FACE = {
    "attention.o_proj": "attention.output",
    "layernorm_before": "attention_norm",
    "layernorm_after": "mlp_norm",
    "mlp.fc1": "mlp_in",
    "mlp.fc2": "mlp_out",
    "lambda_1": "attention_scale",
    "lambda_2": "mlp_scale",
    "relative_position_bias.relative_position_bias_table": "attention.bias_table",
    "attention.q_proj.bias": "attention.query_bias",
    "attention.v_proj.bias": "attention.value_bias",
}
_TIMM = {
    "attn.proj": "attention.output",
    "norm1": "attention_norm",
    "norm2": "mlp_norm",
    "mlp.fc1": "mlp_in",
    "mlp.fc2": "mlp_out",
    "gamma_1": "attention_scale",
    "gamma_2": "mlp_scale",
    "attn.relative_position_bias_table": "attention.bias_table",
    "attn.q_bias": "attention.query_bias",
    "attn.v_bias": "attention.value_bias",
    "attn.qkv": "attention.qkv",
}


def load_beit(encoder: "VideoEncoder", name: str) -> None:
    """Load an image BEiT, inflated to the encoder's frames and resolution.

    Raises:
        ConfigError: unreadable, or keys or shapes do not fit.
    """
    config = read_config(name, KEY)
    state = _from_timm(name) if "architecture" in config else _from_hugging_face(name, config)
    recipe = encoder.recipe
    new = (recipe.max_frames, recipe.grid_size, recipe.grid_size)
    for key in [k for k in state if k.endswith("attention.bias_table")]:
        side = round((state[key].shape[0] - 3) ** 0.5) // 2 + 1
        state[key] = fit_bias_table(state[key], (1, side, side), new)
    if recipe.pooling == "mean":  # a checkpoint without a pooler starts from the fresh one
        for key, value in encoder.pooler_norm.state_dict().items():
            state.setdefault(f"pooler_norm.{key}", value)
    load_converted(encoder, state, KEY, name)


def _from_hugging_face(name: str, config: dict[str, Any]) -> dict[str, Tensor]:
    if config.get("model_type") != "beit":
        raise ConfigError(f"{KEY} = {name!r}: a {config.get('model_type')!r} model, not BEiT")
    if not config.get("use_relative_position_bias", False):
        raise ConfigError(f"{KEY} = {name!r}: has no relative position bias per layer")
    source = BeitModel.from_pretrained(name).state_dict()
    state = _embeddings(source, "embeddings.patch_embeddings.projection", "embeddings.cls_token")
    for layer in _layers(source, r"layers\.(\d+)\."):
        parts = _strip(source, f"layers.{layer}.")
        qkv = [parts.pop(f"attention.{part}_proj.weight") for part in "qkv"]
        renamed = _rename(parts, _HUGGING_FACE)
        renamed["attention.qkv.weight"] = torch.cat(qkv)
        state |= {f"layers.{layer}.{key}": value for key, value in renamed.items()}
    norm = "pooler.layernorm"  # BEiT's final norm: of the mean where it pools the mean
    return state | _final_norm(source, norm)


def _from_timm(name: str) -> dict[str, Tensor]:
    from pathlib import Path

    scheme = "local-dir" if Path(name).is_dir() else "hf-hub"
    source = timm.create_model(f"{scheme}:{name}", pretrained=True, num_classes=0).state_dict()
    state = _embeddings(source, "patch_embed.proj", "cls_token")
    for layer in _layers(source, r"blocks\.(\d+)\."):
        renamed = _rename(_strip(source, f"blocks.{layer}."), _TIMM)
        state |= {f"layers.{layer}.{key}": value for key, value in renamed.items()}
    norm = "fc_norm" if "fc_norm.weight" in source else "norm"
    return state | _final_norm(source, norm)


def _embeddings(source: dict[str, Tensor], patches: str, cls_token: str) -> dict[str, Tensor]:
    return {
        "cls_token": source[cls_token],
        "patches.weight": source[f"{patches}.weight"],
        "patches.bias": source[f"{patches}.bias"],
    }


def _final_norm(source: dict[str, Tensor], norm: str) -> dict[str, Tensor]:
    """The checkpoint's last LayerNorm starts both the token norm and the mean pooler's."""
    width = source[[k for k in source if k.endswith("cls_token")][0]].shape[-1]
    weight = source.get(f"{norm}.weight", torch.ones(width))
    bias = source.get(f"{norm}.bias", torch.zeros(width))
    return {"norm.weight": weight, "norm.bias": bias}


def _layers(source: dict[str, Tensor], pattern: str) -> list[int]:
    return sorted({int(found[1]) for key in source if (found := re.match(pattern, key))})


def _strip(source: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {
        key.removeprefix(prefix): value
        for key, value in source.items()
        if key.startswith(prefix) and not key.endswith("relative_position_index")
    }


def _rename(parts: dict[str, Tensor], names: dict[str, str]) -> dict[str, Tensor]:
    renamed = {}
    for key, value in parts.items():
        stem, _, leaf = key.rpartition(".")
        renamed[names.get(key) or f"{names.get(stem, stem)}.{leaf}".lstrip(".")] = value
    return renamed
