"""Tables that a command keeps up to date inside a page written by hand."""

from pathlib import Path

from svitt_ego.config import ConfigError
from svitt_ego.durable_files import write_atomically


def replace_section(page: Path, name: str, text: str) -> None:
    """Put `text` between `<!-- NAME -->` and `<!-- end of NAME -->`, each on a line of its own.

    Raises:
        ConfigError: the page cannot be read or has no such lines.
    """
    first, last = f"<!-- {name} -->\n", f"<!-- end of {name} -->\n"
    try:
        content = page.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{page}: cannot be read: {error}") from None
    before, opened, rest = content.partition(first)
    _, closed, after = rest.partition(last)
    if not (opened and closed):
        raise ConfigError(f"{page}: has no lines {first.strip()!r} and {last.strip()!r}")
    write_atomically(page, f"{before}{first}\n{text}\n\n{last}{after}")
