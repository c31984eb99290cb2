import json
from pathlib import Path

import pytest

from svitt_ego.config import ConfigError, load_recipe
from svitt_ego.training.deepspeed_config import (
    Machine,
    offloads_optimizer,
    precision_of,
    resolve_deepspeed_config,
    zero_stage_of,
)

GPU = Machine("cuda", fp16=True, bf16=True)
OLD_CPU = Machine("cpu", fp16=False, bf16=False)
NEW_CPU = Machine("cpu", fp16=False, bf16=True)
SHIPPED = sorted(Path("ds_configs").glob("*.json"))


def resolve(tmp_path, config, machine=GPU, world_size=2, overrides=()):
    path = tmp_path / "ds.json"
    path.write_text(config if isinstance(config, str) else json.dumps(config))
    recipe = load_recipe("demo", overrides)
    return resolve_deepspeed_config(str(path), recipe, world_size, tmp_path / "run", machine)


def test_recipe_fills_what_is_absent_or_auto(tmp_path):
    overrides = [
        "training.micro_batch_size=3",
        "training.gradient_accumulation_steps=5",
        "optimisation.gradient_clipping=0.5",
    ]
    for config in ({}, {"train_batch_size": "auto", "gradient_clipping": "auto"}):
        resolved = resolve(tmp_path, config, world_size=4, overrides=overrides)
        assert resolved["train_micro_batch_size_per_gpu"] == 3
        assert resolved["gradient_accumulation_steps"] == 5
        assert resolved["train_batch_size"] == 60
        assert resolved["gradient_clipping"] == 0.5


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_shipped_configs_resolve(tmp_path, path):
    machine = NEW_CPU if "cpu" in path.name else GPU
    recipe = load_recipe("paper_1_3_56")
    resolved = resolve_deepspeed_config(str(path), recipe, 8, tmp_path, machine)
    assert zero_stage_of(resolved) == 2
    assert resolved["train_batch_size"] == 64
    assert "auto" not in json.dumps(resolved)
    assert resolved["tensorboard"]["output_path"] == str(tmp_path)


@pytest.mark.parametrize(
    "config, machine, expected",
    [
        ({}, GPU, "fp32"),
        ({"fp16": {"enabled": True}}, GPU, "fp16"),
        ({"bf16": {"enabled": True}}, OLD_CPU, "bf16"),
        ({"bf16": {"enabled": "auto"}}, NEW_CPU, "bf16"),
        ({"bf16": {"enabled": "auto"}}, OLD_CPU, "fp32"),
        ({"fp16": {"enabled": "auto"}}, GPU, "fp16"),
        ({"fp16": {"enabled": "auto"}}, OLD_CPU, "fp32"),
        ({"fp16": {"enabled": True}, "bf16": {"enabled": "auto"}}, GPU, "fp16"),
        ({"fp16": {"enabled": "auto"}, "bf16": {"enabled": "auto"}}, GPU, "bf16"),
    ],
)
def test_precision(tmp_path, config, machine, expected):
    assert precision_of(resolve(tmp_path, config, machine)) == expected


def offload(device, key="offload_optimizer", stage=2):
    return {"zero_optimization": {"stage": stage, key: {"device": device, "pin_memory": True}}}


@pytest.mark.parametrize("stage", [1, 2])
def test_offload_steps_with_pytorchs_adamw(tmp_path, stage):
    resolved = resolve(tmp_path, offload("cpu", stage=stage))
    assert offloads_optimizer(resolved) and resolved["zero_force_ds_cpu_optimizer"] is False
    for kept in (offload("none", stage=stage), {"zero_optimization": {"offload_optimizer": None}}):
        resolved = resolve(tmp_path, kept)
        assert not offloads_optimizer(resolved) and "zero_force_ds_cpu_optimizer" not in resolved


@pytest.mark.parametrize(
    "config, machine, said",
    [
        ({"train_batch_size": 7}, GPU, r"train_batch_size = 7 contradicts .* 2 ranks = 32"),
        ({"gradient_clipping": 1.0}, GPU, r"gradient_clipping = 1.0 contradicts .* = 0.0"),
        ({"train_micro_batch_size_per_gpu": 2}, GPU, "training.micro_batch_size = 16"),
        ({"optimizer": {"type": "Adam"}}, GPU, "optimizer: the recipe's section"),
        ({"scheduler": {}}, GPU, "scheduler: the recipe's section"),
        ({"zero_optimization": {"stage": 4}}, GPU, "stage = 4: must be one of 0, 1, 2, 3"),
        ({"fp16": {"enabled": True}}, OLD_CPU, "cpu, has no fp16; use ds_configs/zero2_cpu"),
        ({"fp16": True}, GPU, "fp16 = True: must be an object"),
        ({"zero_optimization": {"stage": True}}, GPU, "stage = True: must be one of"),
        (offload("nvme"), GPU, "offload_optimizer.device = 'nvme': must be none or cpu"),
        (offload("cpu", stage=0), GPU, "offload_optimizer: needs stage 1, 2 or 3"),
        (
            offload("cpu", "offload_param", stage=3),
            GPU,
            "offload_param.device = 'cpu': must be none; stage 3",
        ),
        ({"zero_optimization": {"offload_optimizer": "cpu"}}, GPU, "= 'cpu': must be an object"),
        (
            offload("cpu") | {"zero_force_ds_cpu_optimizer": True},
            GPU,
            "zero_force_ds_cpu_optimizer = True contradicts offload's AdamW",
        ),
        ({"fp16": {"enabled": "yes"}}, GPU, "fp16.enabled = 'yes': must be true, false"),
        ({"fp16": {"enabled": True}, "bf16": {"enabled": True}}, GPU, "only one of them"),
        ("{'a': 1}", GPU, "line 1: not valid JSON"),
        ("[1]", GPU, "is a JSON object"),
    ],
)
def test_contradictions_are_one_line(tmp_path, config, machine, said):
    with pytest.raises(ConfigError, match=said) as error:
        resolve(tmp_path, config, machine)
    assert "\n" not in str(error.value)
    assert "ds.json" in str(error.value)


def test_missing_file_lists_the_shipped_ones(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        resolve_deepspeed_config(str(tmp_path), load_recipe("demo"), 1, tmp_path, GPU)
    with pytest.raises(ConfigError, match="no such DeepSpeed config; there are: .*zero2_cpu.json"):
        resolve_deepspeed_config("nowhere.json", load_recipe("demo"), 1, tmp_path, GPU)
