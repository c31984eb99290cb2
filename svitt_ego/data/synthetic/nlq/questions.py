"""Questions about a long video, drawn from its script: each has one answer in the whole video.

About half ask for the time in which a thing was in use, half for a single action. Templates have
the names of Ego4D's.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from svitt_ego.data.synthetic.nlq.long_video import LongVideo
from svitt_ego.data.synthetic.script import Action
from svitt_ego.data.synthetic.vocabulary import NOUNS, VERB_ID, VERBS

WHERE_IS_MY = "Objects: Where is my object X?"
IN_WHAT_LOCATION = "Objects: In what location did I see object X ?"
WHERE_DID_I_PUT = "Place: Where did I put X?"
STATE = "Objects: State of an object"
WHAT_DID_I = "Objects: What X did I Y?"

_OF_USE = (
    (WHERE_IS_MY, "Where is my {}?"),
    (WHERE_IS_MY, "Where was the {} last?"),
    (IN_WHAT_LOCATION, "In what location did I see the {}?"),
    (IN_WHAT_LOCATION, "Where did I use the {}?"),
)
_OF_PUTTING = ("Where did I put the {}?", "Where did I place the {}?")
_USE_SHARE = 0.5


@dataclass(frozen=True)
class Question:
    """Times in seconds of the video."""

    template: str
    text: str
    slot_x: str
    verb_x: str
    start_s: float
    end_s: float


@dataclass(frozen=True)
class _Use:
    """A run of actions on one object: `actions` with the start of their table added."""

    noun_id: int
    colour: str
    actions: tuple[tuple[Action, float], ...]


def ask(video: LongVideo, count: int, rng: np.random.Generator) -> list[Question]:
    """At most `count` different questions, in random order."""
    uses = list(_uses(video))
    of_use = list(_about_uses(uses, rng))
    of_action = list(_about_actions(uses, rng))
    wanted = min(round(count * _USE_SHARE), len(of_use))
    drawn = [of_use[i] for i in rng.permutation(len(of_use))[:wanted]]
    drawn += [of_action[i] for i in rng.permutation(len(of_action))[: count - wanted]]
    return [drawn[i] for i in rng.permutation(len(drawn))]


def _uses(video: LongVideo) -> Iterator[_Use]:
    for script, start_s in zip(video.tables, video.starts_s, strict=True):
        for _, block in groupby(script.actions, key=lambda action: action.block):
            actions = tuple((action, start_s) for action in block)
            thing = script.scene.objects[actions[0][0].object_index]
            yield _Use(thing.noun_id, thing.colour, actions)


def _about_uses(uses: list[_Use], rng: np.random.Generator) -> Iterator[Question]:
    """Of things that are used once."""
    times = Counter((use.noun_id, use.colour) for use in uses)
    for use in uses:
        template, text = _OF_USE[rng.integers(len(_OF_USE))]
        name = _name(use, rng)
        if times[use.noun_id, use.colour] == 1:
            (first, start_s), (last, _) = use.actions[0], use.actions[-1]
            window = (start_s + first.clip_start_s, start_s + last.clip_end_s)
            yield _question(template, text.format(name), name, None, window)


def _about_actions(uses: list[_Use], rng: np.random.Generator) -> Iterator[Question]:
    """Of actions that are told apart by thing and verb, or by kind of thing and verb."""
    lids = (VERB_ID["lid", "rise"], VERB_ID["lid", "fall"])
    of_thing: Counter[tuple[int, str, int]] = Counter()
    of_kind: Counter[tuple[int, int]] = Counter()
    for use in uses:
        of_thing.update((use.noun_id, use.colour, action.verb_id) for action, _ in use.actions)
        of_kind.update((use.noun_id, action.verb_id) for action, _ in use.actions)
    for use in uses:
        for action, start_s in use.actions:
            verb_id = action.verb_id
            window = (start_s + action.clip_start_s, start_s + action.clip_end_s)
            name = _name(use, rng)
            verb = str(rng.choice(list(VERBS[verb_id].forms)))
            if of_thing[use.noun_id, use.colour, verb_id] > 1:
                continue
            if verb_id == VERB_ID["lift", "fall"]:
                text = _OF_PUTTING[rng.integers(len(_OF_PUTTING))].format(name)
                yield _question(WHERE_DID_I_PUT, text, name, None, window)
            elif verb_id in lids:
                text = f"When did I {verb} the {name}?"
                yield _question(STATE, text, name, verb, window)
            elif of_kind[use.noun_id, verb_id] == 1:
                kind = name.partition(" ")[2]
                text = f"Which {kind} did I {verb}?"
                yield _question(WHAT_DID_I, text, kind, verb, window)


def _name(use: _Use, rng: np.random.Generator) -> str:
    return f"{use.colour} {rng.choice(NOUNS[use.noun_id].synonyms)}"


def _question(
    template: str, text: str, slot_x: str, verb: str | None, window_s: tuple[float, float]
) -> Question:
    start_s, end_s = (round(max(0.0, float(time_s)), 6) for time_s in window_s)
    return Question(template, text, slot_x, verb or "[verb_not_applicable]", start_s, end_s)
