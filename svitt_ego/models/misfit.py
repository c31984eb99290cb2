"""Saying how the tensors of a checkpoint differ from those of a model."""

from collections.abc import Iterable, Mapping

Shapes = Mapping[str, tuple[int, ...]]

_NAMED = 3


def misfit(own: Shapes, given: Shapes) -> str:
    """Empty where names and shapes agree, else one line that counts and names what does not."""
    differing = [
        f"{name} {given[name]} instead of {own[name]}"
        for name in sorted(own.keys() & given.keys())
        if own[name] != given[name]
    ]
    found = {
        "missing": sorted(own.keys() - given.keys()),
        "unknown": sorted(given.keys() - own.keys()),
        "of another shape": differing,
    }
    return "; ".join(f"{len(k)} {what}: {_first(k)}" for what, k in found.items() if k)


def _first(names: Iterable[str]) -> str:
    names = list(names)
    return ", ".join(names[:_NAMED]) + (" …" if len(names) > _NAMED else "")
