"""From a recipe to its model."""

from svitt_ego.config.grounding import GroundingModel
from svitt_ego.grounding.ground_nlq import GroundNLQ
from svitt_ego.grounding.model import Grounder
from svitt_ego.grounding.vslnet import VSLNet

ARCHITECTURES: dict[str, type[Grounder]] = {"ground_nlq": GroundNLQ, "vslnet": VSLNet}


def build_grounder(recipe: GroundingModel) -> Grounder:
    """The architecture that the recipe names, with fresh weights."""
    return ARCHITECTURES[recipe.architecture](recipe)
