"""BERT from Hugging Face into our text encoder, fusion encoder and masked-token head."""

from typing import TYPE_CHECKING

from transformers import BertForMaskedLM

from svitt_ego.config.base import ConfigError
from svitt_ego.models.pretrained.source import (
    State,
    check_settings,
    load_converted,
    read_config,
    read_transformers,
    rename,
)

if TYPE_CHECKING:
    from svitt_ego.models.svitt import SViTTEgo

KEY = "model.text.pretrained"

LAYER = {
    "attention.self.query": "attention.query",
    "attention.self.key": "attention.key",
    "attention.self.value": "attention.value",
    "attention.output.dense": "attention.output",
    "attention.output.LayerNorm": "attention.norm",
    "intermediate.dense": "mlp_in",
    "output.dense": "mlp_out",
    "output.LayerNorm": "norm",
}
"""Names inside a layer of BERT."""

EMBEDDING = {
    "word_embeddings": "embedding.word",
    "position_embeddings": "embedding.position",
    "token_type_embeddings": "embedding.token_type",
    "LayerNorm": "embedding.norm",
}
"""Names inside BERT's `embeddings`."""

HEAD = {
    "transform.dense": "transform",
    "transform.LayerNorm": "norm",
    "bias": "bias",
}
"""Names inside BERT's `cls.predictions`; the decoder is tied to the word embedding."""

_UNUSED_HEADS = r"(bert\.)?pooler|cls\.seq_relationship|.*position_ids$"


def load_bert(model: "SViTTEgo", name: str) -> None:
    """Embeddings and the first layers go to the text encoder, the following ones to the fusion
    encoder, whose cross-attention starts fresh, and the prediction head to the masked-token head.

    Raises:
        ConfigError: unreadable, no BERT, too few layers, or keys or shapes do not fit.
    """
    config = read_config(name, KEY)
    recipe = model.recipe.text
    expected = {
        "model_type": "bert",
        "num_attention_heads": recipe.heads,
        "hidden_act": "gelu",
    }
    check_settings(config, expected, KEY, name)
    text_layers, fusion_layers = len(model.text.layers), len(model.fusion.layers)
    wanted, given = text_layers + fusion_layers, config["num_hidden_layers"]
    if given < wanted:
        raise ConfigError(
            f"{KEY} = {name!r}: has {given} layers, text and fusion encoder need {wanted}"
        )
    source = read_transformers(BertForMaskedLM, _UNUSED_HEADS, KEY, name)

    encoder = rename(
        within(source, "bert."),
        "encoder.layer.",
        LAYER,
        {f"embeddings.{old}": new for old, new in EMBEDDING.items()},
    )
    text, fusion = split_layers(encoder, text_layers)
    beyond = tuple(f"layers.{layer}." for layer in range(fusion_layers, given))
    fusion = {k: tensor for k, tensor in fusion.items() if not k.startswith(beyond)}
    fusion |= {k: v for k, v in model.fusion.state_dict().items() if "cross_attention" in k}
    head = rename(within(source, "cls.predictions."), "layers.", {}, HEAD)
    head = {key: tensor for key, tensor in head.items() if not key.startswith("decoder.")}
    load_converted(model.text, text, KEY, name)
    load_converted(model.fusion, fusion, KEY, name)
    load_converted(model.mlm_head, head, KEY, name)


def within(source: State, prefix: str) -> State:
    """The tensors below a prefix, without it."""
    return {k.removeprefix(prefix): v for k, v in source.items() if k.startswith(prefix)}


def split_layers(encoder: State, text_layers: int) -> tuple[State, State]:
    """Layers below `text_layers` and what is in no layer; the following, counted from 0 again."""
    text: State = {}
    fusion: State = {}
    for name, tensor in encoder.items():
        number = int(name.split(".")[1]) if name.startswith("layers.") else 0
        if number < text_layers:
            text[name] = tensor
        else:
            fusion[name.replace(f".{number}.", f".{number - text_layers}.", 1)] = tensor
    return text, fusion
