"""The report's samples: the same prompt continued again and again while the model learned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nextfill.display import sample_parts
from nextfill.markup import Html, element, join
from nextfill.reporting.figures import counted, figure

MOST_SAMPLES = 24
"""Samples shown, evenly spaced, the first and the last among them."""

MOST_CHARACTERS = 4000
"""Characters shown of each text."""


def samples_section(samples: Sequence[Mapping[str, Any]]) -> Html:
    """Return the first and the last sample side by side, and those between below."""
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
        counts = figure("samples/shown", len(places)), figure("samples/all", len(samples))
        note = ["Shown are ", counts[0], " of ", counts[1], " samples; events.jsonl has all."]
        parts.append(element("p", *note, class_="nf-note"))
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
        note = [figure("samples/hidden", hidden), " more characters are in events.jsonl."]
        parts.append(element("p", *note, class_="nf-note"))
    return element("article", *parts)
