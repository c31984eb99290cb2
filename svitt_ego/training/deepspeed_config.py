"""The DeepSpeed config of a run: a file of ds_configs/ with its "auto" fields filled.

The recipe decides batch, clipping and optimiser; the machine decides "auto" precision. What the
file states itself must not contradict them: that is an error, never a silent override.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from svitt_ego.config.base import BaseRecipe, ConfigError

SUPPORTED_STAGES = (0, 1, 2, 3)

Precision = Literal["fp16", "bf16", "fp32"]


@dataclass(frozen=True)
class Machine:
    """What the precision depends on."""

    name: str
    """Accelerator: cpu, cuda …"""
    fp16: bool
    bf16: bool
    """Computed in hardware, so faster than fp32."""


def read_deepspeed_config(path: str) -> dict[str, Any]:
    """Read a DeepSpeed JSON file.

    Raises:
        ConfigError: missing, not JSON, or not an object.
    """
    try:
        tree = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        shipped = ", ".join(str(p) for p in sorted(Path("ds_configs").glob("*.json")))
        raise ConfigError(f"{path}: no such DeepSpeed config; there are: {shipped}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from None
    except json.JSONDecodeError as error:
        raise ConfigError(f"{path}: line {error.lineno}: not valid JSON: {error.msg}") from None
    if not isinstance(tree, dict):
        raise ConfigError(f"{path}: a DeepSpeed config is a JSON object")
    return tree


def resolve_deepspeed_config(
    path: str, recipe: BaseRecipe, world_size: int, run_directory: Path, machine: Machine
) -> dict[str, Any]:
    """Fill what is absent or "auto", check what is not.

    Raises:
        ConfigError: naming file, key, value and what is allowed.
    """
    config = read_deepspeed_config(path)
    for key in ("optimizer", "scheduler"):
        if key in config:
            raise ConfigError(
                f"{path}: {key}: the recipe's section `optimisation` decides it; remove it here"
            )
    for key in ("zero_optimization", "fp16", "bf16", "tensorboard"):
        if not isinstance(config.get(key, {}), dict):
            raise ConfigError(f"{path}: {key} = {config[key]!r}: must be an object")
    _check_zero(config.setdefault("zero_optimization", {}), path)
    if offloads_optimizer(config):
        wanted = "offload's AdamW, which is PyTorch's and needs no compiler"
        _fill(config, "zero_force_ds_cpu_optimizer", False, wanted, path)

    training, optimisation = recipe.training, recipe.optimisation
    micro, steps = training.micro_batch_size, training.gradient_accumulation_steps
    from_recipe = {
        "train_micro_batch_size_per_gpu": (micro, "training.micro_batch_size"),
        "gradient_accumulation_steps": (steps, "training.gradient_accumulation_steps"),
        "train_batch_size": (
            micro * steps * world_size,
            f"training.micro_batch_size x gradient_accumulation_steps x {world_size} ranks",
        ),
        "gradient_clipping": (optimisation.gradient_clipping, "optimisation.gradient_clipping"),
    }
    for key, (value, origin) in from_recipe.items():
        _fill(config, key, value, f"the recipe's {origin} = {value}", path)
    _resolve_precision(config, machine, path)
    if config.get("tensorboard", {}).get("enabled"):
        logs = config["tensorboard"]
        if logs.get("output_path", "auto") == "auto":
            logs["output_path"] = str(run_directory)
        logs.setdefault("job_name", "tensorboard")
    # one line per step is in records.jsonl; DeepSpeed's own would repeat it
    config.setdefault("steps_per_print", 10**9)
    return config


def precision_of(config: dict[str, Any]) -> Precision:
    """Precision of a resolved config."""
    for precision in ("fp16", "bf16"):
        if config.get(precision, {}).get("enabled"):
            return precision
    return "fp32"


def zero_stage_of(config: dict[str, Any]) -> int:
    return config["zero_optimization"]["stage"]


def offloads_optimizer(config: dict[str, Any]) -> bool:
    """Whether AdamW's masters and moments are in the CPU's memory, and its step taken there."""
    return _offload_device(config["zero_optimization"], "offload_optimizer") != "none"


def _check_zero(zero: dict[str, Any], path: str) -> None:
    stage = zero.setdefault("stage", 0)
    if type(stage) is not int or stage not in SUPPORTED_STAGES:
        stages = ", ".join(map(str, SUPPORTED_STAGES))
        raise ConfigError(f"{path}: zero_optimization.stage = {stage!r}: must be one of {stages}")
    for key, allowed in (("offload_optimizer", ("none", "cpu")), ("offload_param", ("none",))):
        if not isinstance(zero.get(key) or {}, dict):
            raise ConfigError(f"{path}: zero_optimization.{key} = {zero[key]!r}: must be an object")
        device = _offload_device(zero, key)
        if device not in allowed:
            said = f"{path}: zero_optimization.{key}.device = {device!r}: must be "
            weights = "; stage 3 shards the weights instead" if key == "offload_param" else ""
            raise ConfigError(said + " or ".join(allowed) + weights)
    if stage == 0 and _offload_device(zero, "offload_optimizer") != "none":
        raise ConfigError(f"{path}: zero_optimization.offload_optimizer: needs stage 1, 2 or 3")


def _offload_device(zero: dict[str, Any], key: str) -> Any:
    return (zero.get(key) or {}).get("device", "none")


def _fill(config: dict[str, Any], key: str, value: Any, wanted: str, path: str) -> None:
    if config.get(key, "auto") == "auto":
        config[key] = value
    elif config[key] != value:
        raise ConfigError(
            f'{path}: {key} = {config[key]!r} contradicts {wanted}; write "auto" or change one'
        )


def _resolve_precision(config: dict[str, Any], machine: Machine, path: str) -> None:
    fp16, bf16 = config.setdefault("fp16", {}), config.setdefault("bf16", {})
    for name, section in (("fp16", fp16), ("bf16", bf16)):
        if section.get("enabled", False) not in (True, False, "auto"):
            raise ConfigError(
                f'{path}: {name}.enabled = {section["enabled"]!r}: must be true, false or "auto"'
            )
    resolve: dict[str, Callable[[], bool]] = {
        "bf16": lambda: machine.bf16 and fp16.get("enabled") is not True,
        "fp16": lambda: machine.fp16 and not bf16.get("enabled"),
    }
    for name, section in (("bf16", bf16), ("fp16", fp16)):
        section.setdefault("enabled", False)
        if section["enabled"] == "auto":
            section["enabled"] = resolve[name]()
    if fp16["enabled"] and bf16["enabled"]:
        raise ConfigError(f"{path}: fp16.enabled and bf16.enabled: only one of them can be true")
    if fp16["enabled"] and not machine.fp16:
        raise ConfigError(
            f"{path}: fp16.enabled = true: the accelerator here, {machine.name}, has no fp16; "
            "use ds_configs/zero2_cpu.json on a CPU"
        )
