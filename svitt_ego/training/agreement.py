"""What the ranks tell each other, so that all of them go on or none."""

from collections.abc import Callable
from typing import Any

import torch.distributed as dist

from svitt_ego.config import ConfigError


def on_rank_0(work: Callable[..., Any], *arguments: Any) -> Any:
    """Do it there, while the others wait; its value there, None elsewhere.

    Raises:
        ConfigError: on all ranks, where the work raises it: none is left waiting for rank 0.
    """
    value, error = None, None
    if dist.get_rank() == 0:
        try:
            value = work(*arguments)
        except ConfigError as failure:
            error = failure
    error = from_rank_0(error)
    if error is not None:
        raise error
    return value


def from_rank_0(value: Any) -> Any:
    """Rank 0's value, on every rank."""
    values = [value]
    dist.broadcast_object_list(values, src=0)
    return values[0]


def of_all_ranks(value: Any) -> list[Any]:
    """The values of all ranks, in order, on every rank."""
    values: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(values, value)
    return values


def to_rank_0(value: Any) -> list[Any]:
    """The values of all ranks, in order, on rank 0; nothing elsewhere."""
    values = [None] * dist.get_world_size() if dist.get_rank() == 0 else None
    dist.gather_object(value, values)
    return values or []


def first_of_any_rank(value: Any | None) -> Any | None:
    """The value of the lowest rank that has one, None where no rank has: an error, say."""
    return next((found for found in of_all_ranks(value) if found is not None), None)
