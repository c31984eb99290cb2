"""Tables that a command keeps up to date inside pages written by hand.

A section lies between `<!-- NAME -->` and `<!-- end of NAME -->`, each on a line of its own.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from svitt_ego.config import ConfigError
from svitt_ego.durable_files import write_atomically


def check_sections(pages: Sequence[Path], names: Sequence[str]) -> None:
    """See, before anything is computed, that there is something to replace.

    Raises:
        ConfigError: a page cannot be read, has none of the sections, or one without an end.
    """
    for page in pages:
        _replaced(page, dict.fromkeys(names, ""))


def replace_sections(page: Path, texts: Mapping[str, str]) -> None:
    """Put the texts into those of the sections that the page has.

    Raises:
        ConfigError: as `check_sections`.
    """
    write_atomically(page, _replaced(page, texts))


def _replaced(page: Path, texts: Mapping[str, str]) -> str:
    try:
        content = page.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{page}: cannot be read: {error}") from None
    found = False
    for name, text in texts.items():
        first, last = f"<!-- {name} -->\n", f"<!-- end of {name} -->\n"
        before, opened, rest = content.partition(first)
        _, closed, after = rest.partition(last)
        if opened and not closed:
            raise ConfigError(f"{page}: {first.strip()!r} has no {last.strip()!r} after it")
        if opened:
            found, content = True, f"{before}{first}\n{text}\n\n{last}{after}"
    if not found:
        wanted = ", ".join(f"<!-- {name} -->" for name in texts)
        raise ConfigError(f"{page}: has none of the lines {wanted}")
    return content
