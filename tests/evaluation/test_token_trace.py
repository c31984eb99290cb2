"""What is shown is what the model computed."""

import av
import numpy as np
import pytest
import torch
from PIL import Image

from svitt_ego.config.schema import Model
from svitt_ego.data.text import encode_texts, load_tokenizer
from svitt_ego.evaluation.token_picture import stage_picture
from svitt_ego.evaluation.token_trace import Stage, trace_tokens
from svitt_ego.models import SViTTEgo
from svitt_ego.models.node_strategies import reduce_tokens
from tests.data.ego_files import save_tokenizer
from tests.evaluation.launching import launch, refusal

MODEL = {
    "video": {"layers": 4, "width": 32, "heads": 2, "mlp_width": 64, "image_size": 32}
    | {"patch_size": 8, "edge_sparsity": {"block_size": 4}, "initialisation": "fan_in"}
    | {"node_sparsity": {"layers": [0, 2], "keep_rate": 0.6}},
    "text": {"layers": 1, "width": 32, "heads": 2, "mlp_width": 64, "vocabulary_size": 100}
    | {"initialisation": "fan_in"},
    "fusion": {"layers": 3, "node_sparsity": {"layers": [0, 1], "keep_rate": 0.5}},
    "projection_width": 16,
}


@pytest.fixture(params=["cls_attention", "random", "merge"])
def traced(request, tmp_path):
    torch.manual_seed(1)
    for part in ("video", "fusion"):
        node = MODEL[part]["node_sparsity"] | {"strategy": request.param}
        tree = MODEL | {part: MODEL[part] | {"node_sparsity": node}}
    model = SViTTEgo(Model.model_validate(tree))
    tokenizer = load_tokenizer(str(save_tokenizer(tmp_path / "tokenizer")), vocabulary_size=100)
    video = torch.randint(0, 256, (3, 3, 32, 32), dtype=torch.uint8)
    return model, tokenizer, video, trace_tokens(model, tokenizer, 16, video, "cuts a thing")


def positions(stage):
    return stage.kept.flatten().nonzero()[:, 0]


def test_stages_are_those_of_the_model(traced):
    model, _, video, trace = traced
    first, second, cls, text, fused_first, fused_second = trace.stages
    with torch.no_grad():
        encoded = model.encode_video(video[None])
    assert torch.equal(positions(first), encoded.kept[0][0])
    assert torch.equal(positions(second), encoded.kept[1][0])
    assert [stage.kept.sum() for stage in trace.stages] == [29, 18, 18, 18, 9, 5]
    assert first.title == "layer 0 keeps 29 of 48"
    for stage in (cls, text):
        assert stage.attention.shape == (3, 4, 4)
        assert ((stage.attention > 0) == stage.kept).all()
        assert 0 < stage.attention.sum() < 1  # the rest is [CLS]'s
    assert set(positions(fused_second).tolist()) < set(positions(fused_first).tolist())


def test_the_fusion_encoder_goes_on_with_the_patches_shown(traced):
    model, tokenizer, video, trace = traced
    seen = []
    model.fusion.layers[2].register_forward_pre_hook(lambda _, given: seen.append(given[2]))
    with torch.no_grad():
        encoded = model.encode_video(video[None])
        ids, mask = encode_texts(tokenizer, ["cuts a thing"], 16)
        model.fuse(model.encode_text(ids, mask).tokens, mask, encoded.tokens)
    place_of = {int(position): place for place, position in enumerate(encoded.kept[1][0])}
    places = torch.tensor([place_of[int(p)] for p in positions(trace.stages[-1])])
    expected = encoded.tokens[:, 1:][:, places]
    if model.recipe.fusion.node_sparsity.strategy == "merge":  # what is shown stands for others too
        first = reduce_tokens("merge", encoded.tokens, 9)
        expected = reduce_tokens("merge", first.tokens, 5, sizes=first.sizes).tokens[:, 1:]
    assert torch.equal(seen[0][:, 1:], expected)


def test_nothing_of_the_trace_stays_in_the_model(traced):
    model, *_ = traced
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_dropped_patches_are_pale():
    kept = torch.tensor([[[True, False], [False, True]]])
    black = np.zeros((4, 4, 3), np.uint8)
    shown = stage_picture(black, Stage("", kept), 0)
    assert (shown[:2, :2] == 0).all() and (shown[2:, 2:] == 0).all()
    assert np.allclose(shown[:2, 2:], 0.85) and np.allclose(shown[2:, :2], 0.85)
    attention = torch.tensor([[[0.2, 0.1], [0.0, 0.0]]])
    shown = stage_picture(black, Stage("", kept, attention), 0)
    assert np.allclose(shown[::2, ::2, 0], [[0, 0.425], [0.85, 0.85]])


def test_the_command_draws(run, tmp_path, monkeypatch, capsys):
    output = tmp_path / "tokens"
    launch(monkeypatch, "show_tokens.py", "--run", run, "--row", 3, "--output", output)
    names = ("tokens.png", "tokens.gif", "tokens.mp4", "patterns.png")
    written = [output / name for name in names]
    assert capsys.readouterr().out.split() == [str(path) for path in written]
    assert written[0].read_bytes().startswith(b"\x89PNG")
    with Image.open(written[1]) as gif:
        assert (gif.format, gif.n_frames) == ("GIF", 4)
        shown = []
        for frame in range(4):
            gif.seek(frame)
            shown.append(np.asarray(gif.convert("RGB"), np.float64))
    with av.open(str(written[2])) as container:
        (stream,) = container.streams
        assert (stream.codec_context.name, float(stream.average_rate)) == ("h264", 10.0)
        played = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
    assert len(played) == 4 * 5
    for frame in range(4):  # 256 colours there, H.264 here: the same pictures but for small noise
        assert np.abs(played[5 * frame + 2] - shown[frame]).mean() < 6

    arguments = ("show_tokens.py", "--run", run, "--output", output)
    line = refusal(monkeypatch, capsys, *arguments, "--row", 10**6)
    assert line.startswith("error: --row 1000000: ") and "has the rows 0 to" in line
    line = refusal(monkeypatch, capsys, *arguments, "--clip", "gone", 0, 1, "--text", "cuts")
    assert line.endswith("gone/0.mp4: missing: the clip cannot be read")
    line = refusal(monkeypatch, capsys, *arguments, "--clip", "gone", 2, 1, "--text", "cuts")
    assert "must be a start and a later end" in line
