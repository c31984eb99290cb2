"""Make a folder of a run's trained model: safetensors, config, tokenizer.

python launch/export.py runs/paper --output exported

from svitt_ego.models import SViTTEgo
model = SViTTEgo.from_pretrained("exported")
"""

import argparse
from pathlib import Path

from svitt_ego.command_line import one_line_errors


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, help="run directory")
    parser.add_argument("--tag", help="checkpoint, such as step-000040 (default: the newest)")
    parser.add_argument("--output", type=Path, help="new folder (default: RUN/exported)")
    return parser.parse_args()


def main() -> None:
    arguments = parse_arguments()
    with one_line_errors():
        from svitt_ego.data.text import load_tokenizer
        from svitt_ego.models.folder import save_folder
        from svitt_ego.training.trained_model import load_trained_model

        model, recipe = load_trained_model(arguments.run, arguments.tag)
        tokenizer = load_tokenizer(recipe.data.tokenizer, recipe.model.text.vocabulary_size)
        about = {
            "name": recipe.name,
            "frames": recipe.data.frames,
            "max_text_tokens": recipe.data.max_text_tokens,
        }
        output = arguments.output or arguments.run / "exported"
        save_folder(model, tokenizer, about, output)
        print(f"{output}: {sum(p.numel() for p in model.parameters()) / 1e6:.1f} M parameters")


if __name__ == "__main__":
    main()
