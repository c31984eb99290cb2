"""Draw what a trained model keeps of a clip: the patches left after each token drop, what [CLS] and
the text attend to, and the attention's block pattern. Writes tokens.png, tokens.gif, tokens.mp4
and patterns.png.

python launch/show_tokens.py --run runs/paper --row 7 --output tokens
python launch/show_tokens.py --run runs/paper --clip VIDEO_UID 12.5 14 --text "#C C cuts the onion"
"""

import argparse
from pathlib import Path

from svitt_ego.command_line import one_line_errors
from svitt_ego.config import ConfigError
from svitt_ego.durable_files import prepare_folder_of
from svitt_ego.evaluation.evaluated_run import (
    add_run_arguments,
    load_evaluated_run,
    read_run_recipe,
)


def parse_arguments() -> argparse.Namespace:
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("--row", type=int, default=0, help="of data.metadata, from 0 (default: 0)")
    parser.add_argument(
        "--clip", nargs=3, metavar=("VIDEO_UID", "START_S", "END_S"), help="in place of --row"
    )
    parser.add_argument("--text", help="(default: the row's narration)")
    parser.add_argument("--output", type=Path, default=Path("runs/tokens"), help="folder")
    add_run_arguments(parser)
    return parser.parse_args()


def main() -> None:
    arguments = parse_arguments()
    with one_line_errors():
        if arguments.clip and arguments.text is None:
            raise ConfigError("--clip: needs --text, what the fusion encoder is to look for")
        recipe = read_run_recipe(arguments.run, arguments.overrides, arguments.frames)
        prepare_folder_of(arguments.output / "tokens.png")

        # Heavy imports: after the cheap checks.
        from svitt_ego.evaluation.chosen_clip import chosen_clip
        from svitt_ego.evaluation.ranks import Ranks
        from svitt_ego.evaluation.token_picture import save_token_pictures
        from svitt_ego.evaluation.token_trace import trace_tokens

        video, text = chosen_clip(recipe, arguments.row, arguments.clip, arguments.text)
        run = load_evaluated_run(arguments, recipe, Ranks.join())
        max_tokens = recipe.data.max_text_tokens
        trace = trace_tokens(run.model, run.tokenizer, max_tokens, video, text)
        for path in save_token_pictures(run.model, trace, arguments.output):
            print(path)


if __name__ == "__main__":
    main()
