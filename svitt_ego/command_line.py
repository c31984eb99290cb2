"""What the entry points of launch/ share: arguments, logging, errors that a user can act on."""

import argparse
import logging
import os
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from svitt_ego.config import ConfigError

BAD_INPUT = 2
"""Exit code for input that cannot be used, as argparse's."""

_RANK_0_SPEAKS_FIRST_S = 3.0


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Turn errors about the input into one line on stderr and exit code 2.

    All ranks usually find the same mistake. Rank 0 says it; the launcher then ends the others,
    which speak only if rank 0 was content.
    """
    rank = int(os.environ.get("RANK", "0"))
    quiet_libraries()
    try:
        yield
    except ConfigError as error:
        if rank != 0:
            time.sleep(_RANK_0_SPEAKS_FIRST_S)
        print(f"{'' if rank == 0 else f'rank {rank}: '}error: {error}", file=sys.stderr, flush=True)
        sys.exit(BAD_INPUT)


def quiet_libraries() -> None:
    """Leave the terminal to this project's own lines."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    for chatty in ("transformers", "timm", "DeepSpeed"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    # torch warns of its own deprecated names, which DeepSpeed calls
    warnings.filterwarnings("ignore", category=FutureWarning, module="torch.distributed")


def add_overrides(parser: argparse.ArgumentParser) -> None:
    """`--set KEY=VALUE`, repeatable: `overrides` of the parsed arguments, for `load_recipe`."""
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        dest="overrides",
        help="override a value of the recipe, e.g. --set data.videos.root=/data/ego4d; repeatable",
    )


def positive(text: str) -> int:
    """Type of an argument: a whole number above 0."""
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r}: must be a whole number above 0")
    return int(text)
