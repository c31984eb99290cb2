"""A model that was trained with sparse edges is evaluated with all of them."""

import json

import pytest
import torch

from svitt_ego.evaluation.all_edges import with_all_edges
from svitt_ego.models import SViTTEgo
from tests.evaluation.launching import launch, refusal


def test_every_patch_sees_all_others_and_the_rest_stays(recipe):
    model = SViTTEgo(recipe.model).eval()
    for layer in model.video.layers:
        torch.nn.init.normal_(layer.attention.bias_table)
    dense = with_all_edges(model)
    assert dense.recipe.video.edge_sparsity is None and not dense.training
    assert dense.recipe.video.node_sparsity == model.recipe.video.node_sparsity is not None
    assert with_all_edges(dense) is dense
    assert with_all_edges(model.train()).training
    model.eval()
    for name, weight in model.state_dict().items():
        assert torch.equal(weight, dense.state_dict()[name])

    video = torch.randint(0, 256, (2, 4, 3, 48, 48), dtype=torch.uint8)
    with torch.no_grad():
        ours = dense.encode_video(video).pooled
        expected = model.encode_video(video, (None,) * len(model.video.layers)).pooled
        sparse = model.encode_video(video).pooled
    assert torch.equal(ours, expected)
    assert not torch.allclose(ours, sparse, rtol=1e-3, atol=1e-3)


def test_commands_take_it(run, tmp_path, monkeypatch):
    outputs = tmp_path / "sparse.json", tmp_path / "all.json"
    for output, flags in zip(outputs, ((), ("--all-edges",)), strict=True):
        arguments = ("--run", run, "--output", output, "--set", "data.workers=0", *flags)
        launch(monkeypatch, "evaluate_egomcq.py", *arguments)
    sparse, dense = (
        [answer["scores"]["dual"] for answer in json.loads(output.read_text())["answers"]]
        for output in outputs
    )
    assert sparse != dense
    for ours, theirs in zip(sparse, dense, strict=True):
        assert ours == pytest.approx(theirs, abs=2)  # both are cosines of the same questions


def test_features_with_and_without_do_not_mix(run, tmp_path, monkeypatch, capsys):
    arguments = ("--run", run, "--output", tmp_path / "features", "--window", 30)
    arguments += ("--stride", 30, "--set", "data.workers=0")
    launch(monkeypatch, "extract_features.py", *arguments)
    line = refusal(monkeypatch, capsys, "extract_features.py", *arguments, "--all-edges")
    assert "index.json: is of all_edges False, not True: give another folder" in line
