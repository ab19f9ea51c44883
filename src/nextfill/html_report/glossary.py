"""The words of a page that not everybody knows: each explained at its end, linked at its first use.

Only our own words are looked at. What comes from data, models and settings stands in elements that
are passed over, and all of it is escaped, so that a tag is a tag.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from nextfill.rendering.html import Html, element

_TAG = re.compile(r"(<[^>]*>)")
_PASSED_OVER = frozenset(
    {"code", "data", "svg", "em", "article", "caption", "a", "summary", "label", "button", "h3"}
)
"""Elements of others' text, of pictures and of controls."""


@dataclass(frozen=True)
class Word:
    """A word and its explanation.

    Args:
        key: Its name in the page's addresses.
        forms: A regular expression of its forms.
        name: The word.
        meaning: One plain sentence.
    """

    key: str
    forms: str
    name: str
    meaning: str


WORDS = (
    Word(
        "token",
        r"\btokens?\b",
        "Token",
        "A piece of text that a model reads or writes at once: a word, a part of one, or a mark.",
    ),
    Word(
        "held-out",
        r"\bheld[ -]out\b",
        "Held out",
        "Text that was set apart and never trained on, so that it tells how well the model does on "
        "text that it has not seen.",
    ),
    Word(
        "perplexity",
        r"\bperplexit(?:y|ies)\b",
        "Perplexity",
        "As many equally likely tokens the model seems to choose among at each place: the lower, "
        "the better it predicts the text, and 1 would be certainty.",
    ),
    Word(
        "nats",
        r"\bnats\b",
        "Nats",
        "The model's surprise at a token: 0 if it was certain of it, 0.7 if it gave it one chance "
        "in two, 2.3 for one in ten.",
    ),
    Word(
        "bits-per-byte",
        r"\bbits per byte\b",
        "Bits per byte",
        "The same surprise for each byte of text (most letters are one byte), which models with "
        "different tokens can be compared by; less is better.",
    ),
    Word(
        "interval",
        r"\b95% intervals?\b|\bintervals are of 95%",
        "95% interval",
        "The range in which the figure would lie 95 times in a hundred with other text of the same "
        "kind; if that of a change holds 0, chance could explain it.",
    ),
    Word(
        "chance",
        r"\bchance\b",
        "Chance",
        "Other documents held out of the same text would have given another figure; a difference "
        "as small as that tells nothing.",
    ),
    Word(
        "step",
        r"\bsteps?\b",
        "Step",
        "One small change of the model, after it has read a few pieces of the text.",
    ),
    Word(
        "epoch",
        r"\bepochs?\b",
        "Epoch",
        "One reading of all the text that is trained on.",
    ),
    Word(
        "loss",
        r"\bloss\b",
        "Loss",
        "The mean surprise, in nats, that training makes smaller.",
    ),
    Word(
        "learning-rate",
        r"\blearning rate\b",
        "Learning rate",
        "How far each step changes the model.",
    ),
    Word(
        "gradient",
        r"\bgradients?\b",
        "Gradient",
        "The direction in which the model has to change to predict the text better; its norm is "
        "how steep that is.",
    ),
    Word(
        "validation",
        r"\bvalidation\b",
        "Validation",
        "Text set apart to choose the best step by, beside the text that is held out.",
    ),
    Word(
        "leaks",
        r"\bleaks?\b",
        "Leaks",
        "Held-out text that also stands in the text that was trained on, so that the model may "
        "know it by heart.",
    ),
    Word(
        "masked",
        r"\bmasked\b",
        "Masked",
        "Hidden from the model, which has to fill it in.",
    ),
    Word(
        "padding",
        r"\bpadding\b",
        "Padding",
        "Filling at the end of rows that are not full, of which nothing is learnt.",
    ),
)
"""The words, in the order of the list."""


class Glossary:
    """The words that a page has used so far."""

    def __init__(self) -> None:
        self._used: set[str] = set()

    def linked(self, content: Html) -> Html:
        """Return content in which the first use of each word leads to its explanation.

        Example:
            >>> linked = Glossary().linked(Html("<p>nats, <code>nats</code>, nats</p>"))
            >>> linked.partition(" title")[0]
            '<p><a class="word" href="#word-nats"'
            >>> linked.partition("</a>")[2]
            ', <code>nats</code>, nats</p>'
        """
        parts = _TAG.split(content)
        passed_over: list[str] = []
        for at, part in enumerate(parts):
            if at % 2:
                name = part.strip("</>").split()[0]
                if passed_over and part.startswith("</"):
                    if name == passed_over[-1]:
                        passed_over.pop()
                elif name in _PASSED_OVER and not part.endswith("/>"):
                    passed_over.append(name)
            elif part and not passed_over:
                parts[at] = self._with_links(part)
        return Html("".join(parts))

    def _with_links(self, text: str) -> str:
        """Link the first uses in a piece of text without tags."""
        found: list[tuple[int, int, Word]] = []
        for word in WORDS:
            match = None if word.key in self._used else re.search(word.forms, text, re.IGNORECASE)
            if match and not any(
                start < match.end() and match.start() < end for start, end, _ in found
            ):
                self._used.add(word.key)
                found.append((match.start(), match.end(), word))
        for start, end, word in sorted(found, reverse=True, key=lambda one: one[0]):
            link = element(
                "a",
                Html(text[start:end]),
                class_="word",
                href=f"#word-{word.key}",
                title=word.meaning,
            )
            text = text[:start] + link + text[end:]
        return text

    def section(self) -> Html:
        """Return the explanations of the words that were used."""
        used = [word for word in WORDS if word.key in self._used]
        listed = [
            element(
                "div",
                element("dt", element("dfn", word.name)),
                element("dd", word.meaning),
                id=f"word-{word.key}",
            )
            for word in used
        ]
        return element("section", element("h2", "Words"), element("dl", *listed, class_="words"))
