"""BERT from Hugging Face into our text encoder, fusion encoder and masked-token head."""

from typing import TYPE_CHECKING

from torch import Tensor
from transformers import BertForMaskedLM

from svitt_ego.config.schema import ConfigError
from svitt_ego.models.pretrained.source import load_converted, read_config

if TYPE_CHECKING:
    from svitt_ego.models.svitt import SViTTEgo

KEY = "model.text.pretrained"

_LAYER = {
    "attention.self.query": "attention.query",
    "attention.self.key": "attention.key",
    "attention.self.value": "attention.value",
    "attention.output.dense": "attention.output",
    "attention.output.LayerNorm": "attention.norm",
    "intermediate.dense": "mlp_in",
    "output.dense": "mlp_out",
    "output.LayerNorm": "norm",
}
_EMBEDDING = {
    "word_embeddings": "word",
    "position_embeddings": "position",
    "token_type_embeddings": "token_type",
    "LayerNorm": "norm",
}


def load_bert(model: "SViTTEgo", name: str) -> None:
    """Embeddings and the first layers go to the text encoder, the following ones to the fusion
    encoder, whose cross-attention starts fresh, and the prediction head to the masked-token head.

    Raises:
        ConfigError: unreadable, too few layers, or keys or shapes do not fit.
    """
    config = read_config(name, KEY)
    if config.get("model_type") != "bert":
        raise ConfigError(f"{KEY} = {name!r}: a {config.get('model_type')!r} model, not BERT")
    source = BertForMaskedLM.from_pretrained(name).state_dict()
    text_layers, fusion_layers = len(model.text.layers), len(model.fusion.layers)
    wanted, given = text_layers + fusion_layers, config["num_hidden_layers"]
    if given < wanted:
        raise ConfigError(
            f"{KEY} = {name!r}: has {given} layers, text and fusion encoder need {wanted}"
        )

    text: dict[str, Tensor] = {}
    for old, new in _EMBEDDING.items():
        text |= _renamed(source, f"bert.embeddings.{old}", f"embedding.{new}")
    for layer in range(text_layers):
        text |= _layer(source, layer, layer)
    load_converted(model.text, text, KEY, name)

    fusion = {k: v for k, v in model.fusion.state_dict().items() if "cross_attention" in k}
    for layer in range(fusion_layers):
        fusion |= _layer(source, text_layers + layer, layer)
    load_converted(model.fusion, fusion, KEY, name)

    head = {
        **_renamed(source, "cls.predictions.transform.dense", "transform"),
        **_renamed(source, "cls.predictions.transform.LayerNorm", "norm"),
        "bias": source["cls.predictions.bias"],
    }
    load_converted(model.mlm_head, head, KEY, name)


def _layer(source: dict[str, Tensor], old: int, new: int) -> dict[str, Tensor]:
    state: dict[str, Tensor] = {}
    for theirs, ours in _LAYER.items():
        state |= _renamed(source, f"bert.encoder.layer.{old}.{theirs}", f"layers.{new}.{ours}")
    return state


def _renamed(source: dict[str, Tensor], old: str, new: str) -> dict[str, Tensor]:
    return {
        f"{new}.{leaf}": source[f"{old}.{leaf}"]
        for leaf in ("weight", "bias")
        if f"{old}.{leaf}" in source
    }
