"""EgoClip rows of a script: narration text in the manner of Ego4D, class tags, times."""

import json

import numpy as np

from svitt_ego.data.synthetic.script import Action, Script
from svitt_ego.data.synthetic.vocabulary import NOUN_ID, NOUNS, TOOL_OF_PATH, VERBS

COLUMNS = (
    "clip_idx",
    "video_uid",
    "video_dur",
    "narration_source",
    "narration_ind",
    "narration_time",
    "clip_start",
    "clip_end",
    "clip_text",
    "tag_verb",
    "tag_noun",
)
Row = dict[str, int | float | str]
_COLOUR_SHARE = 0.85
_HAND_SHARE = 0.25
_TOOL_SHARE = 0.3
_UNSURE_SHARE = 0.01


def egoclip_rows(script: Script, seed: int, index: int, *, allow_unsure: bool) -> list[Row]:
    """One row (COLUMNS) per action; clip_idx is 0 until the rows are joined.

    With `allow_unsure` a few rows name the object `#unsure` and have no noun tag, as in Ego4D.
    """
    rng = np.random.default_rng((seed, index, 1))
    rows = []
    for narration_index, action in enumerate(script.actions):
        text, noun_ids = _narrate(rng, script, action, allow_unsure)
        rows.append(
            {
                "clip_idx": 0,
                "video_uid": script.video_uid,
                "video_dur": round(script.duration_s, 6),
                "narration_source": "narration_pass_1",
                "narration_ind": narration_index,
                "narration_time": action.narration_s,
                "clip_start": action.clip_start_s,
                "clip_end": action.clip_end_s,
                "clip_text": text,
                "tag_verb": json.dumps([action.verb_id]),
                "tag_noun": json.dumps(noun_ids),
            }
        )
    return rows


def _narrate(
    rng: np.random.Generator, script: Script, action: Action, allow_unsure: bool
) -> tuple[str, list[int]]:
    thing = script.scene.objects[action.object_index]
    verb, noun = VERBS[action.verb_id], NOUNS[thing.noun_id]
    phrase = str(rng.choice(list(verb.forms.values())))
    # All draws are made for every action: the text of one never shifts the next.
    with_colour, with_hand, with_tool, unsure = rng.random(4)
    name = str(rng.choice(noun.synonyms))
    colour = f"{thing.colour} " if with_colour < _COLOUR_SHARE else ""
    object_text, noun_ids = f"the {colour}{name}", [thing.noun_id]
    if allow_unsure and unsure < _UNSURE_SHARE:
        object_text, noun_ids = "the #unsure", []
    text = f"#C C {phrase.format(object_text)}"
    tool = TOOL_OF_PATH.get(verb.path)
    if tool is not None and with_tool < _TOOL_SHARE:
        tool_id = NOUN_ID[tool]
        text += f" with the {rng.choice(NOUNS[tool_id].synonyms)}"
        noun_ids.append(tool_id)
    elif with_hand < _HAND_SHARE:
        text += f" with the {action.hand} hand"
    return text, noun_ids


def to_tsv(rows: list[Row]) -> str:
    """Rows as the text of egoclip.csv: tab-separated with a header line."""
    lines = ["\t".join(COLUMNS)]
    lines += ["\t".join(str(row[column]) for column in COLUMNS) for row in rows]
    return "\n".join(lines) + "\n"
