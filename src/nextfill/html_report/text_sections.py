"""The texts of a page: samples, and documents with every token coloured by its nats."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from nextfill.evaluation.token_view import ScoredText, ScoredToken, drawn_tokens
from nextfill.html_report.figures_table import counted, decimals, figure, note, signed
from nextfill.rendering.html import Html, element, join
from nextfill.rendering.result_cards import CHANGE_LEVELS, COST_LEVELS, level, sample_parts

MOST_SAMPLES = 24
"""Samples shown, evenly spaced, the first and the last among them."""

MOST_CHARACTERS = 4000
"""Characters shown of each text."""

BEFORE_AND_AFTER = ("before", "after")
"""Names in a run's report of the other model, and of the one that read the texts."""


def samples_section(samples: Sequence[Mapping[str, Any]]) -> Html:
    """Return the first and the last sample side by side, and those between below them."""
    if not samples:
        return Html("")
    places = _spaced(len(samples))
    ends = [_sample(samples[at]) for at in dict.fromkeys((places[0], places[-1]))]
    parts = [element("div", *ends, class_="samples")]
    if between := places[1:-1]:
        summary = element(
            "summary", counted("samples/between", len(between), "samples"), " between"
        )
        shown = element("div", *(_sample(samples[at]) for at in between), class_="samples")
        parts.append(element("details", summary, shown))
    if len(places) < len(samples):
        counts = figure("samples/shown", len(places)), " of ", figure("samples/all", len(samples))
        parts.append(note("Shown are ", *counts, " samples; events.jsonl has all."))
    return join(parts)


def _spaced(count: int) -> list[int]:
    if count <= MOST_SAMPLES:
        return list(range(count))
    return [at * (count - 1) // (MOST_SAMPLES - 1) for at in range(MOST_SAMPLES)]


def _sample(event: Mapping[str, Any]) -> Html:
    prompt, continuation = sample_parts(*(str(event.get(key, "")) for key in ("prompt", "text")))
    shown = [element("mark", prompt[:MOST_CHARACTERS]), continuation[:MOST_CHARACTERS]]
    heading = element("h3", "Step ", figure("samples/step", event["step"]))
    parts = [heading, element("p", *shown, class_="text", dir="auto")]
    hidden = sum(max(0, len(part) - MOST_CHARACTERS) for part in (prompt, continuation))
    if hidden:
        count = figure("samples/hidden", hidden)
        parts.append(note(count, " more characters are in events.jsonl."))
    return element("article", *parts)


def coloured_texts(texts: Sequence[ScoredText], models: tuple[str, str] = BEFORE_AND_AFTER) -> Html:
    """Return texts coloured by nats and, where the other model read them too, by their change."""
    if not texts:
        return Html("")
    compared = any(text.other_nats is not None for text in texts)
    parts = [_views(models)] if compared else []
    parts += [_cost_key(), _change_key()] if compared else [_cost_key()]
    parts += [_article(text, models[0], f"tokens/{at}") for at, text in enumerate(texts)]
    view = "change" if compared else "after"
    return element("div", *parts, class_="tokens", data_view=view, data_other=models[0])


def _views(models: tuple[str, str]) -> Html:
    other, own = models
    views = {"change": f"the change from {other} to {own}", "after": own, "before": other}
    labels = []
    for value, label in views.items():
        checked = "checked" if value == "change" else None
        button = element("input", type="radio", name="tokens", value=value, checked=checked)
        labels.append(element("label", button, label))
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


def _article(text: ScoredText, other: str, name: str) -> Html:
    mean = figure(f"{name}/nats", text.mean, decimals(text.mean))
    facts: list[object] = [mean, " nats per token"]
    if text.change is not None:
        change = figure(f"{name}/change", text.change, signed(text.change))
        facts += [", ", change, f" from {other}"]
    place = [text.name] if text.name else ["record ", figure(f"{name}/record", text.record)]
    heading = element("h3", text.why.capitalize() or "Text", element("small", *place, "; ", *facts))
    spans = [_token(token, count) for token, count in drawn_tokens(text.tokens)]
    about = "A text, token by token: the arrow keys go through it"
    shown = element("p", *spans, class_="text", dir="auto", role="group", aria_label=about)
    parts = [heading, shown]
    if text.left_out:
        count = counted(f"{name}/left_out", text.left_out, "tokens")
        parts.append(note(count, " more are not shown."))
    return element("article", *parts)


def _token(token: ScoredToken, count: int) -> Html:
    if token.nats is None:
        return join([token.text])
    classes = [f"a{level(token.nats, COST_LEVELS)}"]
    before = None
    if token.other_nats is not None and token.change is not None:
        before = f"{token.other_nats:.4f}"
        classes.append(f"b{level(token.other_nats, COST_LEVELS)}")
        way = "g" if token.change < 0 else "w"
        classes.append(f"{way}{level(abs(token.change), CHANGE_LEVELS)}")
    if token.text.startswith("\n"):
        classes.append("line")
    others = [[text, round(probability, 4)] for text, probability in token.alternatives]
    return element(
        "span",
        token.text,
        class_=" ".join(classes),
        data_n=f"{token.nats:.4f}",
        data_b=before,
        data_k=count if count > 1 else None,
        data_l=json.dumps(others, ensure_ascii=False) if others else None,
    )
