"""Training of grounding as users start it: the same launcher, records and checkpoints as
pre-training."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from svitt_ego.config import ConfigError, Recipe, load_recipe
from svitt_ego.config.grounding import GroundingRecipe
from svitt_ego.durable_files import read_json_lines
from svitt_ego.grounding.build import build_grounder
from svitt_ego.grounding.dataset import open_dataset
from svitt_ego.grounding.trained_grounder import load_trained_grounder
from svitt_ego.grounding.training import ReadableSamples
from svitt_ego.models.weights import save_weights
from svitt_ego.training.free_port import free_port
from svitt_ego.training.run_directory import RunDirectory
from tests.grounding.nlq_files import (
    nlq_clip,
    nlq_query,
    write_features,
    write_nlq,
    write_text_features,
)

DEEPSPEED_CONFIG = "ds_configs/zero2_cpu.json"
EQUAL = ("step", "loss", "loss_regression", "gradient_norm", "learning_rate", "running_positives")


@pytest.fixture
def recipe_file(tmp_path):
    """Twelve queries about two clips, in batches of two on two ranks."""
    clips = [
        nlq_clip(name, *(nlq_query(2 * i, 2 * i + 3 + 2 * (name == "b")) for i in range(6)))
        for name in "ab"
    ]
    write_nlq(tmp_path / "nlq_train.json", *clips)
    write_features(tmp_path / "features", ["a", "b"])
    ids = [f"note-{name}_{i}" for name in "ab" for i in range(6)]
    write_text_features(tmp_path / "features" / "queries_nlq_train.safetensors", ids)
    tree = {
        "model": {
            "video_width": 10,
            "text_width": 6,
            "width": 16,
            "heads": 2,
            "pyramid": {"stem_layers": 1, "text_layers": 1, "layer_scale": 1.0},
        },
        "data": {
            "train_queries": str(tmp_path / "nlq_train.json"),
            "features": str(tmp_path / "features"),
            "workers": 1,
        },
        "optimisation": {"warmup_epochs": 0.5, "learning_rate": 1e-3},
        "training": {"epochs": 2, "micro_batch_size": 2, "checkpoint_every_steps": 2},
    }
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(tree))
    return path


def launch(recipe_file, run, *arguments, ranks=2):
    launcher = [Path(sys.executable).with_name("deepspeed"), "--num_accelerators", ranks]
    launcher += ["--master_port", free_port()]
    command = [
        *(launcher if ranks > 1 else [sys.executable]),
        *("launch/train_grounding.py", "--recipe", recipe_file),
        *("--deepspeed_config", DEEPSPEED_CONFIG, "--output-dir", run, *arguments),
    ]
    words = [str(word) for word in command]
    ended = subprocess.run(words, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stderr[-3000:]
    return ended.stderr


def test_interrupted_and_resumed_equals_uninterrupted(recipe_file, tmp_path):
    """On the same ranks digit for digit; on one instead of two it goes on at the same batch."""
    whole = RunDirectory(tmp_path / "whole", GroundingRecipe)
    launch(recipe_file, whole.path, "--max-steps", 4)
    records = read_json_lines(whole.records_file)
    assert [record["step"] for record in records] == [1, 2, 3, 4]
    assert all(r["samples"] == 4 and r["windows"] == 600 and r["peak_bytes"] for r in records)
    counts = [record["running_positives"] for record in records]
    assert counts == sorted(counts, reverse=True) and 1 < counts[-1] < counts[0] < 200
    assert records[0]["loss"] == pytest.approx(
        records[0]["loss_classification"] + records[0]["loss_regression"], rel=1e-2
    )

    torn = RunDirectory(tmp_path / "torn", GroundingRecipe)
    shutil.copytree(whole.path, torn.path)
    shutil.rmtree(torn.checkpoints / "step-000004")
    shutil.copytree(torn.path, tmp_path / "alone")
    said = launch(recipe_file, torn.path, "--max-steps", 4, "--resume", "auto")
    assert "resuming after step 2" in said
    again = read_json_lines(torn.records_file)
    for key in EQUAL:
        assert [r[key] for r in again] == [r[key] for r in records], key
    mine, theirs = (load_trained_grounder(run.path)[0].state_dict() for run in (torn, whole))
    assert all(mine[name].equal(theirs[name]) for name in theirs)

    weights = load_file(whole.weights_file("step-000004"))
    assert weights["running_positives"].dtype == torch.float32
    assert weights["running_positives"].item() == counts[-1]

    said = launch(recipe_file, tmp_path / "alone", "--resume", "auto", ranks=1)
    assert "now 1 ranks x training.micro_batch_size = 2" in said
    alone = read_json_lines(tmp_path / "alone" / "records.jsonl")
    assert len(alone) == 6 and {record["samples"] for record in alone} == {4}
    # other draws of drop path, of branches that at first are most of what there is
    assert alone[2]["loss"] == pytest.approx(records[2]["loss"], rel=0.3)


@pytest.mark.parametrize("architecture", ["ground_nlq", "vslnet"])
def test_fine_tuning_starts_from_a_run(recipe_file, tmp_path, architecture):
    from svitt_ego.grounding.training import Grounding

    change = f"model.architecture={architecture}"
    first = RunDirectory(tmp_path / "first", GroundingRecipe)
    recipe = load_recipe(str(recipe_file), [change], GroundingRecipe)
    first.write_setup(recipe, {}, {})
    first.weights_file("step-000001").parent.mkdir(parents=True)
    save_weights(build_grounder(recipe.model).state_dict(), first.weights_file("step-000001"))
    trained, found = load_trained_grounder(first.path)
    assert found == recipe
    pretrained = f"model.pretrained={first.path}"
    tuned = load_recipe(str(recipe_file), [change, pretrained, "seed=1"], GroundingRecipe)
    model = Grounding(tuned).build_model(resumes=False)
    expected = trained.state_dict()
    assert all(expected[name].equal(tensor) for name, tensor in model.state_dict().items())
    wider = load_recipe(str(recipe_file), [change, pretrained, "model.width=32"], GroundingRecipe)
    with pytest.raises(ConfigError, match=r"model\.pretrained = .* another architecture"):
        Grounding(wider).build_model(resumes=False)


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("data.train_queries=null", "data.train_queries: must be given"),
        ("data.train_queries=nowhere.json", "nowhere.json: cannot be read"),
        ("data.features=nowhere", "nowhere/index.json: No such file"),
        ("data.grid.stride_frames=8.0", "stride_frames = 4, but the recipe's"),
        ("model.video_width=256", "width = 10, but the recipe's model.video_width is 256"),
        ("model.text_width=256", "but the recipe's model.text_width is 256"),
        ("model.pretrained=nowhere", "model.pretrained = 'nowhere': nowhere: has no checkpoint"),
        ("training.micro_batch_size=100", "an epoch has 12 samples, but a step takes 100"),
        ("training.contrastive_batch=step", "training.contrastive_batch = 'step': unknown key"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(recipe_file, tmp_path, override, said):
    from svitt_ego.grounding.training import Grounding
    from svitt_ego.training.loop import train

    with pytest.raises(ConfigError, match=re.escape(said)) as error:
        recipe = load_recipe(str(recipe_file), [override], GroundingRecipe)
        train(Grounding(recipe), DEEPSPEED_CONFIG, tmp_path / "run")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "run").exists()


def test_a_run_of_grounding_is_no_run_of_pretraining(recipe_file, tmp_path):
    run = RunDirectory(tmp_path / "run", GroundingRecipe)
    recipe = load_recipe(str(recipe_file), [], GroundingRecipe)
    run.write_setup(recipe, {}, {})
    with pytest.raises(ConfigError, match=r"recipe\.yaml: .*"):
        RunDirectory(run.path).read_recipe()
    moved = load_recipe(str(recipe_file), ["data.features=elsewhere"], GroundingRecipe)
    run.check_same_run(moved)
    with pytest.raises(ConfigError, match="seed = 3 was 0"):
        run.check_same_run(load_recipe(str(recipe_file), ["seed=3"], GroundingRecipe))


def test_another_query_stands_in_for_unreadable_features(recipe_file, tmp_path):
    recipe = load_recipe(str(recipe_file), [], GroundingRecipe)
    samples = ReadableSamples(open_dataset(recipe, recipe.data.train_queries, training=True))
    save_file({"features": torch.zeros(3, 10)}, tmp_path / "features" / "b.safetensors")
    assert samples[0, 5].faults == () and samples[0, 5].row == 5
    stand_in = samples[0, 8]  # of clip b, as are those up to 11
    assert stand_in.row == 0
    path = str(tmp_path / "features" / "b.safetensors")
    assert [(f.path, f.cause) for f in stand_in.faults] == [(path, "unreadable")] * 4
    save_file({"features": torch.zeros(3, 10)}, tmp_path / "features" / "a.safetensors")
    with pytest.raises(ConfigError, match="but index.json says"):
        samples[0, 5]


def test_the_file_that_cannot_be_read_is_the_fault(recipe_file, tmp_path):
    recipe = load_recipe(str(recipe_file), [], GroundingRecipe)
    path = tmp_path / "features" / "queries_nlq_train.safetensors"
    texts = load_file(path)
    texts["note-a_1"][0, 0] = torch.nan
    save_file(texts, path)
    samples = ReadableSamples(open_dataset(recipe, recipe.data.train_queries, training=True))
    stand_in = samples[0, 1]
    assert stand_in.row == 2 and [fault.path for fault in stand_in.faults] == [str(path)]


@pytest.mark.parametrize("architecture", ["ground_nlq", "vslnet"])
def test_half_precision_keeps_the_count_and_gives_near_losses(make_batch, make_model, architecture):
    torch.manual_seed(0)
    batch = make_batch(40, 33, tokens=(5, 3))
    model = make_model(architecture=architecture, drop_path=0.0)
    model.eval()
    exact = model.losses(model(batch), batch).total
    if architecture == "ground_nlq":
        model.running_positives.fill_(200.1)  # more digits than bfloat16 has
        exact = model.losses(model(batch), batch).total
    model.bfloat16()
    half = batch.of_type(torch.bfloat16)
    near = model.losses(model(half), half).total
    assert near.dtype == torch.float32
    torch.testing.assert_close(near, exact, rtol=0.05, atol=0)
    if architecture == "ground_nlq":
        assert model.running_positives.dtype == torch.float32
        assert model.running_positives.item() == pytest.approx(200.1, abs=1e-4)


def test_the_built_models_name_their_losses(make_batch, make_model):
    batch = make_batch(20)
    for architecture in ("ground_nlq", "vslnet"):
        model = make_model(architecture=architecture)
        assert tuple(model.losses(model(batch), batch).parts) == model.loss_names
    assert build_grounder(load_recipe("grounding/paper_128", (), GroundingRecipe).model).figures()


@pytest.mark.parametrize("path", sorted(Path("launch/recipes").glob("*/*.yaml")), ids=str)
def test_every_shipped_recipe_is_valid_and_listed(path):
    kind = Recipe if path.stem == "video_text" else GroundingRecipe
    name = f"{path.parent.name}/{path.stem}"
    assert load_recipe(name, (), kind).name == path.stem
    assert f"`{name}`" in Path("docs/grounding.md").read_text()
