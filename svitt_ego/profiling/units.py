"""Bytes as people read them."""

KIB, MIB, GIB = 2**10, 2**20, 2**30


def unit_for(largest_bytes: float) -> tuple[str, int]:
    """Name and size of the unit in which figures up to `largest_bytes` are shown."""
    for name, size in (("GiB", GIB), ("MiB", MIB)):
        if largest_bytes >= size:
            return name, size
    return "KiB", KIB


def show_bytes(count: float) -> str:
    """`8.76 GiB`, `91.3 MiB`; 2**30 and 2**20 bytes."""
    name, size = unit_for(count)
    return f"{count / size:.2f} {name}" if name == "GiB" else f"{count / size:.1f} {name}"


def show_seconds(seconds: float) -> str:
    """`1.24 s`, `310 ms`"""
    return f"{seconds:.2f} s" if seconds >= 1 else f"{1000 * seconds:.0f} ms"
