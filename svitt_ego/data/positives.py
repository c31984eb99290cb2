"""Action-aware positives (EgoVLP, section 3.2): clips that show the anchor's action elsewhere.

Two clips show the same action if they share a verb and a noun.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from svitt_ego.data.metadata import ClipTable
from svitt_ego.data.metadata.csr import Csr

BLIND_DRAWS = 64


@dataclass(frozen=True)
class _Tags:
    """The anchor's verbs, or its nouns."""

    of_row: Csr
    rows_of: Csr
    anchors: frozenset[int]

    @property
    def lists(self) -> list[NDArray[np.int32]]:
        """The rows of each of the anchor's tags."""
        return [self.rows_of[tag] for tag in sorted(self.anchors)]

    def shared(self, row: int) -> int:
        """How many of the anchor's tags a row has."""
        return len(self.anchors.intersection(self.of_row[row].tolist()))


class ActionPositives:
    """Draws positives through the indices of rows by verb and by noun."""

    def __init__(self, table: ClipTable, left_out: NDArray[np.bool_] | None = None) -> None:
        """
        Args:
            left_out: (rows,), those that are never positives.
        """
        self._table = table
        self._left_out = left_out

    def draw(self, row: int, rng: np.random.Generator) -> int | None:
        """Another row that shares a verb and a noun with `row`, all of them equally likely; None if
        there is none.

        Draws from the rows that have the rarer tags until one has a common tag too; only where
        `BLIND_DRAWS` draws find none are all of them looked at.
        """
        table = self._table
        verbs = _Tags(table.verbs, table.rows_of_verb, frozenset(table.verbs[row].tolist()))
        nouns = _Tags(table.nouns, table.rows_of_noun, frozenset(table.nouns[row].tolist()))
        if not verbs.anchors or not nouns.anchors:
            return None
        verb_rows, noun_rows = (sum(map(len, tags.lists)) for tags in (verbs, nouns))
        rare, common = (verbs, nouns) if verb_rows < noun_rows else (nouns, verbs)
        lists = rare.lists
        ends = np.cumsum([len(rows) for rows in lists])
        for drawn in rng.integers(ends[-1], size=BLIND_DRAWS).tolist():
            of = int(ends.searchsorted(drawn, side="right"))
            other = int(lists[of][drawn - ends[of]])
            # a row is drawn from as many lists as it has of the rarer tags: make up for it
            if other == row or (self._left_out is not None and self._left_out[other]):
                continue
            if common.shared(other) and rng.random() * rare.shared(other) < 1:
                return other
        found = _all_of_both(rare, common)
        found = found[found != row]
        if self._left_out is not None:
            found = found[~self._left_out[found]]
        return int(found[rng.integers(len(found))]) if len(found) else None


def _all_of_both(rare: _Tags, common: _Tags) -> NDArray[np.int32]:
    rows = np.unique(np.concatenate(rare.lists))
    has_common = np.zeros(len(rows), bool)
    for of_tag in common.lists:
        places = of_tag.searchsorted(rows).clip(max=len(of_tag) - 1)
        has_common |= of_tag[places] == rows
    return rows[has_common]
