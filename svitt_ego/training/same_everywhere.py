"""All ranks must run the same thing: nodes are set up one by one, and differ one day."""

import socket
from typing import Any

from svitt_ego.config import ConfigError
from svitt_ego.training.agreement import of_all_ranks


def check_same_everywhere(facts: dict[str, Any]) -> None:
    """Compare facts, such as package versions, over the ranks. All must call it.

    Raises:
        ConfigError: on all ranks; names the first fact that differs, and the hosts.
    """
    everyone = of_all_ranks((socket.gethostname(), facts))
    host_0, facts_0 = everyone[0]
    for rank, (host, theirs) in enumerate(everyone):
        differing = [key for key in facts_0 if theirs.get(key) != facts_0[key]]
        if differing:
            key = differing[0]
            raise ConfigError(
                f"rank {rank} on {host} has {key} = {theirs.get(key)!r}, rank 0 on {host_0} has "
                f"{facts_0[key]!r}: set up all nodes alike"
            )
