from pathlib import Path

import pytest

from svitt_ego.config import ConfigError
from svitt_ego.page_section import check_sections, replace_sections

PAGE = "before\n<!-- a -->\nold\n<!-- end of a -->\nbetween\n<!-- b -->\n<!-- end of b -->\nafter\n"


def test_what_lies_between_is_replaced_and_nothing_else(tmp_path: Path):
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    for _ in range(2):  # the second time changes nothing
        replace_sections(page, {"a": "| new |", "b": "text", "elsewhere": "not here"})
        assert page.read_text() == (
            "before\n<!-- a -->\n\n| new |\n\n<!-- end of a -->\nbetween\n"
            "<!-- b -->\n\ntext\n\n<!-- end of b -->\nafter\n"
        )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("no sections", "has none of the lines <!-- a -->, <!-- b -->"),
        ("<!-- a -->\ntext\n", "'<!-- a -->' has no '<!-- end of a -->' after it"),
        ("<!-- end of a -->\n<!-- a -->\n", "has no '<!-- end of a -->' after it"),
        (None, "cannot be read"),
    ],
)
def test_a_page_without_them_is_told_before_work_begins(tmp_path: Path, content, message):
    page = tmp_path / "page.md"
    if content is not None:
        page.write_text(content)
    with pytest.raises(ConfigError, match=message):
        check_sections([page], ["a", "b"])
    assert content is None or page.read_text() == content
