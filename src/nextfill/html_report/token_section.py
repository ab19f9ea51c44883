"""Texts coloured by what each token cost a model, and by how that changed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise

from nextfill.evaluation.read_text import ReadText, ReadToken, drawn_tokens
from nextfill.html_report.figures_table import counted, decimals, figure, signed
from nextfill.rendering.html import Html, element, join
from nextfill.rendering.result_cards import CHANGE_LEVELS, COST_LEVELS, level

BEFORE_AND_AFTER = ("before", "after")
"""What the two models are called in a run's report."""


def coloured_texts(
    texts: Sequence[ReadText], models: tuple[str, str] = BEFORE_AND_AFTER, name: str = "tokens"
) -> Html:
    """Return texts in colour, with a choice of what the colours mean.

    Args:
        texts: The texts; where another model's nats are known, the change is shown first.
        models: What the other model is called, and the one that read the texts.
        name: Begins the names of the figures.
    """
    if not texts:
        return Html("")
    compared = any(text.other_nats is not None for text in texts)
    parts = [_views(name, models)] if compared else []
    parts += [_cost_key(), _change_key()] if compared else [_cost_key()]
    parts += [_article(text, models[0], f"{name}/{at}") for at, text in enumerate(texts)]
    view = "change" if compared else "after"
    return element("div", *parts, class_="tokens", data_view=view, data_other=models[0])


def _views(name: str, models: tuple[str, str]) -> Html:
    other, own = models
    views = {"change": f"the change from {other} to {own}", "after": own, "before": other}
    labels = [
        element(
            "label",
            element(
                "input",
                type="radio",
                name=name,
                value=value,
                checked="checked" if value == "change" else None,
            ),
            label,
        )
        for value, label in views.items()
    ]
    legend = element("legend", "Each token is coloured by")
    return element("fieldset", legend, *labels, class_="views")


def _cost_key() -> Html:
    ends = ["0", *(f"{level:g}" for level in COST_LEVELS)]
    names = [f"{low} to {high}" for low, high in pairwise(ends)] + [f"{ends[-1]} and more"]
    swatches = [element("span", name, class_=f"c{at}") for at, name in enumerate(names)]
    return element("small", "Nats: ", *swatches, class_="key cost")


def _change_key() -> Html:
    small, middle, large = (f"{level:g}" for level in CHANGE_LEVELS)
    labels = [
        ("g3", f"{large} or more less"),
        ("g2", f"{middle} less"),
        ("g1", f"{small} less"),
        ("g0", "as before"),
        ("w1", f"{small} more"),
        ("w2", f"{middle} more"),
        ("w3", f"{large} or more more"),
    ]
    swatches = [element("span", label, class_=name) for name, label in labels]
    return element("small", "Nats: ", *swatches, class_="key change")


def _article(text: ReadText, other: str, name: str) -> Html:
    mean = figure(f"{name}/nats", text.mean, decimals(text.mean))
    told: list[object] = [mean, " nats per token"]
    if text.change is not None:
        change = figure(f"{name}/change", text.change, signed(text.change))
        told += [", ", change, f" from {other}"]
    record = figure(f"{name}/record", text.record)
    heading = element(
        "h3", text.why.capitalize() or "Text", element("small", "record ", record, "; ", *told)
    )
    spans = [_token(token, count) for token, count in drawn_tokens(text.tokens)]
    about = "A text, token by token: the arrow keys go through it"
    shown = element("p", *spans, class_="text", dir="auto", role="group", aria_label=about)
    parts = [heading, shown]
    if text.left_out:
        note = [counted(f"{name}/left_out", text.left_out, "tokens"), " more are not shown."]
        parts.append(element("p", *note, class_="nf-note"))
    return element("article", *parts)


def _token(token: ReadToken, count: int) -> Html:
    if token.nats is None:
        return join([token.text])
    names = [f"a{level(token.nats, COST_LEVELS)}"]
    before = None
    if token.other_nats is not None and token.change is not None:
        before = f"{token.other_nats:.4f}"
        names.append(f"b{level(token.other_nats, COST_LEVELS)}")
        way = "g" if token.change < 0 else "w"
        names.append(f"{way}{level(abs(token.change), CHANGE_LEVELS)}")
    if token.text.startswith("\n"):
        names.append("line")
    others = [[text, round(probability, 4)] for text, probability in token.alternatives]
    return element(
        "span",
        token.text,
        class_=" ".join(names),
        data_n=f"{token.nats:.4f}",
        data_b=before,
        data_k=count if count > 1 else None,
        data_l=json.dumps(others, ensure_ascii=False) if others else None,
    )
