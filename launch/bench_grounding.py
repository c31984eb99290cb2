"""Time the answer of a grounding model to one query about a clip, on this machine's CPU.

The weights are untrained and the features random: neither changes what is computed.
"""

import argparse
import statistics
import time

from svitt_ego.command_line import add_overrides, one_line_errors, positive
from svitt_ego.config import load_recipe
from svitt_ego.config.grounding import GroundingRecipe


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--recipe", default="grounding/paper_128", help="path, or shipped name")
    parser.add_argument("--seconds", type=positive, default=480, help="length of the clip")
    parser.add_argument("--tokens", type=positive, default=12, help="of the query")
    parser.add_argument("--rounds", type=positive, default=7, help="after one that is not counted")
    add_overrides(parser)
    return parser.parse_args()


def main() -> None:
    arguments = parse_arguments()
    with one_line_errors():
        recipe = load_recipe(arguments.recipe, arguments.overrides, GroundingRecipe)
        run(arguments, recipe)


def run(arguments: argparse.Namespace, recipe: GroundingRecipe) -> None:
    import torch  # heavy: only once the arguments are known to be good

    from svitt_ego.grounding.batch import Sample, collate
    from svitt_ego.grounding.build import build_grounder
    from svitt_ego.grounding.time_grid import TimeGrid

    grid = TimeGrid(**recipe.data.grid.model_dump())
    windows = grid.windows_in(arguments.seconds)
    video = torch.randn(windows, recipe.model.video_width)
    text = torch.randn(arguments.tokens, recipe.model.text_width)
    batch = collate([Sample("query", video, text, float(arguments.seconds), None)], grid)
    model = build_grounder(recipe.model).eval()
    took_s = []
    with torch.inference_mode():
        for _ in range(arguments.rounds + 1):
            started = time.perf_counter()
            model.predict(model(batch), batch, recipe.decoding)
            took_s.append(time.perf_counter() - started)
    parameters = sum(p.numel() for p in model.parameters()) / 1e6
    median_s, worst_s = statistics.median(took_s[1:]), max(took_s[1:])
    print(
        f"{arguments.recipe}: {parameters:.1f} M parameters, {windows} windows, "
        f"median {median_s:.3f} s, slowest {worst_s:.3f} s on {torch.get_num_threads()} threads"
    )


if __name__ == "__main__":
    main()
