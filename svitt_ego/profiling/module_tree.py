"""Which modules hold the bytes of a peak, as a tree."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass
class ModuleBytes:
    """One module; `size_bytes` has its submodules' in it."""

    name: str
    path: str
    size_bytes: int = 0
    by_category: dict[str, int] = field(default_factory=dict)
    children: dict[str, "ModuleBytes"] = field(default_factory=dict)

    def sorted_children(self) -> list["ModuleBytes"]:
        """The largest first."""
        return sorted(self.children.values(), key=lambda child: -child.size_bytes)


def module_tree(by_module: Mapping[str, Mapping[str, int]]) -> ModuleBytes:
    """Path -> category -> bytes, submodules not included -> the root, whose `size_bytes` is all.

    What no module is known for is a child of the root.
    """
    root = ModuleBytes("all", "")
    for path, split in by_module.items():
        names = path.split(".") if path else ["weights, states and what no module made"]
        node = root
        _add(node, split)
        for depth, name in enumerate(names):
            whole = ".".join(names[: depth + 1])
            node = node.children.setdefault(name, ModuleBytes(name, whole))
            _add(node, split)
    return root


def _add(node: ModuleBytes, split: Mapping[str, int]) -> None:
    for category, size_bytes in split.items():
        node.size_bytes += size_bytes
        node.by_category[category] = node.by_category.get(category, 0) + size_bytes
