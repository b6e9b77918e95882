"""A seed to generated responses with four attributes, 1 to 5, that show in their words.

A response is one sentence on the prompt's topic and one phrase per attribute, drawn
from those of its level, in random order: a small model can read all four attributes
from the words. Levels of one response are correlated, as those of real responses are:
more correct answers are also more coherent, and to a lesser degree more complex and
longer.
"""

import random
from collections.abc import Iterator
from statistics import NormalDist
from typing import Any

from inflib.synthetic.topics import QUESTIONS, SENTENCES

LOADS = {"correctness": 0.8, "coherence": 0.7, "complexity": 0.5, "verbosity": 0.3}
"""Correlation of each attribute with a response's overall quality."""

PHRASES = {
    "correctness": [
        ["I made this up.", "All of it is plainly false.", "None of it holds."],
        ["I half remember it.", "A neighbour once claimed it.", "This is a rumour."],
        ["It may or may not hold.", "Opinions are divided.", "It is true at times."],
        ["Most experts agree.", "It is usually right.", "Experience supports it."],
        ["It was measured and confirmed.", "It is proven.", "The facts are checked."],
    ],
    "coherence": [
        ["Then of never first also.", "Check because purple.", "Bananas which end."],
        ["Finish, or perhaps begin.", "Steps go here and there.", "Check, but begin."],
        ["Do it, and also prepare.", "Some steps go together.", "Go on, or begin."],
        ["Begin, and then go on.", "Mostly step follows step.", "Prepare, then do it."],
        ["First prepare, then begin, finally check.", "One leads to two, and on."],
    ],
    "complexity": [
        ["It is easy.", "Just do it.", "Go and try."],
        ["Take good tools.", "Use a bit of care.", "Keep it warm."],
        ["Temperature and time matter.", "There are a few factors.", "Mind the wood."],
        ["Thermal inertia matters.", "Several variables interact.", "Feedback enters."],
        ["Hysteresis governs equilibria.", "Consider eigenvalues.", "Entropy rises."],
    ],
    "verbosity": [
        [""],
        ["That is all.", "So much for that.", "There you are."],
        ["As I said, that is all there is to it.", "That, in a word, is my view."],
        ["Let me say it again, as it bears repeating."],
        ["Let me say all of that once more, at length, and then again, and again."],
    ],
}
"""{attribute: phrases of each level, from 1 to 5}."""


def rated_responses(num_pairs: int, seed: int) -> Iterator[dict[str, Any]]:
    """Rows of prompt, response and the level of each attribute, two for each of
    num_pairs prompts."""
    rng = random.Random(seed)
    for i in range(num_pairs):
        topic = rng.choice(sorted(QUESTIONS))
        prompt = f"{seed}-{i}: tell me about {topic}.\n"
        for _ in range(2):
            levels = _levels(rng)
            phrases = [rng.choice(PHRASES[name][levels[name] - 1]) for name in levels]
            phrases += rng.sample(SENTENCES[topic], 1)
            rng.shuffle(phrases)
            response = " ".join(filter(None, phrases))
            yield {"prompt": prompt, "response": response, **levels}


def _levels(rng: random.Random) -> dict[str, int]:
    """{attribute: level} of a response: fifths of a normal variable that has
    correlation LOADS with the response's quality."""
    quality, normal = rng.gauss(0, 1), NormalDist()
    levels = {}
    for name, load in LOADS.items():
        value = load * quality + (1 - load**2) ** 0.5 * rng.gauss(0, 1)
        levels[name] = 1 + min(4, int(5 * normal.cdf(value)))
    return levels
