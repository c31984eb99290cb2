"""What `make demo` reports comes from the files its steps left."""

import json
import os

import pytest

from svitt_ego.config import ConfigError, load_recipe
from svitt_ego.demo import DemoFiles, _summary, _train, table
from svitt_ego.shown_commands import is_newer
from svitt_ego.training.run_directory import RunDirectory, tag_of


@pytest.fixture
def files(tmp_path):
    files = DemoFiles.below(tmp_path)
    run = RunDirectory(files.training)
    run.write_setup(
        load_recipe("demo"),
        {"zero_optimization": {"stage": 2}},
        {"first_step": 4, "total_steps": 12, "world_size": 2},
    )
    run.records_file.write_text(
        "".join(json.dumps({"step": step, "loss": 20.0 - step}) + "\n" for step in range(1, 13))
    )
    checkpoint = run.checkpoints / tag_of(12)
    checkpoint.mkdir(parents=True)
    for name in ("model.safetensors", "mp_states.pt", "0_optim_states.pt", "1_optim_states.pt"):
        (checkpoint / name).write_bytes(b"")
    run.pointer.write_text(f"{tag_of(12)}\n")
    questions = {"inter": 240, "intra": 200}
    files.egomcq.write_text(json.dumps({"inter": 40.0, "intra": 25.0, "questions": questions}))
    files.memory.parent.mkdir()
    peaks = {"dense": 3 << 20, "dense_efficient": 2 << 20, "sparse": 1 << 20}
    variants = [{"name": name, "peak_bytes": peak} for name, peak in peaks.items()]
    files.memory.write_text(json.dumps({"variants": variants}))
    return files


def test_summary_and_table(files):
    summary = _summary(files) | {"wall_s": 1.5}
    assert summary["train_steps"] == 12 and summary["resumed_from_step"] == 4
    assert summary["loss_first"] == 17.0 and summary["loss_last"] == 10.0  # means of five steps
    assert summary["world_size"] == 2 and summary["zero_stage"] == 2
    assert summary["checkpoint_shards"] == 3
    assert summary["dense_peak_bytes"] == 3 << 20
    assert summary["dense_efficient_peak_bytes"] == 2 << 20
    assert summary["sparse_peak_bytes"] == 1 << 20
    assert summary["egomcq"] == {"inter": 40.0, "intra": 25.0, "questions": 440}
    shown = table(summary)
    for figure in ("17.00 -> 10.00", "40.0 / 25.0 %", "3 MiB", "2 MiB", "1 MiB", "report.html"):
        assert figure in shown


def test_a_result_is_redone_when_its_sourceis_newer(tmp_path):
    source, result = tmp_path / "source", tmp_path / "result"
    source.write_text("")
    assert not is_newer(result, source)
    result.write_text("")
    os.utime(source, (100, 100))
    assert is_newer(result, source)
    os.utime(result, (50, 50))
    assert not is_newer(result, source)


def test_training_of_another_recipe_is_not_passed_off_as_this_one(files):
    changed = load_recipe("demo", ["optimisation.learning_rate=0.25"])
    with pytest.raises(ConfigError, match="learning_rate = 0.25 was 0.001"):
        _train(changed, files.training, 2)
