"""From a recipe file and ``--set`` overrides to a `Recipe`; every mistake is one line.

A recipe file may name another in ``base:`` (relative to itself) and then lists only what differs.
Paths inside a recipe are relative to the working directory.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from svitt_ego.config.base import ConfigError
from svitt_ego.config.schema import Recipe

RECIPES = Path(__file__).resolve().parents[2] / "launch" / "recipes"

AnyRecipe = TypeVar("AnyRecipe", bound=BaseModel)

Sources = dict[str, str]
"""Where each leaf came from: dotted key -> file or ``--set``."""


class _Loader(yaml.SafeLoader):
    """YAML with floats as people write them (PyYAML reads 3e-5 as text) and no repeated keys."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"),
    list("-+0123456789."),
)


def _mapping_without_repeats(loader: _Loader, node: yaml.MappingNode) -> dict[str, Any]:
    keys = [(key.tag, key.value) for key, _ in node.value]
    for i, (key, _) in enumerate(node.value):
        if keys[i] in keys[:i]:
            problem = f"key {key.value!r} stands twice"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=key.start_mark)
    return yaml.SafeLoader.construct_mapping(loader, node, deep=True)


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping_without_repeats)


def parse_yaml(text: str, source: str) -> Any:
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 (a SafeLoader)
    except yaml.MarkedYAMLError as error:
        where = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        problem = ", ".join(filter(None, (error.context, error.problem)))
        raise ConfigError(f"{source}: not valid YAML: {where}{problem}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{source}: not valid YAML: {' '.join(str(error).split())}") from None


def find_recipe(name: str) -> Path:
    """A path as it is, or the name of a recipe in launch/recipes.

    Raises:
        ConfigError: neither exists; the message lists the recipes there are.
    """
    path = Path(name)
    if path.is_file():
        return path
    shipped = RECIPES / f"{name}.yaml"
    if shipped.is_file():
        return shipped
    names = ", ".join(sorted(p.stem for p in RECIPES.glob("*.yaml"))) or "none"
    raise ConfigError(f"recipe {name!r}: no such file, nor one of the shipped recipes: {names}")


def load_recipe(
    name: str, overrides: Sequence[str] = (), kind: type[AnyRecipe] = Recipe
) -> AnyRecipe:
    """Read a recipe, apply ``a.b=c`` overrides, validate.

    Args:
        kind: of which task.

    Raises:
        ConfigError: naming file (or ``--set``), key, value and what is allowed.
    """
    path = find_recipe(name)
    tree, sources = _read_with_base(path, ())
    for override in overrides:
        _apply_override(tree, sources, override)
    tree.setdefault("name", path.stem)
    return recipe_from_tree(tree, sources, str(path), kind)


def recipe_from_tree(
    tree: dict[str, Any],
    sources: Sources,
    default_source: str,
    kind: type[AnyRecipe] = Recipe,
) -> AnyRecipe:
    """Validate a nested dictionary.

    Raises:
        ConfigError: one line for the first mistake, with the number of further ones.
    """
    try:
        return kind.model_validate(tree)
    except ValidationError as error:
        raise ConfigError(_one_line(error, kind, sources, default_source)) from None


def dump_recipe(recipe: BaseModel) -> str:
    """The resolved recipe as YAML that `load_recipe` reads back to an equal one."""
    return yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False)


def _read_with_base(path: Path, chain: tuple[Path, ...]) -> tuple[dict[str, Any], Sources]:
    if path.resolve() in chain:
        raise ConfigError(f"{path}: base = {path.name!r}: a recipe cannot be its own base")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from None
    own = parse_yaml(text, str(path))
    if not isinstance(own, dict):
        raise ConfigError(f"{path}: a recipe is a mapping of sections, not {type(own).__name__}")
    base = own.pop("base", None)
    tree: dict[str, Any] = {}
    sources: Sources = {}
    if base is not None:
        base_path = path.parent / str(base)
        if not base_path.is_file():
            raise ConfigError(f"{path}: base = {base!r}: {base_path} does not exist")
        tree, sources = _read_with_base(base_path, (*chain, path.resolve()))
        tree.pop("name", None)
    _merge(tree, own, sources, str(path), "")
    return tree, sources


def _merge(tree: dict, other: dict, sources: Sources, source: str, prefix: str) -> None:
    for key, value in other.items():
        dotted = f"{prefix}{key}"
        sources[dotted] = source
        if isinstance(value, dict):
            if not isinstance(tree.get(key), dict):
                tree[key] = {}
            _merge(tree[key], value, sources, source, f"{dotted}.")
        else:
            tree[key] = value


def _apply_override(tree: dict[str, Any], sources: Sources, override: str) -> None:
    key, equals, text = override.partition("=")
    parts = key.strip().split(".")
    if not equals or not all(parts):
        raise ConfigError(f"--set {override}: write it as section.key=value")
    value = parse_yaml(text, f"--set {key}")
    nested: dict[str, Any] = {parts[-1]: value}
    for part in reversed(parts[:-1]):
        nested = {part: nested}
    _merge(tree, nested, sources, "--set", "")


def _one_line(
    error: ValidationError, kind: type[BaseModel], sources: Sources, default_source: str
) -> str:
    problems = error.errors(include_url=False)
    first = problems[0]
    path = ".".join(str(part) for part in first["loc"])
    if first["type"] == "value_error":  # a section's own check: "key = value: what is allowed"
        own = str(first["ctx"]["error"])
        path = ".".join(filter(None, (path, own.split(" = ", 1)[0])))
        said = f"{path} = {own.split(' = ', 1)[1]}"
    elif first["type"] == "missing":
        said = f"{path}: must be given"
    else:
        location = first["loc"]
        if first["type"] == "extra_forbidden":
            allowed = f"unknown key{_known_keys(kind, location[:-1])}"
        elif first["type"] == "model_type":
            allowed = f"must be a section{_known_keys(kind, location)}"
        else:
            allowed = first["msg"][0].lower() + first["msg"][1:]
        value = repr(first["input"])
        shown = value if len(value) <= 80 else f"{value[:77]}..."
        said = f"{path} = {shown}: {allowed}"
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return f"{_source_of(path, sources, default_source)}: {said}{more}"


def _source_of(path: str, sources: Sources, default_source: str) -> str:
    while path:
        if path in sources:
            return sources[path]
        path = path.rpartition(".")[0]
    return default_source


def _known_keys(kind: type[BaseModel], section_location: tuple[int | str, ...]) -> str:
    section: Any = kind
    for part in section_location:
        field = section.model_fields.get(str(part))
        if field is None:
            return ""
        candidates = [field.annotation, *getattr(field.annotation, "__args__", ())]
        sections = [c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)]
        if not sections:
            return ""
        section = sections[0]
    return f"; known here: {', '.join(section.model_fields)}"
