"""The table of a finished suite, for docs/training.md."""

import re
from collections.abc import Sequence

from svitt_ego.fault_suite.suite import Outcome


def markdown(outcomes: Sequence[Outcome], cores: int) -> str:
    """A row per fault, and a line of totals."""
    survived = sum(outcome.ok is True for outcome in outcomes)
    minutes = sum(outcome.seconds for outcome in outcomes) / 60
    lost = max(outcome.steps_lost or 0 for outcome in outcomes)
    longest_s = max(outcome.seconds for outcome in outcomes)
    rows = [
        f"{survived} of {len(outcomes)} as expected, in {minutes:.0f} minutes on {cores} cores; at "
        f"most {lost} steps lost; the longest took {longest_s:.0f} s with all its launches.",
        "",
        "| fault | observed | steps lost |",
        "|---|---|---|",
    ]
    for outcome in outcomes:
        mark = {True: "", False: "NOT AS EXPECTED: ", None: ""}[outcome.ok]
        observed = re.sub(r" in \d+ s", "", outcome.observed).replace("|", "\\|")
        lost_steps = "" if outcome.steps_lost is None else outcome.steps_lost
        rows.append(f"| {outcome.fault} | {mark}{observed} | {lost_steps} |")
    return "\n".join(rows)
