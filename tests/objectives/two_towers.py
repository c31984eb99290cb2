"""One rank of the test that W ranks x batch b equal 1 rank x W * b; run by test_gather.py.

Usage: two_towers.py RANK WORLD_SIZE STORE RESULT
"""

import sys
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.functional import normalize

from svitt_ego.objectives import (
    egonce,
    gather_with_gradient,
    gather_without_gradient,
    infonce,
    positives,
)

GLOBAL_CLIPS = 12


class TwoTowers(nn.Module):
    """Projects both sides and returns a gathered contrastive loss; its temperature is learnt."""

    def __init__(self, objective: str) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.objective = objective
        self.text = nn.Linear(5, 8)
        self.video = nn.Sequential(nn.Linear(7, 8), nn.Tanh(), nn.Linear(8, 8))
        self.temperature = nn.Parameter(torch.tensor(0.1))
        self.double()

    def forward(self, text, video, verbs, nouns):
        text = gather_with_gradient(normalize(self.text(text), dim=1))
        video = gather_with_gradient(normalize(self.video(video), dim=1))
        if self.objective == "infonce":
            return infonce(text, video, self.temperature)
        mask = positives(gather_without_gradient(verbs), gather_without_gradient(nouns))
        return egonce(text, video, self.temperature, mask)


def global_batch():
    generator = torch.Generator().manual_seed(2)
    return (
        torch.randn(GLOBAL_CLIPS, 5, generator=generator, dtype=torch.float64),
        torch.randn(GLOBAL_CLIPS, 7, generator=generator, dtype=torch.float64),
        torch.rand(GLOBAL_CLIPS, 4, generator=generator) < 0.4,
        torch.rand(GLOBAL_CLIPS, 4, generator=generator) < 0.4,
    )


def loss_and_gradients(model, batch):
    """Named values: the loss and every parameter's gradient."""
    loss = model(*batch)
    loss.backward()
    names = {f"gradient of {name}": p.grad for name, p in model.named_parameters()}
    return {"loss": loss.detach(), **names}


def main(rank: int, world_size: int, store: str, result: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo",
        init_method=f"file://{store}",
        rank=rank,
        world_size=world_size,
        timeout=timedelta(seconds=30),
    )
    share = GLOBAL_CLIPS // world_size
    own = [x[rank * share : (rank + 1) * share] for x in global_batch()]
    found = {}
    for objective in ("egonce", "infonce"):
        model = nn.parallel.DistributedDataParallel(TwoTowers(objective))
        for name, value in loss_and_gradients(model, own).items():
            found[f"{objective} {name.replace('module.', '')}"] = value
    found["rows"] = gather_without_gradient(torch.arange(3) + 10 * rank)
    try:
        gather_with_gradient(torch.zeros(2 + rank, 3))
    except AssertionError as error:
        found["unequal"] = str(error)
    torch.save(found, f"{result}.{rank}")
    dist.barrier()  # a rank that leaves early takes the other's connection with it
    dist.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4])
