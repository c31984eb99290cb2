"""Counting the clips that could not be read, so that a run goes on but hides nothing."""

from collections import Counter
from collections.abc import Iterable

from svitt_ego.config import ConfigError
from svitt_ego.data.batch import Fault

NAMED_FAULTS = 10
JUDGED_AFTER_CLIPS = 200
"""Below so many clips a share says little."""


class TooManyFaults(ConfigError):
    """More clips are unreadable than the recipe allows."""


class FaultTally:
    """Faults of one rank since it started, by cause, and the first few by name."""

    def __init__(self) -> None:
        self.clips = 0
        """Read or tried."""
        self.causes: Counter[str] = Counter()
        self.first: list[Fault] = []

    @property
    def faults(self) -> int:
        return self.causes.total()

    @property
    def share(self) -> float:
        return self.faults / self.clips if self.clips else 0.0

    def add(self, clips_read: int, faults: Iterable[Fault]) -> None:
        """Note a batch of `clips_read` good clips and the faults met on the way to them."""
        self.clips += clips_read
        for fault in faults:
            self.clips += 1
            self.causes[fault.cause] += 1
            if len(self.first) < NAMED_FAULTS and fault not in self.first:
                self.first.append(fault)

    @classmethod
    def merged(cls, tallies: Iterable["FaultTally"]) -> "FaultTally":
        """Of all ranks together."""
        whole = cls()
        for tally in tallies:
            whole.clips += tally.clips
            whole.causes += tally.causes
            new = [fault for fault in tally.first if fault not in whole.first]
            whole.first = (whole.first + new)[:NAMED_FAULTS]
        return whole

    def check(self, largest_share: float) -> None:
        """
        Raises:
            TooManyFaults: more than `largest_share` (`data.max_unreadable_share`) of at least
                `JUDGED_AFTER_CLIPS` clips were unreadable; with causes and names.
        """
        if self.clips >= JUDGED_AFTER_CLIPS and self.share > largest_share:
            raise TooManyFaults(
                f"{self.summary()}\nthis is above data.max_unreadable_share = {largest_share}: "
                "mend the videos or raise it"
            )

    def summary(self) -> str:
        """One line per fact: the total, then each cause, then the first files."""
        if not self.faults:
            return f"all {self.clips} clips were readable"
        lines = [f"{self.faults} of {self.clips} clips ({self.share:.1%}) were unreadable:"]
        lines += [f"  {count} {cause}" for cause, count in self.causes.most_common()]
        lines += [f"  {fault.cause}: {fault.path}" for fault in self.first]
        return "\n".join(lines)
