"""Weights of which each rank may hold a part, as at ZeRO stage 3."""

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext

import torch.distributed as dist
from deepspeed.runtime.zero import GatheredParameters
from deepspeed.runtime.zero.partition_parameters import ZeroParamStatus
from torch import Tensor, nn


def is_sharded(parameter: Tensor) -> bool:
    return hasattr(parameter, "ds_tensor")


def gathered(parameters: Iterable[nn.Parameter]) -> AbstractContextManager[None]:
    """Within it they can be read on every rank; all ranks must enter it together."""
    away = [p for p in parameters if is_sharded(p) and p.ds_status != ZeroParamStatus.AVAILABLE]
    return GatheredParameters(away) if away else nullcontext()


def whole_weights(model: nn.Module) -> dict[str, Tensor]:
    """`model.state_dict()` on rank 0, {} elsewhere; sharded parameters are gathered one by one
    into the CPU's memory. All ranks must call it."""
    is_first = dist.get_rank() == 0
    weights = model.state_dict() if is_first else {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        if is_sharded(parameter):
            with gathered([parameter]):
                if is_first:
                    weights[name] = parameter.detach().to("cpu", copy=True)
    return weights


def size_of(parameter: Tensor) -> int:
    """Number of its values, on all ranks together."""
    return getattr(parameter, "ds_numel", parameter.numel())


def held_of(parameter: Tensor) -> list[Tensor]:
    """What this rank holds of it: its part, and the whole while it is gathered."""
    part = getattr(parameter, "ds_tensor", None)
    return [parameter] if part is None else [parameter, part]
