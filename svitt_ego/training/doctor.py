"""What this machine offers to a training run, and what to mend."""

import importlib.metadata
import os
import platform
import re
import resource
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from svitt_ego.cpu_features import cpu_computes_bf16

REQUIREMENTS = Path(__file__).resolve().parents[2] / "requirements.txt"
_GIB = 2**30
_FEWEST_OPEN_FILES = 4096
_SMALLEST_SHARED_BYTES = 2 * _GIB
_SMALLEST_DISK_BYTES = 10 * _GIB
"""Three checkpoints of the paper's model are kept while a fourth is written, 2.3 GiB each."""


@dataclass(frozen=True)
class Finding:
    """One line. mend: what to do about it, None where all is well; fatal: nothing trains so."""

    what: str
    found: str
    mend: str | None = None
    fatal: bool = False


def examine(output_dir: Path) -> Iterator[Finding]:
    """All findings, the most telling first."""
    yield Finding("Python", platform.python_version())
    yield from accelerators(torch.cuda)
    yield processor()
    yield from packages(installed_version, REQUIREMENTS)
    yield from decoders(installed_version)
    yield from compilers(shutil.which, torch.cuda.is_available())
    yield shared_memory(Path("/dev/shm"))
    yield open_files()
    yield disk(output_dir)


def accelerators(cuda: Any) -> Iterator[Finding]:
    """Of `torch.cuda`: GPUs, their memory, the precision and the DeepSpeed config to use."""
    if not cuda.is_available():
        needs = "see nvidia-smi" if torch.version.cuda else "install a PyTorch built with CUDA"
        yield Finding("GPUs", "none", f"a CPU trains slowly; if there is a GPU, {needs}")
        yield Finding("config", "ds_configs/zero2_cpu.json")
        return
    for index in range(cuda.device_count()):
        properties = cuda.get_device_properties(index)
        free_bytes, total_bytes = cuda.mem_get_info(index)
        found = (
            f"{properties.name}, {total_bytes / _GIB:.1f} GiB, {free_bytes / _GIB:.1f} free, "
            f"compute capability {properties.major}.{properties.minor}"
        )
        is_shared = free_bytes < 0.9 * total_bytes
        mend = "another process uses it: see nvidia-smi" if is_shared else None
        yield Finding(f"GPU {index}", found, mend)
    bf16 = cuda.is_bf16_supported(including_emulation=False)
    yield Finding("precision", "bf16 and fp16" if bf16 else "fp16; no bf16 in hardware")
    yield Finding("config", f"ds_configs/zero2_{'bf16' if bf16 else 'fp16'}.json")


def processor() -> Finding:
    cores = len(os.sched_getaffinity(0))
    memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    bf16 = "bf16" if cpu_computes_bf16() else "fp32, no bf16 in hardware"
    return Finding("CPU", f"{cores} cores, {memory_bytes / _GIB:.1f} GiB, {bf16}")


def packages(version: Callable[[str], str | None], requirements: Path) -> Iterator[Finding]:
    """Against the versions that this project is tested with."""
    wanted = dict(re.findall(r"^([\w-]+)==(\S+)", requirements.read_text(), re.MULTILINE))
    for name in ("torch", "deepspeed", "transformers"):
        found = version(name)
        if found is None:
            mend = f"pip install {name}=={wanted[name]}"
            yield Finding(name, "not installed", mend, fatal=True)
            continue
        is_tested = found.partition("+")[0] == wanted[name]
        mend = None if is_tested else f"tested with {wanted[name]}: pip install -r requirements.txt"
        yield Finding(name, found, mend)


def decoders(version: Callable[[str], str | None]) -> Iterator[Finding]:
    """Video decoders; decord2 takes decord's import name and gives wrong frames."""
    if version("decord2") is not None:
        mend = "pip uninstall decord2: it returns wrong frames of long videos under decord's name"
        yield Finding("decord2", str(version("decord2")), mend, fatal=True)
    found = {name: version(name) for name in ("decord", "av")}
    for name, of_name in found.items():
        missing = "pip install -r requirements.txt" if of_name is None else None
        yield Finding(name, of_name or "not installed", missing, fatal=not any(found.values()))


def compilers(which: Callable[[str], str | None], has_gpu: bool) -> Iterator[Finding]:
    """DeepSpeed compiles its operators when they are first used."""
    needs = {
        "ninja": "put the environment's bin folder on PATH, or pip install ninja",
        "g++": "install a C++ compiler (apt install g++): offload's CPU Adam is compiled with it",
    }
    if has_gpu:
        needs["nvcc"] = "install the CUDA toolkit, if you want DeepSpeed's own CUDA operators"
    for name, mend in needs.items():
        path = which(name)
        yield Finding(name, path or "not on PATH", None if path else mend)


def shared_memory(folder: Path) -> Finding:
    """Loader processes pass their batches through it."""
    if not folder.is_dir():
        return Finding("shared memory", f"no {folder}")
    free_bytes = shutil.disk_usage(folder).free
    is_small = free_bytes < _SMALLEST_SHARED_BYTES
    mend = "docker run --shm-size=8g, or fewer data.workers" if is_small else None
    return Finding("shared memory", f"{free_bytes / _GIB:.1f} GiB free in {folder}", mend)


def open_files() -> Finding:
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    mend = f"ulimit -n {_FEWEST_OPEN_FILES}" if 0 <= limit < _FEWEST_OPEN_FILES else None
    return Finding("open files", f"at most {limit if limit >= 0 else 'unlimited'}", mend)


def disk(folder: Path) -> Finding:
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not os.access(existing, os.W_OK):
        return Finding("output", f"{existing} is read-only", "give another --output-dir")
    free_bytes = shutil.disk_usage(existing).free
    is_small = free_bytes < _SMALLEST_DISK_BYTES
    mend = "give another --output-dir, or keep fewer checkpoints" if is_small else None
    return Finding("output", f"{free_bytes / _GIB:.1f} GiB free at {existing}", mend)


def installed_version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def table(findings: list[Finding]) -> str:
    """For people: a mark, what, what was found, and what to do about it on a line of its own."""
    width = max(len(finding.what) for finding in findings)
    lines = []
    for finding in findings:
        mark = "ok " if finding.mend is None else ("BAD" if finding.fatal else "!  ")
        lines.append(f"{mark} {finding.what:<{width}}  {finding.found}")
        if finding.mend:
            lines.append(f"    {'':<{width}}  -> {finding.mend}")
    return "\n".join(lines)
