"""Skip lists: written, read, refused where they do not fit."""

import re

import pytest

from svitt_ego.config import ConfigError
from svitt_ego.data.metadata import ClipTable
from svitt_ego.data.skip_list import read_skip_list, write_skip_list


@pytest.fixture
def table(recipe):
    return ClipTable.open(recipe.data.metadata)


def test_rows_come_back(table, tmp_path):
    write_skip_list(tmp_path / "skip.txt", table, [5, 2, 5])
    assert read_skip_list(tmp_path / "skip.txt", table).nonzero()[0].tolist() == [2, 5]
    write_skip_list(tmp_path / "skip.txt", table, [])
    assert not read_skip_list(tmp_path / "skip.txt", table).any()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda text: text.replace("sha256 ", "sha256 0"), "was made for another file than"),
        (lambda text: text + "24\n", "line 3: '24' is no row"),
        (lambda text: text + "x\n", "line 3: 'x' is no row"),
        (lambda text: "3\n", "line 1 does not begin with"),
        (lambda text: text + "".join(f"{row}\n" for row in range(23)), "fewer than two clips"),
    ],
)
def test_what_does_not_fit_is_one_line(table, tmp_path, change, said):
    path = tmp_path / "skip.txt"
    write_skip_list(path, table, [1])
    path.write_text(change(path.read_text()))
    with pytest.raises(ConfigError, match=re.escape(said)) as error:
        read_skip_list(path, table)
    assert str(error.value).startswith(f"data.skip_list = '{path}'")
    assert "\n" not in str(error.value)


def test_no_file_is_one_line(table, tmp_path):
    with pytest.raises(ConfigError, match=r"data\.skip_list = .*No such file"):
        read_skip_list(tmp_path / "nowhere.txt", table)
    (tmp_path / "empty.txt").touch()
    with pytest.raises(ConfigError, match="is not a skip list"):
        read_skip_list(tmp_path / "empty.txt", table)
