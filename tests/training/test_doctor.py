"""What the doctor says of machines that are not this one."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from svitt_ego.training.doctor import (
    REQUIREMENTS,
    accelerators,
    compilers,
    decoders,
    disk,
    examine,
    packages,
    table,
)

GIB = 2**30


def gpus(count, free, total, bf16):
    return SimpleNamespace(
        is_available=lambda: count > 0,
        device_count=lambda: count,
        get_device_properties=lambda i: SimpleNamespace(name=f"Card {i}", major=8, minor=6),
        mem_get_info=lambda i: (free, total),
        is_bf16_supported=lambda including_emulation: bf16,
    )


def said(findings):
    return table(list(findings)).splitlines()


def test_gpus_their_memory_and_the_config_to_use():
    lines = said(accelerators(gpus(2, 11.5 * GIB, 12 * GIB, bf16=True)))
    assert lines[1] == ("ok  GPU 1      Card 1, 12.0 GiB, 11.5 free, compute capability 8.6")
    assert lines[-1].endswith("ds_configs/zero2_bf16.json")
    lines = said(accelerators(gpus(1, 5 * GIB, 12 * GIB, bf16=False)))
    assert lines[0].startswith("!   GPU 0") and "another process uses it" in lines[1]
    assert lines[-1].endswith("ds_configs/zero2_fp16.json")
    lines = said(accelerators(gpus(0, 0, 0, bf16=False)))
    assert "none" in lines[0] and lines[-1].endswith("ds_configs/zero2_cpu.json")


@pytest.mark.parametrize(
    "installed, marks, said_of",
    [
        ({"decord": "0.6.0", "av": "18.1.0"}, ["ok", "ok"], ""),
        ({"decord2": "3.4.0", "av": "18.1.0"}, ["BAD", "!", "ok"], "wrong frames"),
        ({}, ["BAD", "BAD"], "pip install"),
    ],
)
def test_decoders(installed, marks, said_of):
    lines = said(decoders(installed.get))
    assert [line.split()[0] for line in lines if not line.startswith(" ")] == marks
    assert said_of in "\n".join(lines)


def test_versions_against_the_tested_ones():
    installed = {"torch": "2.14.1+cpu", "deepspeed": "0.9"}
    torch, deepspeed, transformers = packages(installed.get, REQUIREMENTS)
    assert torch.mend is None and "tested with 0." in deepspeed.mend
    assert transformers.fatal and transformers.mend.startswith("pip install transformers==")


def test_compilers_and_disk(tmp_path):
    ninja, compiler, nvcc = compilers({"ninja": "/bin/ninja"}.get, has_gpu=True)
    assert ninja.mend is None and "g++" in compiler.mend and "CUDA" in nvcc.mend
    assert f"free at {tmp_path}" in disk(tmp_path / "runs" / "new").found
    no_room = disk(Path("/proc/run"))
    assert no_room.found == "0.0 GiB free at /proc" and "--output-dir" in no_room.mend


def test_this_machine_can_train():
    findings = list(examine(Path("runs")))
    assert not [f for f in findings if f.fatal and f.mend]
    assert {"Python", "CPU", "torch", "deepspeed", "decord", "ninja"} <= {f.what for f in findings}
