"""Make a folder of videos ready for training: smaller, of constant frame rate, with a key frame a
second, in chunks. The source is kept; a run that was stopped goes on where it was.

python launch/prepare_videos.py /data/ego4d/full_scale data/egoclip/videos
"""

import argparse
import sys
from dataclasses import fields
from pathlib import Path

from svitt_ego.command_line import one_line_errors, positive
from svitt_ego.data.preparation.prepare import prepare_videos
from svitt_ego.data.preparation.settings import PRESETS, Settings
from svitt_ego.data.worker_pool import usable_cpus

HELP = {
    "short_side": "pixels; smaller videos keep their size",
    "fps": "constant frame rate of the result",
    "key_frame_every": "frames",
    "chunk_s": "length of a chunk, seconds",
    "layout": "names of the chunks: index, start_second or whole, as data.videos.layout",
    "crf": "x264's quality: lower is better and larger",
    "preset": "x264's speed: slower ones make smaller files",
}
TYPES = {"chunk_s": float, "layout": str, "preset": str}
CHOICES = {"layout": ("index", "start_second", "whole"), "preset": PRESETS}


def parse_arguments() -> argparse.Namespace:
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("source", type=Path, help="folder of {video_uid}.mp4 (mkv, mov, avi, webm)")
    parser.add_argument(
        "dest", type=Path, help="folder of the result, data.videos.root of a recipe"
    )
    for field in fields(Settings):
        parser.add_argument(
            f"--{field.name.replace('_', '-')}",
            type=TYPES.get(field.name, positive),
            choices=CHOICES.get(field.name),
            default=field.default,
            help=f"{HELP[field.name]} (default: {field.default})",
        )
    parser.add_argument("--workers", type=positive, default=usable_cpus(), help="default: CPUs")
    return parser.parse_args()


def main() -> None:
    arguments = parse_arguments()
    with one_line_errors():
        settings = Settings(**{f.name: getattr(arguments, f.name) for f in fields(Settings)})
        prepared = prepare_videos(arguments.source, arguments.dest, settings, arguments.workers)
        print(prepared.summary())
        sys.exit(1 if prepared.problems else 0)


if __name__ == "__main__":
    main()
