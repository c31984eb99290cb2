"""What can be answered without watching: EgoSynth's questions must not give themselves away."""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from svitt_ego.data.metadata import ClipTable

Questions = Mapping[str, Mapping[str, Any]]
"""egomcq.json as it is."""

FOLDS = 5


def read_file(path: Path) -> Questions:
    return json.loads(path.read_text(encoding="utf-8"))


def text_only(questions: Questions) -> NDArray[np.bool_]:
    """Which are answered rightly by who has read the narration and sees no clip, only their times:
    (Q,).

    A choice is then no more than its place in the list and its rank in time. Naive Bayes over the
    narration's words predicts either, whichever does better on the other four fifths of the
    questions, on which it is fitted too.
    """
    asked = list(questions.values())
    words = [re.findall(r"\w+", question["query"]["clip_text"].lower()) for question in asked]
    fold = np.arange(len(asked)) % FOLDS
    correct = np.zeros(len(asked), bool)
    choices = [_by_place, _by_time]
    for held_out in range(FOLDS):
        known, tried = np.flatnonzero(fold != held_out), np.flatnonzero(fold == held_out)
        of_rule = []
        for order in choices:
            ranks = [order(question).index(question["answer"]) for question in asked]
            model = _NaiveBayes([words[i] for i in known], [ranks[i] for i in known])
            hits = np.array([model.predict(said) for said in words]) == np.array(ranks)
            of_rule.append((hits[known].mean(), hits[tried]))
        correct[tried] = max(of_rule, key=lambda rule: rule[0])[1]
    return correct


def nearest_length(questions: Questions, table: ClipTable) -> NDArray[np.bool_]:
    """Which are answered rightly by choosing the clip whose length is nearest to the mean length
    of the training clips of the narration's verb: (Q,)."""
    lengths: dict[int, list[float]] = defaultdict(list)
    for row in range(len(table)):
        for verb in table.verbs[row].tolist():
            lengths[verb].append(float(table.end_s[row] - table.start_s[row]))
    everything = np.mean(np.concatenate(list(lengths.values())))
    correct = []
    for question in questions.values():
        verbs = json.loads(question["query"]["tag_verb"])
        of_verb = [length for verb in verbs for length in lengths.get(verb, [])]
        usual = np.mean(of_verb) if of_verb else everything
        off = [abs(_length_s(choice) - usual) for choice in _choices(question)]
        correct.append(int(np.argmin(off)) == question["answer"])
    return np.array(correct)


class _NaiveBayes:
    """Multinomial, with one imagined occurrence of every word in every class."""

    def __init__(self, texts: Sequence[Sequence[str]], classes: Sequence[int]) -> None:
        vocabulary = {word for text in texts for word in text}
        self._shares: dict[int, tuple[float, dict[str, float], float]] = {}
        for name, count in Counter(classes).items():
            words = Counter(
                word for text, of in zip(texts, classes, strict=True) if of == name for word in text
            )
            total = words.total() + len(vocabulary) + 1
            logs = {word: float(np.log((seen + 1) / total)) for word, seen in words.items()}
            prior = float(np.log(count / len(classes)))
            self._shares[name] = (prior, logs, float(np.log(1 / total)))

    def predict(self, text: Sequence[str]) -> int:
        def likelihood(name: int) -> float:
            prior, logs, unseen = self._shares[name]
            return prior + sum(logs.get(word, unseen) for word in text)

        return max(sorted(self._shares), key=likelihood)


def _choices(question: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [question["choices"][str(place)] for place in range(len(question["choices"]))]


def _length_s(clip: Mapping[str, Any]) -> float:
    return clip["clip_end"] - clip["clip_start"]


def _by_place(question: Mapping[str, Any]) -> list[int]:
    return list(range(len(question["choices"])))


def _by_time(question: Mapping[str, Any]) -> list[int]:
    return np.argsort([clip["clip_start"] for clip in _choices(question)]).tolist()
