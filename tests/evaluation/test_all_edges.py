"""A model that was trained with sparse edges is evaluated with all of them."""

import json
import shutil

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from svitt_ego.config import load_recipe
from svitt_ego.evaluation.all_edges import with_all_edges
from svitt_ego.models import SViTTEgo
from svitt_ego.training.run_directory import RunDirectory
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
    """What they print is that of a dense model of the same weights."""
    dense_run = RunDirectory(shutil.copytree(run, tmp_path / "dense"))
    dense_recipe = load_recipe(str(dense_run.recipe_file), ["model.video.edge_sparsity=null"])
    dense_run.write_setup(dense_recipe, {}, {})

    def scores(run, *flags):
        output = tmp_path / "mcq.json"
        arguments = ("--run", run, "--output", output, "--set", "data.workers=0", *flags)
        launch(monkeypatch, "evaluate_egomcq.py", *arguments)
        return [answer["scores"] for answer in json.loads(output.read_text())["answers"]]

    assert scores(run, "--all-edges") == scores(dense_run.path) != scores(run)


def test_features_with_and_without_do_not_mix(run, tmp_path, monkeypatch, capsys):
    folder = tmp_path / "features"
    arguments = ("--run", run, "--output", folder, "--window", 30)
    arguments += ("--stride", 30, "--set", "data.workers=0")
    launch(monkeypatch, "extract_features.py", *arguments)
    line = refusal(monkeypatch, capsys, "extract_features.py", *arguments, "--all-edges")
    assert "index.json: is of all_edges False, not True: give another folder" in line
    (folder / "index.json").unlink()  # as of an extraction that was stopped
    line = refusal(monkeypatch, capsys, "extract_features.py", *arguments, "--all-edges")
    assert "safetensors: was made with all_edges False, not True: give another folder" in line


def test_features_of_before_there_was_the_choice_are_gone_on_with(
    run, tmp_path, monkeypatch, capsys
):
    folder = tmp_path / "features"
    arguments = ("--run", run, "--output", folder, "--window", 30)
    arguments += ("--stride", 30, "--set", "data.workers=0")
    launch(monkeypatch, "extract_features.py", *arguments)
    files = list(folder.glob("*.safetensors"))
    for path in files:
        with safe_open(path, framework="pt") as file:
            identity = file.metadata()
        assert identity.pop("all_edges") == "False"
        save_file(load_file(path), path, identity)
    capsys.readouterr()
    launch(monkeypatch, "extract_features.py", *arguments)
    assert f"0 clips embedded, {len(files)} there already" in capsys.readouterr().out
