"""What people write on a planner's command line: types for argparse."""

import argparse
import re

from svitt_ego.command_line import positive

UNITS = {"KB": 1e3, "MB": 1e6, "GB": 1e9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}


def size(text: str) -> int:
    """`12GiB` -> bytes."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", text)
    if match and match[2] in UNITS and float(match[1]) == 0:
        raise argparse.ArgumentTypeError(f"{text!r}: must be above 0")
    if not match or match[2] not in UNITS:
        example = "12GiB (what a card sold as 12 GB has) or 12GB"
        raise argparse.ArgumentTypeError(
            f"{text!r}: must be a number with a unit, such as {example}"
        )
    return int(float(match[1]) * UNITS[match[2]])


def share(text: str) -> float:
    """`5%` or `0.05` -> 0.05."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(%?)\s*", text)
    value = float(match[1]) / (100 if match[2] else 1) if match else 1
    if value >= 1:
        raise argparse.ArgumentTypeError(f"{text!r}: must be a share below 1, such as 5% or 0.05")
    return value


def micro_batch(text: str) -> int | None:
    """Anchors; `auto` -> None."""
    return None if text == "auto" else positive(text)
