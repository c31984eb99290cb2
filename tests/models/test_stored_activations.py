"""What a layer stores for the backward pass, to the byte: one more layer, that much more.

Widths are those of one token's hidden state; the MLP is four wide, as in BEiT and BERT.
"""

import pytest
import torch
from torch.autograd.graph import saved_tensors_hooks

from svitt_ego.config.schema import FusionEncoder as FusionRecipe
from svitt_ego.config.schema import TextEncoder as TextRecipe
from svitt_ego.models.fusion_encoder import FusionEncoder
from svitt_ego.models.patch_embedding import PatchEmbedding
from svitt_ego.models.recompute import STORE_ALL
from svitt_ego.models.text_encoder import TextEncoder
from svitt_ego.models.video_encoder import VideoEncoder

WIDTH, HEADS = 48, 3
FLOAT, BYTE, INDEX = 4, 1, 8


def stored_bytes(module, *inputs):
    """Storages, each once, that are neither parameters nor buffers nor these inputs."""
    known = [*module.parameters(), *module.buffers(), *inputs]
    seen = {t.untyped_storage().data_ptr() for t in known}
    kept, total = [], 0

    def pack(tensor):
        nonlocal total
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in seen:
            kept.append(tensor)  # alive, so that no address is used twice
            seen.add(storage.data_ptr())
            total += storage.nbytes()
        return tensor

    with saved_tensors_hooks(pack, lambda tensor: tensor):
        out = module.train()(*inputs)
    del out
    return total


def text_recipe(layers):
    return TextRecipe(
        layers=layers,
        width=WIDTH,
        heads=HEADS,
        mlp_width=4 * WIDTH,
        vocabulary_size=50,
        max_positions=16,
        dropout=0.1,
    )


@pytest.mark.parametrize("sparse", [False, True])
def test_a_video_layer_stores_ten_widths(make_video, sparse):
    clips, frames = 2, 3
    changes = {"width": WIDTH, "heads": HEADS, "mlp_width": 4 * WIDTH, "node_sparsity": None}
    changes |= {} if sparse else {"edge_sparsity": None}
    video = torch.randint(0, 256, (clips, frames, 3, 40, 40), dtype=torch.uint8)
    encoders = [VideoEncoder(make_video(layers=layers, **changes)) for layers in (2, 3)]
    two, three = (stored_bytes(encoder, video) for encoder in encoders)
    tokens = clips * (1 + frames * 25)
    # input, q, k, v, attended, input of the MLP's branch, 4 before its GELU
    widths = tokens * 10 * WIDTH * FLOAT
    drop_path = 2 * clips * FLOAT
    pattern = 11 * 3 * INDEX if sparse else 0
    biases = 3 * WIDTH * FLOAT  # of q, k, v, put together
    assert three - two == widths + drop_path + pattern + biases


def test_a_text_layer_stores_twelve_widths():
    ids, mask = torch.randint(0, 50, (4, 7)), torch.ones(4, 7, dtype=torch.int64)
    encoders = [TextEncoder(text_recipe(layers), STORE_ALL) for layers in (2, 3)]
    two, three = (stored_bytes(encoder, ids, mask) for encoder in encoders)
    tokens = ids.numel()
    # input, q, k, v, attended, two LayerNorm inputs, input of the MLP, 4 before its GELU
    widths = tokens * 12 * WIDTH * FLOAT
    dropout = tokens * (2 * WIDTH + HEADS * 7) * BYTE
    norm_statistics = 2 * 2 * tokens * FLOAT
    assert three - two == widths + dropout + norm_statistics


def test_texts_of_one_video_share_its_keys_and_values():
    """Without a drop, a pair adds its own text alone, whatever the video's length."""
    videos, tokens, length = 2, 40, 5
    encoder = FusionEncoder(
        FusionRecipe(layers=2, node_sparsity=None), text_recipe(1), WIDTH, STORE_ALL
    )
    video = torch.randn(videos, tokens, WIDTH, requires_grad=True)

    def of(pairs):
        text = torch.randn(pairs, length, WIDTH, requires_grad=True)
        mask = torch.ones(pairs, length, dtype=torch.bool)
        index = torch.randint(0, videos, (pairs,))
        return stored_bytes(encoder, text, mask, video, index)

    per_pair_and_layer = (of(14) - of(4)) / 20
    widths = length * 16 * WIDTH * FLOAT
    dropout = length * (3 * WIDTH + HEADS * (length + tokens)) * BYTE
    norm_statistics = 3 * 2 * length * FLOAT
    # the first layer's input is the caller's
    assert per_pair_and_layer == widths + dropout + norm_statistics - length * WIDTH * FLOAT / 2


def test_frames_are_stored_as_bytes(make_video):
    video = torch.randint(0, 256, (2, 3, 3, 40, 40), dtype=torch.uint8)
    assert stored_bytes(PatchEmbedding(make_video()), video) == 0
