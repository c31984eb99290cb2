"""Starting from published image and text checkpoints, a local path or a hub name, or from a model
trained before.

What is converted is a state dict; where a checkpoint's names come from is said in its own file.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from svitt_ego.config.schema import Model as ModelRecipe
from svitt_ego.models.folder import load_folder
from svitt_ego.models.pretrained.beit import load_beit
from svitt_ego.models.pretrained.bert import load_bert
from svitt_ego.models.weights import load_weights

if TYPE_CHECKING:
    from svitt_ego.models.svitt import SViTTEgo


def load_pretrained(model: "SViTTEgo", recipe: ModelRecipe) -> None:
    """Load what the recipe names into a freshly made model: the whole of it, or its encoders.

    Raises:
        ConfigError: a checkpoint cannot be read, or keys or shapes do not fit.
    """
    if recipe.pretrained:
        _, weights = load_folder(Path(recipe.pretrained))
        load_weights(model, weights)
    if recipe.video.pretrained:
        load_beit(model.video, recipe.video.pretrained)
    if recipe.text.pretrained:
        load_bert(model, recipe.text.pretrained)
