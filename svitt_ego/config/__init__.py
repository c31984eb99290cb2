"""Recipes: what a run is, as one frozen, validated object."""

from svitt_ego.config.base import ConfigError
from svitt_ego.config.load import dump_recipe, load_recipe
from svitt_ego.config.schema import Recipe

__all__ = ["ConfigError", "Recipe", "dump_recipe", "load_recipe"]
