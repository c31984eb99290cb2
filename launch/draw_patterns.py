"""Draw the block patterns of a recipe's video encoder at one training step as a PNG."""

import argparse
from pathlib import Path

from svitt_ego.command_line import add_overrides, one_line_errors, positive
from svitt_ego.config import ConfigError, load_recipe
from svitt_ego.durable_files import prepare_folder_of


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--recipe", default="paper_1_3_56", help="path, or name in launch/recipes")
    parser.add_argument("--step", type=positive, default=1, help="training step")
    parser.add_argument("--output", type=Path, default=Path("runs/patterns.png"), help="PNG")
    add_overrides(parser)
    arguments = parser.parse_args()
    with one_line_errors():
        run(arguments)


def run(arguments: argparse.Namespace) -> None:
    recipe = load_recipe(arguments.recipe, arguments.overrides)
    video = recipe.model.video
    if video.edge_sparsity is None:
        raise ConfigError(f"{arguments.recipe}: has no model.video.edge_sparsity: nothing to draw")
    if arguments.output.suffix != ".png":
        raise ConfigError(f"--output {arguments.output}: must end in .png")
    prepare_folder_of(arguments.output)
    # Heavy imports only once the arguments are known to be good.
    from svitt_ego.models.attention import draw_patterns
    from svitt_ego.models.token_drop import token_counts
    from svitt_ego.profiling.pattern_picture import pattern_picture
    from svitt_ego.profiling.plots import save_png

    patches = recipe.data.frames * video.patches_per_frame
    counts = token_counts(video.node_sparsity, video.layers, patches)[:-1]
    patterns = draw_patterns(video.edge_sparsity, counts, recipe.seed, arguments.step)
    save_png(pattern_picture(patterns, counts, video.edge_sparsity.block_size), arguments.output)
    print(arguments.output)


if __name__ == "__main__":
    main()
