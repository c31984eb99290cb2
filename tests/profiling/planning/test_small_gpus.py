"""The tables of `make plan`; the plans themselves are in test_planned_run.py."""

import pytest

from svitt_ego.profiling.planning import small_gpus
from svitt_ego.profiling.planning.small_gpus import (
    PRECISIONS,
    RECIPES,
    SETTINGS,
    TARGETS,
    Setting,
    in_order,
    markdown_of_fits,
    markdown_of_targets,
    rows_of,
)
from tests.profiling.planning.tiny import TINY


@pytest.fixture(scope="module")
def rows() -> list[dict]:
    with pytest.MonkeyPatch.context() as patch:
        load = small_gpus.load_recipe
        patch.setattr(small_gpus, "load_recipe", lambda name, said: load("demo", [*said, *TINY]))
        return rows_of(Setting("paper_1_3_56", "zero2_*", 8, ("832MiB", "100MiB"), (8,)))


def test_every_recipe_meets_every_config_and_every_target_is_planned():
    assert {(s.recipe, s.config) for s in SETTINGS} == {
        (recipe, config)
        for recipe in RECIPES
        for config in ("one_gpu_*", "one_gpu_*_offload", "zero2_*", "zero2_*_offload")
    }
    planned = {
        (s.config, s.gpus, clips) for s in SETTINGS if s.recipe == RECIPES[0] for clips in s.clips
    }
    assert planned == {(t.config, t.gpus, t.clips) for t in TARGETS}


def test_rows_of_a_setting(rows: list[dict]):
    assert [(row["gpu_memory"], row["config"]) for row in rows] == [
        (memory, f"zero2_{precision}")
        for memory in (None, "832MiB", "100MiB")
        for precision in PRECISIONS
    ]
    peak, fits, never = rows[::2]
    assert peak["clips"] == 8 and peak["micro_batch"] == 4 and peak["largest_micro_batch"] is None
    assert fits["largest_micro_batch"] == fits["micro_batch"] > 4
    assert fits["needed_bytes"] <= 832 * 2**20 and fits["peak_bytes"] > peak["peak_bytes"]
    assert never["largest_micro_batch"] == 0 and never["micro_batch"] == 1
    assert in_order(rows[::-1])[0]["config"] == "zero2_fp16"


def test_tables_of_a_setting(rows: list[dict]):
    fits = markdown_of_fits(rows)
    assert "| GPUs | DeepSpeed config | `paper_1_3_56` |" in fits
    assert f"| 8 of 832 MiB | `zero2_*` | {rows[2]['micro_batch']} ({rows[2]['clips']}), " in fits
    assert "| 8 of 100 MiB | `zero2_*` | does not fit |" in fits
    targets = markdown_of_targets(rows)
    assert "| 8 clips (4 anchors) on each of 8 GPUs, `zero2_*` | " in targets
    assert targets.endswith("| 1.5 GiB | met |")
    big = [row | {"peak_bytes": 2 * 2**30} for row in rows]
    assert markdown_of_targets(big).endswith("| 1.5 GiB | **missed** |")
