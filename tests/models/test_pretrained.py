"""Checkpoints that transformers and timm saved themselves, loaded into our encoders.

Values and gradients: to 1e-5 in float32, and in float64, where what differs is not rounding, to
1e-11 of a tensor's largest value.
"""

import json

import numpy as np
import pytest
import timm
import torch
from huggingface_hub import constants
from safetensors.torch import load_file, save_file
from timm.models import save_for_hf
from transformers import (
    BeitConfig,
    BeitForImageClassification,
    BertConfig,
    BertForPreTraining,
    BertModel,
    ViTConfig,
    ViTModel,
)

from svitt_ego.config.base import ConfigError
from svitt_ego.models import SViTTEgo
from svitt_ego.models.pretrained import load_pretrained
from svitt_ego.models.pretrained.bert import load_bert
from svitt_ego.models.pretrained.inflate import fit_bias_table
from svitt_ego.models.video_encoder import VideoEncoder

SIDE, PATCH = 40, 8
SIZE = {"width": 32, "heads": 4, "mlp_width": 48, "layers": 3}


def assert_same(ours, theirs, name=""):
    largest = theirs.abs().max().item()
    tolerance = 1e-11 * largest if ours.dtype == torch.float64 else 1e-5 * max(largest, 1)
    torch.testing.assert_close(
        ours, theirs, atol=tolerance, rtol=0, msg=lambda text: f"{name}: {text}"
    )


def randomised(model):
    """Every parameter random, biases, scales and bias tables too."""
    for name, parameter in model.named_parameters():
        torch.nn.init.normal_(parameter, std=0.5 if parameter.ndim == 1 else 0.15)
        if "norm" in name.lower() and name.endswith("weight"):
            parameter.data += 1
    return model.eval()


def hugging_face_beit(folder, mean_pooling=True, side=SIDE, **changes):
    settings = {
        "hidden_size": SIZE["width"],
        "num_hidden_layers": SIZE["layers"],
        "num_attention_heads": SIZE["heads"],
        "intermediate_size": SIZE["mlp_width"],
        "image_size": side,
        "patch_size": PATCH,
        "use_relative_position_bias": True,
        "use_mean_pooling": mean_pooling,
        "num_labels": 7,
    }
    model = randomised(BeitForImageClassification(BeitConfig(**settings | changes)))
    model.save_pretrained(folder)
    return model.beit


def timm_beit(folder, global_pool="avg", side=SIDE, architecture="beit_base_patch16_224"):
    settings = {
        "embed_dim": SIZE["width"],
        "depth": SIZE["layers"],
        "num_heads": SIZE["heads"],
        "mlp_ratio": SIZE["mlp_width"] / SIZE["width"],
        "img_size": side,
        "patch_size": PATCH,
        "global_pool": global_pool,
    }
    model = randomised(timm.create_model(architecture, **settings))
    save_for_hf(model, folder, model_args=settings)
    return model


@pytest.fixture
def image_encoder(make_video):
    """Our encoder for one frame, dense, of the size of the checkpoints here."""

    def make(pooling="cls", **changes):
        return VideoEncoder(
            make_video(
                **SIZE,
                image_size=SIDE,
                patch_size=PATCH,
                pooling=pooling,
                edge_sparsity=None,
                node_sparsity=None,
                **{"max_frames": 1} | changes,
            )
        ).eval()

    return make


def load(encoder, folder):
    from svitt_ego.models.pretrained.beit import load_beit

    load_beit(encoder, str(folder))
    return encoder


def images(dtype=torch.float32):
    frames = torch.randint(0, 256, (2, 3, SIDE, SIDE), dtype=torch.uint8)
    return frames, (frames.to(dtype) / 255 - 0.5) / 0.5


def check_gradients(encoder, pooled, their_model, their_pooled, pairs):
    """Gradients of one random projection of the pooled feature, by (ours, theirs) names."""
    weights = torch.randn_like(pooled)
    (pooled * weights).sum().backward()
    (their_pooled * weights).sum().backward()
    ours = dict(encoder.named_parameters())
    theirs = dict(their_model.named_parameters())
    for our_name, their_names in pairs:
        expected = torch.cat([theirs[name].grad for name in their_names])
        assert_same(ours[our_name].grad, expected, our_name)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_one_frame_equals_transformers_beit(tmp_path, image_encoder, pooling, dtype):
    theirs = hugging_face_beit(tmp_path, mean_pooling=pooling == "mean").to(dtype)
    encoder = load(image_encoder(pooling), tmp_path).to(dtype)
    frames, pixels = images(dtype)
    output, expected = encoder(frames[:, None]), theirs(pixels)
    assert_same(output.pooled, expected.pooler_output, "pooled")
    if pooling == "cls":  # with mean pooling theirs has no LayerNorm of the tokens
        assert_same(output.tokens, expected.last_hidden_state, "tokens")
    pairs = [
        ("cls_token", ["embeddings.cls_token"]),
        ("patches.weight", ["embeddings.patch_embeddings.projection.weight"]),
        ("patches.bias", ["embeddings.patch_embeddings.projection.bias"]),
    ]
    for layer in range(SIZE["layers"]):
        ours, of = f"layers.{layer}.", f"layers.{layer}."
        pairs += [
            (f"{ours}attention.qkv.weight", [f"{of}attention.{x}_proj.weight" for x in "qkv"]),
            (f"{ours}attention.query_bias", [f"{of}attention.q_proj.bias"]),
            (f"{ours}attention.value_bias", [f"{of}attention.v_proj.bias"]),
            (
                f"{ours}attention.bias_table",
                [f"{of}relative_position_bias.relative_position_bias_table"],
            ),
            (f"{ours}attention.output.weight", [f"{of}attention.o_proj.weight"]),
            (f"{ours}attention.output.bias", [f"{of}attention.o_proj.bias"]),
            (f"{ours}attention_norm.weight", [f"{of}layernorm_before.weight"]),
            (f"{ours}attention_norm.bias", [f"{of}layernorm_before.bias"]),
            (f"{ours}attention_scale", [f"{of}lambda_1"]),
            (f"{ours}mlp_norm.weight", [f"{of}layernorm_after.weight"]),
            (f"{ours}mlp_in.weight", [f"{of}mlp.fc1.weight"]),
            (f"{ours}mlp_in.bias", [f"{of}mlp.fc1.bias"]),
            (f"{ours}mlp_out.weight", [f"{of}mlp.fc2.weight"]),
            (f"{ours}mlp_out.bias", [f"{of}mlp.fc2.bias"]),
            (f"{ours}mlp_scale", [f"{of}lambda_2"]),
        ]
    check_gradients(encoder, output.pooled, theirs, expected.pooler_output, pairs)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("pooling, global_pool", [("cls", "token"), ("mean", "avg")])
def test_one_frame_equals_timm_beit(tmp_path, image_encoder, pooling, global_pool, dtype):
    theirs = timm_beit(tmp_path, global_pool).to(dtype)
    encoder = load(image_encoder(pooling, layer_norm_eps=1e-6), tmp_path).to(dtype)
    frames, pixels = images(dtype)
    output = encoder(frames[:, None])
    expected = theirs.forward_head(theirs.forward_features(pixels), pre_logits=True)
    assert_same(output.pooled, expected, "pooled")
    pairs = [("cls_token", ["cls_token"]), ("patches.weight", ["patch_embed.proj.weight"])]
    for layer in range(SIZE["layers"]):
        ours, of = f"layers.{layer}.", f"blocks.{layer}."
        pairs += [
            (f"{ours}attention.qkv.weight", [f"{of}attn.qkv.weight"]),
            (f"{ours}attention.query_bias", [f"{of}attn.q_bias"]),
            (f"{ours}attention.value_bias", [f"{of}attn.v_bias"]),
            (f"{ours}attention.bias_table", [f"{of}attn.relative_position_bias_table"]),
            (f"{ours}attention.output.weight", [f"{of}attn.proj.weight"]),
            (f"{ours}attention_scale", [f"{of}gamma_1"]),
            (f"{ours}mlp_norm.bias", [f"{of}norm2.bias"]),
            (f"{ours}mlp_in.weight", [f"{of}mlp.fc1.weight"]),
            (f"{ours}mlp_out.weight", [f"{of}mlp.fc2.weight"]),
            (f"{ours}mlp_scale", [f"{of}gamma_2"]),
        ]
    check_gradients(encoder, output.pooled, theirs, expected, pairs)


def test_mean_pooled_checkpoint_starts_the_token_norm(tmp_path, image_encoder):
    """BEiT with mean pooling has no LayerNorm of the tokens: the pooler's starts both."""
    theirs = hugging_face_beit(tmp_path, mean_pooling=True)
    for pooling in ("cls", "mean"):
        encoder = load(image_encoder(pooling), tmp_path)
        assert torch.equal(encoder.norm.weight, theirs.pooler.layernorm.weight)


def test_checkpoint_of_a_hub_name(tmp_path, image_encoder, monkeypatch):
    """A hub name is looked up in the hub's cache, here one without network."""
    commit = "0" * 40
    cached = tmp_path / "models--someone--small-beit"
    theirs = hugging_face_beit(cached / "snapshots" / commit)
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text(commit)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    encoder = load(image_encoder(), "someone/small-beit")
    assert torch.equal(encoder.cls_token, theirs.embeddings.cls_token)
    with pytest.raises(ConfigError, match="someone/other.*give the path of a downloaded"):
        load(image_encoder(), "someone/other")


def test_inflation_repeats_the_spatial_table(tmp_path, image_encoder):
    theirs = hugging_face_beit(tmp_path)
    frames = 3
    encoder = load(image_encoder(max_frames=frames), tmp_path)
    table = theirs.layers[1].relative_position_bias.relative_position_bias_table
    ours = encoder.layers[1].attention.bias_table
    span = 2 * (SIDE // PATCH) - 1
    for dt in range(2 * frames - 1):
        for dy in range(span):
            for dx in range(span):
                row = ours[(dt * span + dy) * span + dx]
                assert torch.equal(row, table[dy * span + dx])
    assert torch.equal(ours[-3:], table[-3:])


@pytest.mark.parametrize("old, new", [(1, 4), (2, 4), (4, 2), (3, 8), (4, 4)])
def test_frames_are_interpolated_to_the_nearest(old, new):
    rows, heads = 9, 2
    table = torch.randn((2 * old - 1) * rows + 3, heads)
    fitted = fit_bias_table(table, (old, 2, 2), (new, 2, 2))
    assert fitted.shape == ((2 * new - 1) * rows + 3, heads)
    for dt in range(2 * new - 1):
        # the source is cut in as many equal stretches as there are targets
        source = int(np.floor(dt * (2 * old - 1) / (2 * new - 1)))
        assert torch.equal(fitted[dt * rows :][:rows], table[source * rows :][:rows])
    assert torch.equal(fitted[-3:], table[-3:])


def geometric_positions(old, new):
    """Where unilm's BEiT puts `old` relative positions when `new` are wanted."""
    low, high = 1.01, 1.5
    while high - low > 1e-6:
        ratio = (low + high) / 2
        if sum(ratio**k for k in range(old // 2)) > new // 2:
            high = ratio
        else:
            low = ratio
    far = [sum(ratio**j for j in range(k + 1)) for k in range(old // 2)]
    return [-x for x in reversed(far)] + [0.0] + far


@pytest.mark.parametrize("side", [6, 9])
def test_other_resolutions_are_interpolated_on_geometric_positions(side):
    old_side, heads, frames = 5, 2, 2
    old, new = 2 * old_side - 1, 2 * side - 1
    table = torch.randn((2 * frames - 1) * old * old + 3, heads)
    fitted = fit_bias_table(table, (frames, old_side, old_side), (frames, side, side))
    places = geometric_positions(old, new)
    wanted = np.arange(new) - new // 2
    spatial = table[:-3].reshape(2 * frames - 1, old, old, heads).double().numpy()
    for dt in range(2 * frames - 1):
        for head in range(heads):
            rows = [np.interp(wanted, places, row) for row in spatial[dt, :, :, head]]
            expected = np.stack([np.interp(wanted, places, column) for column in np.array(rows).T])
            ours = fitted[:-3].reshape(2 * frames - 1, new, new, heads)[dt, :, :, head]
            np.testing.assert_allclose(ours.numpy(), expected.T, atol=1e-4)
    assert torch.equal(fitted[-3:], table[-3:])


def test_a_checkpoint_of_another_resolution_loads(tmp_path, image_encoder):
    for folder, save in ((tmp_path / "hf", hugging_face_beit), (tmp_path / "timm", timm_beit)):
        save(folder, side=24)
        encoder = load(image_encoder(max_frames=2), folder)
        assert encoder(images()[0][:, None]).pooled.isfinite().all()


def without(folder, name):
    """Remove the tensor whose name ends like this from a saved checkpoint."""
    weights = folder / "model.safetensors"
    state = load_file(weights)
    (found,) = [key for key in state if key.endswith(name)]
    del state[found]
    save_file(state, weights, metadata={"format": "pt"})


def with_tensor(folder, name, tensor):
    weights = folder / "model.safetensors"
    state = load_file(weights) | {name: tensor}
    save_file(state, weights, metadata={"format": "pt"})


def change_config(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_missing_unknown_and_misshapen_tensors_are_named(tmp_path, image_encoder):
    hugging_face_beit(tmp_path)
    encoder = image_encoder()
    with_tensor(tmp_path, "beit.encoder.layer.1.surprise", torch.ones(2))
    with pytest.raises(ConfigError, match="1 unknown: .*layers.1.surprise"):
        load(encoder, tmp_path)
    hugging_face_beit(tmp_path)
    without(tmp_path, "layer.2.lambda_1")
    with pytest.raises(ConfigError, match="1 missing: layers.2.lambda_1"):
        load(encoder, tmp_path)
    hugging_face_beit(tmp_path)
    with_tensor(tmp_path, "beit.encoder.layer.1.lambda_2", torch.ones(5))
    with pytest.raises(ConfigError, match=r"layers.1.lambda_2 \(5,\) instead of \(32,\)"):
        load(encoder, tmp_path)


def test_timm_checkpoint_with_a_missing_tensor_is_named(tmp_path, image_encoder):
    timm_beit(tmp_path)
    weights = next(tmp_path.glob("*.bin"))
    state = torch.load(weights, weights_only=True)
    del state["blocks.1.gamma_1"]
    torch.save(state, weights)
    with pytest.raises(ConfigError, match=r"weights cannot be read .*blocks.1.gamma_1"):
        load(image_encoder(), tmp_path)


def test_a_checkpoint_of_another_size_is_named(tmp_path, image_encoder):
    hugging_face_beit(tmp_path, hidden_size=64)
    with pytest.raises(ConfigError, match=r"of another shape: cls_token \(1, 1, 64\)"):
        load(image_encoder(), tmp_path)


def test_other_architectures_are_named(tmp_path, image_encoder):
    encoder = image_encoder()
    ViTModel(ViTConfig(hidden_size=32, num_hidden_layers=1, num_attention_heads=2)).save_pretrained(
        tmp_path / "vit"
    )
    with pytest.raises(ConfigError, match="model_type = 'vit', needed is 'beit'"):
        load(encoder, tmp_path / "vit")
    hugging_face_beit(tmp_path / "plain", use_relative_position_bias=False)
    with pytest.raises(ConfigError, match="use_relative_position_bias = False"):
        load(encoder, tmp_path / "plain")
    hugging_face_beit(tmp_path / "shared", use_shared_relative_position_bias=True)
    with pytest.raises(ConfigError, match="1 unknown: .*relative_position_bias_table"):
        load(encoder, tmp_path / "shared")
    timm_beit(tmp_path / "timm", side=SIDE)
    change_config(tmp_path / "timm", architecture="vit_base_patch16_224")
    with pytest.raises(ConfigError, match="a 'vit_base_patch16_224' model, not BEiT"):
        load(encoder, tmp_path / "timm")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match="neither a folder with config.json"):
        load(encoder, tmp_path / "empty")
    hugging_face_beit(tmp_path / "bare")
    (tmp_path / "bare" / "model.safetensors").unlink()
    with pytest.raises(ConfigError, match="weights cannot be read"):
        load(encoder, tmp_path / "bare")


def bert_config(text, **changes):
    return BertConfig(
        **{
            "hidden_size": text.width,
            "num_hidden_layers": 5,
            "num_attention_heads": text.heads,
            "intermediate_size": text.mlp_width,
            "vocab_size": text.vocabulary_size,
            "max_position_embeddings": text.max_positions,
        }
        | changes
    )


def test_bert_is_shared_among_text_fusion_and_head(tmp_path, model_recipe):
    """Layers 0, 1 are the text encoder's, 2, 3 the fusion encoder's, 4 is left out; the fusion
    encoder keeps its own cross-attention."""
    theirs = randomised(BertForPreTraining(bert_config(model_recipe.text)))
    theirs.save_pretrained(tmp_path)
    model = SViTTEgo(model_recipe)
    cross = model.fusion.layers[0].cross_attention.query.weight.clone()
    load_bert(model, str(tmp_path))
    layers = theirs.bert.encoder.layer
    assert torch.equal(model.text.layers[1].mlp_in.weight, layers[1].intermediate.dense.weight)
    assert torch.equal(model.fusion.layers[1].norm.bias, layers[3].output.LayerNorm.bias)
    assert torch.equal(model.fusion.layers[0].cross_attention.query.weight, cross)
    hidden = torch.randn(4, model_recipe.text.width)
    assert_same(model.mlm_logits(hidden), theirs.cls.predictions(hidden), "logits")


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"num_hidden_layers": 3}, "has 3 layers, text and fusion encoder need 4"),
        ({"num_attention_heads": 4}, "has num_attention_heads = 4, needed is 3"),
        ({"hidden_act": "relu"}, "has hidden_act = 'relu'"),
        ({"vocab_size": 70}, r"embedding.word.weight \(70, 24\) instead of \(60, 24\)"),
        ({"intermediate_size": 44}, "of another shape: layers.0.mlp_in.bias"),
    ],
    ids=str,
)
def test_berts_that_do_not_fit_are_named(tmp_path, model_recipe, changes, said):
    BertForPreTraining(bert_config(model_recipe.text, **changes)).save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match=said):
        load_bert(SViTTEgo(model_recipe), str(tmp_path))


def test_bert_without_prediction_head_is_named(tmp_path, model_recipe):
    BertModel(bert_config(model_recipe.text)).save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match="missing: cls.predictions"):
        load_bert(SViTTEgo(model_recipe), str(tmp_path))


def test_the_recipe_names_what_is_loaded(tmp_path, make_model):
    """Both checkpoints through the recipe's fields; without them nothing is touched."""
    hugging_face_beit(tmp_path / "beit")
    recipe = make_model(**SIZE, image_size=SIDE, pretrained=str(tmp_path / "beit"))
    bert = randomised(BertForPreTraining(bert_config(recipe.text)))
    bert.save_pretrained(tmp_path / "bert")
    text = recipe.text.model_copy(update={"pretrained": str(tmp_path / "bert")})
    recipe = recipe.model_copy(update={"text": text})
    model = SViTTEgo(recipe)
    load_pretrained(model, recipe)
    assert torch.equal(
        model.text.embedding.word.weight, bert.bert.embeddings.word_embeddings.weight
    )
    assert model.video.layers[0].attention_scale.std() > 0.1
    untouched = SViTTEgo(make_model())
    before = {name: tensor.clone() for name, tensor in untouched.state_dict().items()}
    load_pretrained(untouched, make_model())
    assert all(torch.equal(before[name], t) for name, t in untouched.state_dict().items())
