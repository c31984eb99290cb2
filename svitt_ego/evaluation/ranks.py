"""Several processes that share an evaluation: each takes every so many-th item, rank 0 puts the
results together. Started by the `deepspeed` launcher or torchrun; without one there is one rank.
"""

import os
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist

_PATIENCE = timedelta(days=1)
"""Videos differ in length, so ranks may wait long for each other; a launcher ends all with one."""


@dataclass(frozen=True)
class Ranks:
    rank: int
    world_size: int
    device: torch.device

    @classmethod
    def join(cls) -> "Ranks":
        """Meet the other processes; each takes its GPU, or its share of the CPU cores."""
        world_size = int(os.environ.get("WORLD_SIZE", "1"))
        local_rank = int(os.environ.get("LOCAL_RANK", "0"))
        if torch.cuda.is_available():
            device = torch.device("cuda", local_rank)
        else:
            device = torch.device("cpu")
            ranks_here = int(os.environ.get("LOCAL_WORLD_SIZE", os.environ.get("LOCAL_SIZE", "1")))
            torch.set_num_threads(max(1, len(os.sched_getaffinity(0)) // ranks_here))
        if world_size == 1:
            return cls(0, 1, device)
        if not dist.is_initialized():
            # what is exchanged are results on the CPU
            dist.init_process_group("gloo", timeout=_PATIENCE)
        return cls(dist.get_rank(), world_size, device)

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    def share(self, items: int) -> range:
        """This rank's indices: every so many-th, so that long and short items are spread evenly."""
        return range(self.rank, items, self.world_size)

    def gather(self, result: Any) -> list[Any] | None:
        """On rank 0 the results of all ranks in order; elsewhere None."""
        if self.world_size == 1:
            return [result]
        results = [None] * self.world_size if self.is_first else None
        dist.gather_object(result, results)
        return results

    def from_first(self, value: Any) -> Any:
        """What rank 0 gives, on all ranks."""
        if self.world_size == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=0)
        return box[0]

    def leave(self) -> None:
        """Once nothing more is to be gathered; all together, as one that leaves early takes its
        peers' connections with it."""
        if self.world_size > 1 and dist.is_initialized():
            dist.barrier()
            dist.destroy_process_group()


def one_rank(device: str | torch.device = "cpu") -> Ranks:
    return Ranks(0, 1, torch.device(device))
