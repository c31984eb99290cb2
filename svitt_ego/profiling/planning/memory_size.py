"""Sizes of memory as people write them."""

import re

UNITS = {"KB": 1e3, "MB": 1e6, "GB": 1e9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}


def memory_size(text: str) -> int:
    """`12GiB` -> bytes.

    Raises:
        ValueError: no number above 0 with a unit; says what is allowed.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", text)
    if not match or match[2] not in UNITS or float(match[1]) == 0:
        example = "12GiB (what a card sold as 12 GB has) or 12GB"
        raise ValueError(f"{text!r}: must be a number with a unit, such as {example}")
    return int(float(match[1]) * UNITS[match[2]])
