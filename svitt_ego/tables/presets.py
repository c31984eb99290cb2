"""How much of the tables is made: minutes for a test, an hour or more for results to keep."""

from dataclasses import dataclass

from svitt_ego.tables.rows import ABLATIONS, ONE_FRAME, SEEDED, Row


@dataclass(frozen=True)
class Preset:
    size: str
    """Of EgoSynth; it has as many questions of each kind as `data/synthetic/sizes.py` says."""
    warm_epochs: int
    row_epochs: int
    headline_epochs: int
    """Whole ones, whatever `data.epoch_share` is. 0: without the headline run, shortcuts are looked
    for in the first row instead."""
    seeds: int
    """Of Tables 1 and 2; ablations have one."""
    ablations: tuple[Row, ...]
    overrides: tuple[str, ...] = ()
    """Of the recipe, for all runs."""

    @property
    def rows(self) -> tuple[Row, ...]:
        return (*SEEDED, *self.ablations, ONE_FRAME)


PRESETS = {
    "smoke": Preset(
        size="tiny",
        warm_epochs=1,
        row_epochs=1,
        headline_epochs=0,
        seeds=1,
        ablations=tuple(row for row in ABLATIONS if row.name == "merge"),
        overrides=("training.micro_batch_size=4", "model.video.layers=3", "data.workers=0"),
    ),
    "fast": Preset(
        size="small",
        warm_epochs=5,
        row_epochs=1,
        headline_epochs=0,
        seeds=3,
        ablations=ABLATIONS,
        overrides=("data.epoch_share=0.6",),
    ),
    "full": Preset(
        size="full",
        warm_epochs=4,
        row_epochs=2,
        headline_epochs=5,
        seeds=3,
        ablations=ABLATIONS,
        overrides=("data.epoch_share=0.35",),
    ),
}
