import argparse

import pytest

from svitt_ego.command_line import BAD_INPUT, add_overrides, one_line_errors, positive
from svitt_ego.config import ConfigError


@pytest.mark.parametrize("rank", [0, 3])
def test_unusable_input_is_one_line_and_exit_code_2(monkeypatch, capsys, rank):
    waits = []
    monkeypatch.setattr("svitt_ego.command_line.time.sleep", waits.append)
    monkeypatch.setenv("RANK", str(rank))
    with pytest.raises(SystemExit) as ending, one_line_errors():
        raise ConfigError("recipe.yaml: key = 5: must be 6")
    assert ending.value.code == BAD_INPUT == 2
    said = "error: recipe.yaml: key = 5: must be 6\n"
    assert capsys.readouterr() == ("", said if rank == 0 else f"rank {rank}: {said}")
    assert len(waits) == (rank != 0)  # rank 0 speaks first


def test_other_errors_keep_their_traceback():
    with pytest.raises(ValueError, match="a defect"), one_line_errors():
        raise ValueError("a defect")


def test_overrides_keep_their_order():
    parser = argparse.ArgumentParser()
    add_overrides(parser)
    assert parser.parse_args([]).overrides == []
    assert parser.parse_args(["--set", "b=1", "--set=a=2"]).overrides == ["b=1", "a=2"]


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "two", "", "²"])
def test_only_whole_numbers_above_0_are_positive(text):
    with pytest.raises(argparse.ArgumentTypeError, match="must be a whole number above 0"):
        positive(text)
    assert positive("12") == 12
