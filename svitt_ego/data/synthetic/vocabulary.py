"""The words of EgoSynth: verbs with their motion, nouns with what they afford, colours.

A verb is a *path* along an *axis* of the scene. The paths of one axis visit the same positions
for the same share of time, in another order, so that neither one frame nor an unordered set of
frames tells the verbs of an axis apart: only the order in time does.
"""

from dataclasses import dataclass
from typing import Literal

Axis = Literal["lift", "slide", "turn", "lid", "tilt", "tool"]
Path = Literal["rise", "fall", "oscillate", "swing", "cut", "stir", "wipe"]


@dataclass(frozen=True)
class Verb:
    """A verb class: `forms` maps each synonym to its narration phrase, `{}` being the object."""

    axis: Axis
    path: Path
    forms: dict[str, str]

    @property
    def name(self) -> str:
        return next(iter(self.forms))


@dataclass(frozen=True)
class Noun:
    """A noun class: its synonyms and the axes and tools it affords beside lift, slide and turn."""

    synonyms: tuple[str, ...]
    affords: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        return self.synonyms[0]


# The index in these tuples is the class id written to tag_verb and tag_noun.
VERBS: tuple[Verb, ...] = (
    Verb("lift", "rise", {"pick up": "picks up {}", "lift": "lifts {}", "take": "takes {}"}),
    Verb("lift", "fall", {"put down": "puts down {}", "lower": "lowers {}", "place": "places {}"}),
    Verb("lift", "oscillate", {"shake": "shakes {}", "jolt": "jolts {}"}),
    Verb("lift", "swing", {"tap": "taps {}", "knock": "knocks {}", "bang": "bangs {}"}),
    Verb(
        "slide",
        "rise",
        {
            "push right": "pushes {} to the right",
            "slide right": "slides {} to the right",
            "move right": "moves {} rightwards",
        },
    ),
    Verb(
        "slide",
        "fall",
        {
            "push left": "pushes {} to the left",
            "slide left": "slides {} to the left",
            "move left": "moves {} leftwards",
        },
    ),
    Verb("slide", "oscillate", {"wiggle": "wiggles {}", "rub": "rubs {}"}),
    Verb("slide", "swing", {"swing": "swings {}", "sway": "sways {}"}),
    Verb(
        "turn",
        "rise",
        {
            "rotate clockwise": "rotates {} clockwise",
            "turn clockwise": "turns {} clockwise",
            "rotate right": "rotates {} to the right",
        },
    ),
    Verb(
        "turn",
        "fall",
        {
            "rotate anticlockwise": "rotates {} anticlockwise",
            "turn anticlockwise": "turns {} anticlockwise",
            "rotate left": "rotates {} to the left",
        },
    ),
    Verb("turn", "oscillate", {"twist": "twists {}", "swivel": "swivels {}"}),
    Verb("turn", "swing", {"rock": "rocks {}", "wobble": "wobbles {}"}),
    Verb("lid", "rise", {"open": "opens {}", "uncover": "uncovers {}"}),
    Verb("lid", "fall", {"close": "closes {}", "shut": "shuts {}", "cover": "covers {}"}),
    Verb("lid", "oscillate", {"flap": "flaps {}", "fan": "fans {}"}),
    Verb("lid", "swing", {"adjust": "adjusts {}", "fix": "fixes {}"}),
    Verb(
        "tilt",
        "rise",
        {"pour": "pours from {}", "tip": "tips {}", "empty": "empties {}"},
    ),
    Verb("tilt", "fall", {"straighten": "straightens {}", "level": "levels {}"}),
    Verb("tilt", "oscillate", {"sprinkle": "sprinkles from {}", "drizzle": "drizzles from {}"}),
    Verb("tilt", "swing", {"swirl": "swirls {}", "slosh": "sloshes {}"}),
    Verb("tool", "cut", {"cut": "cuts {}", "slice": "slices {}", "chop": "chops {}"}),
    Verb("tool", "stir", {"stir": "stirs {}", "mix": "mixes {}"}),
    Verb("tool", "wipe", {"wipe": "wipes {}", "clean": "cleans {}"}),
)

_VESSEL = frozenset({"tilt", "stir"})
_LIDDED = frozenset({"lid"})
_FOOD = frozenset({"cut"})
NOUNS: tuple[Noun, ...] = (
    Noun(("cup", "mug"), _VESSEL),
    Noun(("bottle", "flask"), _LIDDED | {"tilt"}),
    Noun(("bowl", "basin"), _VESSEL),
    Noun(("teapot", "kettle"), _LIDDED | {"tilt"}),
    Noun(("pot", "saucepan"), _LIDDED | _VESSEL),
    Noun(("jar", "canister"), _LIDDED | {"tilt"}),
    Noun(("book", "notebook"), _LIDDED),
    Noun(("box", "carton"), _LIDDED),
    Noun(("bag", "purse"), _LIDDED),
    Noun(("apple", "fruit"), _FOOD),
    Noun(("carrot", "vegetable"), _FOOD),
    Noun(("bread", "loaf"), _FOOD),
    Noun(("cheese", "cheddar"), _FOOD),
    Noun(("hammer", "mallet")),
    Noun(("brush", "paintbrush")),
    Noun(("shoe", "sneaker")),
    Noun(("knife", "blade")),
    Noun(("spoon", "ladle")),
    Noun(("cloth", "rag")),
)
TOOL_OF_PATH = {"cut": "knife", "stir": "spoon", "wipe": "cloth"}
AXES: tuple[Axis, ...] = ("lift", "slide", "turn", "lid", "tilt")

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (222, 30, 38),
    "orange": (250, 128, 16),
    "yellow": (250, 218, 32),
    "green": (36, 168, 62),
    "blue": (30, 96, 232),
    "purple": (136, 48, 190),
    "pink": (250, 116, 184),
    "white": (244, 244, 240),
}

VERB_ID = {(verb.axis, verb.path): index for index, verb in enumerate(VERBS)}
NOUN_ID = {noun.name: index for index, noun in enumerate(NOUNS)}
OBJECT_NOUN_IDS: tuple[int, ...] = tuple(
    index for index, noun in enumerate(NOUNS) if noun.name not in TOOL_OF_PATH.values()
)


def affords(noun_id: int, axis_or_path: str) -> bool:
    """Whether an object can be moved along this axis or worked on with this tool path."""
    always = axis_or_path in ("lift", "slide", "turn", "wipe")
    return always or axis_or_path in NOUNS[noun_id].affords


def taxonomy() -> dict[str, list[dict[str, object]]]:
    """Verb and noun classes as JSON-ready data: id, name, synonyms (the name first)."""
    return {
        "verbs": [
            {"id": i, "name": verb.name, "synonyms": list(verb.forms)}
            for i, verb in enumerate(VERBS)
        ],
        "nouns": [
            {"id": i, "name": noun.name, "synonyms": list(noun.synonyms)}
            for i, noun in enumerate(NOUNS)
        ],
    }
