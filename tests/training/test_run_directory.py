import json

import pytest

from svitt_ego.config import ConfigError, load_recipe
from svitt_ego.durable_files import read_json_lines, write_atomically
from svitt_ego.models import SViTTEgo
from svitt_ego.models.weights import check_weights, load_weights, save_weights
from svitt_ego.training.records import RecordWriter, forget_after
from svitt_ego.training.run_directory import RunDirectory, tag_of
from svitt_ego.training.trained_model import load_trained_model


@pytest.fixture
def run(tmp_path):
    directory = RunDirectory(tmp_path / "run")
    directory.write_setup(
        load_recipe("demo"), {"zero_optimization": {"stage": 2}}, {"first_step": 0}
    )
    return directory


def test_output_dir_must_be_a_folder_to_write_to(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="is not a folder to write to"):
        RunDirectory(tmp_path / "file" / "run").check_can_start(resume=False)


def publish(run, step, model):
    folder = run.checkpoints / tag_of(step)
    folder.mkdir(parents=True)
    save_weights(model.state_dict(), run.weights_file(tag_of(step)))
    write_atomically(run.pointer, f"{tag_of(step)}\n")


def test_resolved_recipe_reads_back_equal(run):
    assert run.read_recipe() == load_recipe("demo")
    assert json.loads(run.deepspeed_file.read_text())["zero_optimization"]["stage"] == 2
    (launch,) = run.launches()
    assert launch["first_step"] == 0 and launch["packages"]["torch"]


def test_a_second_start_needs_resume(run):
    run.check_can_start(resume=True)
    with pytest.raises(ConfigError, match="--resume auto"):
        run.check_can_start(resume=False)


def test_another_recipe_is_another_run(run):
    changes = ["data.workers=3", "data.max_unreadable_share=0.7", "data.videos.root=elsewhere"]
    run.check_same_run(load_recipe("demo", changes))
    with pytest.raises(ConfigError, match="optimisation.learning_rate = 0.5 was 0.001"):
        run.check_same_run(load_recipe("demo", ["optimisation.learning_rate=0.5"]))
    run.recipe_file.write_bytes(b"\xff" + run.recipe_file.read_bytes())
    with pytest.raises(ConfigError, match="recipe.yaml: cannot be read: 'utf-8'"):
        run.check_same_run(load_recipe("demo"))


def test_a_record_without_a_step_is_named(run):
    run.records_file.write_text('{"step": 1}\n{"ste0": 2}\n')
    with pytest.raises(ConfigError, match="records.jsonl: line 2: has no step"):
        run.check_readable()


def test_trained_model_gives_the_saved_weights(run):
    recipe = load_recipe("demo")
    model = SViTTEgo.from_recipe(recipe)
    publish(run, 40, SViTTEgo.from_recipe(recipe))
    publish(run, 80, model)
    loaded, of_run = load_trained_model(run.path)
    assert of_run == recipe and not loaded.training
    for name, tensor in model.state_dict().items():
        assert tensor.equal(loaded.state_dict()[name]), name
    older, _ = load_trained_model(run.path, "step-000040")
    assert not older.video.cls_token.equal(loaded.video.cls_token)


def test_missing_checkpoints_are_named(run):
    with pytest.raises(ConfigError, match="has no checkpoint yet; there are: none"):
        load_trained_model(run.path)
    publish(run, 40, SViTTEgo.from_recipe(load_recipe("demo")))
    with pytest.raises(ConfigError, match="no checkpoint 'step-7'; there are: step-000040"):
        load_trained_model(run.path, "step-7")
    write_atomically(run.pointer, "step-000999\n")
    assert run.newest_tag() == "step-000040"  # the pointer is for people and DeepSpeed's tools
    with pytest.raises(ConfigError, match="not a run directory"):
        load_trained_model(run.path / "nowhere")


def test_another_architecture_names_keys_and_shapes(tmp_path):
    path = tmp_path / "model.safetensors"
    save_weights(SViTTEgo.from_recipe(load_recipe("demo")).state_dict(), path)
    other = SViTTEgo.from_recipe(
        load_recipe("demo", ["model.video.layers=7", "model.projection_width=32"])
    )
    with pytest.raises(ConfigError) as error:
        check_weights(other, path)
    said = str(error.value)
    assert "missing: video.layers.4." in said
    assert "text_projection.weight (64, 128) instead of (32, 128)" in said
    path.write_bytes(b"not safetensors at all")
    with pytest.raises(ConfigError, match="not a readable safetensors file"):
        load_weights(other, path)


def test_records_survive_a_kill_and_forget_lost_steps(tmp_path):
    path = tmp_path / "records.jsonl"
    writer = RecordWriter(path)
    for step in range(1, 6):
        writer.write({"step": step})
    assert [record["step"] for record in read_json_lines(path)] == [1, 2, 3, 4, 5]
    with path.open("a") as file:
        file.write('{"step": 6, "lo')
    assert forget_after(path, 5) == 0  # the torn line goes, or the next would be glued to it
    writer = RecordWriter(path)
    writer.write({"step": 6})
    assert [record["step"] for record in read_json_lines(path)] == [1, 2, 3, 4, 5, 6]
    assert forget_after(path, 3) == 3
    assert [record["step"] for record in read_json_lines(path)] == [1, 2, 3]
    with pytest.raises(ValueError, match="not JSON"):
        writer.write({"step": 7, "loss": float("nan")})
    for line, said in (
        (b"nonsense", "not valid JSON: Expecting value"),
        (b"\xff\xfe", "not valid JSON: not UTF-8"),
        (b"[1]", "not a JSON object"),
    ):
        path.write_bytes(b'{"step": 1}\n' + line + b'\n{"step": 2}\n')
        with pytest.raises(ConfigError, match=f"line 2: {said}"):
            read_json_lines(path)
