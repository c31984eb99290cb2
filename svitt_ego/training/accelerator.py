"""Which accelerator a run uses, chosen in code so that no environment variable needs setting.

Import this before `deepspeed`: DeepSpeed fixes its accelerator when it is first imported.
"""

import os

import torch

if not torch.cuda.is_available():
    os.environ.setdefault("DS_ACCELERATOR", "cpu")

# `python launch/pretrain.py` without the launcher is one process on this machine.
for _variable, _value in {
    "RANK": "0",
    "LOCAL_RANK": "0",
    "WORLD_SIZE": "1",
    "LOCAL_SIZE": "1",
    "MASTER_ADDR": "127.0.0.1",
}.items():
    os.environ.setdefault(_variable, _value)

import deepspeed  # noqa: E402
from deepspeed.accelerator import get_accelerator  # noqa: E402

from svitt_ego.cpu_allocator import keep_freed_memory  # noqa: E402
from svitt_ego.cpu_features import cpu_computes_bf16  # noqa: E402
from svitt_ego.training.deepspeed_config import Machine  # noqa: E402
from svitt_ego.training.free_port import free_port  # noqa: E402

# DeepSpeed compiles a shared-memory operator at start-up (about a minute, cold) that only its
# inference collectives use. Training on CPU uses gloo.
deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False


def start_distributed() -> torch.device:
    """Join the process group, give each rank its device and its share of the CPU cores."""
    if "MASTER_PORT" not in os.environ:
        os.environ["MASTER_PORT"] = str(free_port())
    local_rank = int(os.environ["LOCAL_RANK"])
    if get_accelerator().device_name() == "cpu":
        keep_freed_memory()
        ranks_here = int(os.environ.get("LOCAL_SIZE", "1"))
        torch.set_num_threads(max(1, len(os.sched_getaffinity(0)) // ranks_here))
        device = torch.device("cpu")
    else:
        device = torch.device(get_accelerator().device_name(), local_rank)
        get_accelerator().set_device(local_rank)
    deepspeed.init_distributed(get_accelerator().communication_backend_name(), verbose=False)
    return device


def leave_distributed() -> None:
    """End the process group, all ranks together: one that leaves early takes its peers' connections
    with it, and gloo may then abort a process that had done all its work."""
    torch.distributed.barrier()
    deepspeed.comm.destroy_process_group()  # and what DeepSpeed remembers of it


def machine() -> Machine:
    """What the precision of a run depends on."""
    accelerator = get_accelerator()
    name = accelerator.device_name()
    bf16 = cpu_computes_bf16() if name == "cpu" else accelerator.is_bf16_supported()
    return Machine(name, fp16=accelerator.is_fp16_supported(), bf16=bf16)
