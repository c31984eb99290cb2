"""An original SViTT checkpoint in small, and what SViTT computes with it.

Written from SViTT's description alone, on the checkpoint's own names, one clip and text at a time,
dense, every token kept; nothing of the project is used.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

EPS = 1e-12
State = dict[str, Tensor]


def random_state(
    *,
    frames: int = 2,
    side: int = 2,
    patch: int = 4,
    width: int = 16,
    video_layers: int = 2,
    video_heads: int = 4,
    video_mlp: int = 24,
    text_width: int = 12,
    text_layers: int = 2,
    fusion_layers: int = 2,
    text_mlp: int = 20,
    vocabulary: int = 30,
    positions: int = 10,
    projection: int = 8,
) -> State:
    """Random values for every key of the checkpoint, those the importer ignores too."""
    tokens = frames * side**2
    shapes: dict[str, tuple[int, ...]] = {}

    def linear(name, rows, columns, bias=True):
        shapes[f"{name}.weight"] = (rows, columns)
        if bias:
            shapes[f"{name}.bias"] = (rows,)

    def norm(name, size):
        shapes[f"{name}.weight"] = shapes[f"{name}.bias"] = (size,)

    embeddings = "vision_encoder.embeddings"
    shapes[f"{embeddings}.cls_token"] = (1, 1, width)
    shapes[f"{embeddings}.patch_embeddings.projection.weight"] = (width, 3, patch, patch)
    shapes[f"{embeddings}.patch_embeddings.projection.bias"] = (width,)
    for layer in range(video_layers):
        at = f"vision_encoder.encoder.layer.{layer}"
        shapes[f"{at}.lambda_1"] = shapes[f"{at}.lambda_2"] = (width,)
        linear(f"{at}.attention.attention.query", width, width)
        linear(f"{at}.attention.attention.key", width, width, bias=False)
        linear(f"{at}.attention.attention.value", width, width)
        rows = (2 * frames - 1) * (2 * side - 1) ** 2 + 3
        bias = f"{at}.attention.attention.relative_position_bias"
        shapes[f"{bias}.relative_position_bias_table"] = (rows, video_heads)
        linear(f"{at}.attention.output.dense", width, width)
        linear(f"{at}.intermediate.dense", video_mlp, width)
        linear(f"{at}.output.dense", width, video_mlp)
        norm(f"{at}.layernorm_before", width)
        norm(f"{at}.layernorm_after", width)
    norm("vision_encoder.pooler.layernorm", width)
    norm("vision_layernorm", width)

    embeddings = "text_encoder.bert.embeddings"
    shapes[f"{embeddings}.word_embeddings.weight"] = (vocabulary, text_width)
    shapes[f"{embeddings}.position_embeddings.weight"] = (positions, text_width)
    shapes[f"{embeddings}.token_type_embeddings.weight"] = (2, text_width)
    norm(f"{embeddings}.LayerNorm", text_width)
    for layer in range(text_layers + fusion_layers):
        at = f"text_encoder.bert.encoder.layer.{layer}"
        sources = {"attention": text_width}
        if layer >= text_layers:
            sources["crossattention"] = width
        for kind, source in sources.items():
            linear(f"{at}.{kind}.self.query", text_width, text_width)
            linear(f"{at}.{kind}.self.key", text_width, source)
            linear(f"{at}.{kind}.self.value", text_width, source)
            linear(f"{at}.{kind}.output.dense", text_width, text_width)
            norm(f"{at}.{kind}.output.LayerNorm", text_width)
        linear(f"{at}.intermediate.dense", text_mlp, text_width)
        linear(f"{at}.output.dense", text_width, text_mlp)
        norm(f"{at}.output.LayerNorm", text_width)
    head = "text_encoder.cls.predictions"
    linear(f"{head}.transform.dense", text_width, text_width)
    norm(f"{head}.transform.LayerNorm", text_width)
    shapes[f"{head}.bias"] = (vocabulary,)
    linear("vision_proj", projection, width)
    linear("text_proj", projection, text_width)
    linear("itm_head", 2, text_width)

    state = {name: torch.randn(shape) * 0.3 for name, shape in shapes.items()}
    state["temp"] = torch.tensor(0.05)
    state[f"{head}.decoder.weight"] = state["text_encoder.bert.embeddings.word_embeddings.weight"]
    state[f"{head}.decoder.bias"] = state[f"{head}.bias"]
    state["text_encoder.bert.embeddings.position_ids"] = torch.arange(positions)[None]
    index = relative_position_index(frames, side)
    assert index.shape == (1 + tokens, 1 + tokens)
    for layer in range(video_layers):
        bias = f"vision_encoder.encoder.layer.{layer}.attention.attention.relative_position_bias"
        state[f"{bias}.relative_position_index"] = index
    return state


def relative_position_index(frames: int, side: int) -> Tensor:
    """Row of the bias table for each query and key, [CLS] first."""
    places = [(t, y, x) for t in range(frames) for y in range(side) for x in range(side)]
    span = 2 * side - 1
    rows = (2 * frames - 1) * span**2 + 3
    index = torch.full((1 + len(places), 1 + len(places)), rows - 1)
    index[0, 1:], index[1:, 0] = rows - 3, rows - 2
    for q, (qt, qy, qx) in enumerate(places):
        for k, (kt, ky, kx) in enumerate(places):
            dt, dy, dx = qt - kt + frames - 1, qy - ky + side - 1, qx - kx + side - 1
            index[1 + q, 1 + k] = (dt * span + dy) * span + dx
    return index


def dense(state: State, name: str, x: Tensor) -> Tensor:
    out = x @ state[f"{name}.weight"].T
    return out + state[f"{name}.bias"] if f"{name}.bias" in state else out


def norm(state: State, name: str, x: Tensor) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    scaled = centred / (centred.square().mean(-1, keepdim=True) + EPS).sqrt()
    return scaled * state[f"{name}.weight"] + state[f"{name}.bias"]


def multi_head(q: Tensor, k: Tensor, v: Tensor, heads: int, bias: Tensor | float = 0.0) -> Tensor:
    """(queries, D), (keys, D) twice, bias (heads, queries, keys) -> (queries, D)."""
    size = q.shape[-1] // heads
    out = []
    for head in range(heads):
        part = slice(head * size, (head + 1) * size)
        logits = q[:, part] @ k[:, part].T / math.sqrt(size)
        logits = logits + (bias[head] if isinstance(bias, Tensor) else bias)
        out.append(logits.softmax(-1) @ v[:, part])
    return torch.cat(out, dim=-1)


def video_tokens(state: State, clip: Tensor, heads: int, layers: int) -> Tensor:
    """uint8 (T, 3, H, W) -> (1 + n, width) before the last LayerNorm."""
    pixels = (clip.float() / 255 - 0.5) / 0.5
    projection = "vision_encoder.embeddings.patch_embeddings.projection"
    weight = state[f"{projection}.weight"]
    patches = F.conv2d(pixels, weight, state[f"{projection}.bias"], stride=weight.shape[-1])
    cls = state["vision_encoder.embeddings.cls_token"][0]
    x = torch.cat([cls, *(frame.flatten(1).T for frame in patches)])
    for layer in range(layers):
        at = f"vision_encoder.encoder.layer.{layer}"
        position = f"{at}.attention.attention.relative_position_bias.relative_position"
        bias = state[f"{position}_bias_table"][state[f"{position}_index"]].permute(2, 0, 1)
        h = norm(state, f"{at}.layernorm_before", x)
        q, k, v = (
            dense(state, f"{at}.attention.attention.{part}", h)
            for part in ("query", "key", "value")
        )
        attended = dense(state, f"{at}.attention.output.dense", multi_head(q, k, v, heads, bias))
        x = x + state[f"{at}.lambda_1"] * attended
        h = F.gelu(
            dense(state, f"{at}.intermediate.dense", norm(state, f"{at}.layernorm_after", x))
        )
        x = x + state[f"{at}.lambda_2"] * dense(state, f"{at}.output.dense", h)
    return x


def bert_attention(state: State, name: str, x: Tensor, source: Tensor, seen: Tensor, heads: int):
    q = dense(state, f"{name}.self.query", x)
    k = dense(state, f"{name}.self.key", source)
    v = dense(state, f"{name}.self.value", source)
    hidden = torch.where(seen, 0.0, float("-inf")).expand(heads, len(x), -1)
    out = dense(state, f"{name}.output.dense", multi_head(q, k, v, heads, hidden))
    return norm(state, f"{name}.output.LayerNorm", out + x)


def bert_layer(state: State, layer: int, x: Tensor, seen: Tensor, heads: int, video=None):
    """Self-attention, cross-attention where there is a video, MLP; each followed by LayerNorm."""
    at = f"text_encoder.bert.encoder.layer.{layer}"
    x = bert_attention(state, f"{at}.attention", x, x, seen, heads)
    if video is not None:
        every = torch.ones(len(video), dtype=torch.bool)
        x = bert_attention(state, f"{at}.crossattention", x, video, every, heads)
    h = F.gelu(dense(state, f"{at}.intermediate.dense", x))
    return norm(state, f"{at}.output.LayerNorm", dense(state, f"{at}.output.dense", h) + x)


def text_tokens(state: State, ids: Tensor, seen: Tensor, heads: int, layers: int) -> Tensor:
    at = "text_encoder.bert.embeddings"
    x = state[f"{at}.word_embeddings.weight"][ids]
    x = x + state[f"{at}.position_embeddings.weight"][: len(ids)]
    x = norm(state, f"{at}.LayerNorm", x + state[f"{at}.token_type_embeddings.weight"][0])
    for layer in range(layers):
        x = bert_layer(state, layer, x, seen, heads)
    return x


def mlm_logits(state: State, hidden: Tensor) -> Tensor:
    at = "text_encoder.cls.predictions"
    h = F.gelu(dense(state, f"{at}.transform.dense", hidden))
    return dense(state, f"{at}.decoder", norm(state, f"{at}.transform.LayerNorm", h))
