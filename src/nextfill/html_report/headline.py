"""The head of the report: how much better the model got, in plain words and figures, and tiles."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from nextfill.config.prefixes import LIVE
from nextfill.evaluation.bootstrap import Interval
from nextfill.evaluation.metrics import Measure, exp_or_inf, nats_per, number
from nextfill.evaluation.plain_words import Count
from nextfill.html_report.figures_table import (
    NAMES,
    UNKNOWN,
    change,
    counted,
    decimals,
    duration,
    figure,
)
from nextfill.rendering.html import Html, element
from nextfill.runs.directory import RunDirectory
from nextfill.runs.evaluated_sets import EvaluatedSet
from nextfill.runs.former_runs import former_run_lines
from nextfill.runs.reader import RunFacts

SUBJECT = "\0"
"""The place of the model's name in a sentence, whatever the name is."""

TILES = ("perplexity", "nats_per_token", "bits_per_byte")


def headline(facts: RunFacts) -> list[Html]:
    """Return the first sentence, the facts below it, and the tiles of the main figures."""
    words, sentence = _words(facts), _sentence(facts)
    return [
        element("p", "Nextfill report", element("code", str(facts.path)), class_="run"),
        element("h1", *(words or sentence)),
        *([element("p", *sentence, class_="facts")] if words else []),
        element("p", *_facts(facts), class_="facts"),
        *_tiles(facts),
    ]


def banner(facts: RunFacts) -> list[Html]:
    """Return the warnings: an unfinished run, known documents, and files that cannot be read."""
    parts = [] if facts.finished else [_unfinished(facts)]
    parts += [element("p", text) for text in former_run_lines(facts.measured)]
    parts += [element("p", text) for text in facts.missing]
    return [element("div", *parts, class_="banner", role="note")] if parts else []


def _unfinished(facts: RunFacts) -> Html:
    again = f"nextfill train --out {shlex.quote(str(facts.path))} --resume"
    if _setting(facts.config, "model", "name").startswith(LIVE):
        live = "model=model, tokenizer=tokenizer"
        again = f"nextfill.train(out={str(facts.path)!r}, {live}, resume=True)"
    planned, has_model = facts.num_steps, RunDirectory(facts.path).model.is_dir()
    return element(
        "p",
        element("strong", "This run is not finished: "),
        figure("steps/taken", facts.last_step),
        *([" of ", figure("steps/planned", planned)] if planned is not None else []),
        " steps are taken and ",
        "the model that is saved is of an earlier stage" if has_model else "no model is saved",
        ". Unless it is running now, go on with ",
        element("code", again),
    )


def _words(facts: RunFacts) -> list[object]:
    """Return the plain words on the held-out part; none of a run that has not kept them."""
    one = _main_set(facts)
    if one is None:
        return []
    name = _short(_setting(facts.config, "model", "name"))
    parts: list[object] = [] if facts.finished or one.after is None else ["So far: "]
    for part in one.words(SUBJECT):
        if isinstance(part, Count):
            place = "right" if part.name == "of" else f"{part.name}/right"
            parts.append(figure(f"{one.name}/{place}", part.value, part.text))
            continue
        before, found, after = part.partition(SUBJECT)
        parts += [before, element("em", name), after] if found else [part]
    return parts if one.words() else []


def _sentence(facts: RunFacts) -> list[object]:
    names = (_setting(facts.config, "model", "name"), _setting(facts.config, "data", "source"))
    model, data = (element("em", _short(name)) for name in names)
    done = [counted("steps/taken", facts.last_step, "steps"), " on ", data]
    one = _main_set(facts)
    measure = one.measures[0] if one and one.measures else None
    if one is None or measure is None or measure.key != "perplexity":
        return [model, ", ", *done, ": not evaluated yet."]
    before = _perplexity(one, "before", measure.before)
    if measure.after is None or measure.change is None:
        return [model, ", ", *done, f": {one.name} perplexity ", before, " to begin with."]
    after = _perplexity(one, "after", measure.after)
    so_far = "" if facts.finished or one.words() else "So far, "
    lead = [so_far, *done, " took the ", element("span", one.name), " perplexity of ", model]
    return [*lead, " from ", before, " to ", after, *_verdict(one, measure.change)]


def _verdict(one: EvaluatedSet, change: Interval) -> list[object]:
    size = abs(change.value)
    percent = figure(f"{one.name}/change/perplexity", change.value, f"{decimals(size, 1)}%")
    if change.value == 0:
        return [": no difference."]
    if change.has_ends and change.low <= 0 <= change.high:
        return [": no difference that chance could not explain."]
    better = change.value < 0
    return [": ", percent, " lower." if better else " higher. It got worse."]


def _perplexity(one: EvaluatedSet, when: str, interval: Interval) -> Html:
    return figure(f"{one.name}/{when}/perplexity", interval.value, decimals(interval.value, 2))


def _facts(facts: RunFacts) -> list[object]:
    """Return the number of tokens, the time, the speed, the device and the precision."""
    listed: list[object] = []
    if facts.last_step:
        targets = int(np.nansum(facts.steps["targets"]))
        masked = "masked " if facts.config.get("objective") == "masked" else ""
        listed += ["Learned from ", figure("targets", targets), f" {masked}tokens"]
        if "context_tokens" in facts.ledger:
            field = facts.ledger.get("context_field") or "their context"
            listed += [f" that come after {field}, as do all that are scored,"]
    if facts.total_s > 0:
        shown = figure("seconds", facts.total_s, duration(facts.total_s))
        speed = facts.total_tokens / facts.total_s
        rate = figure("tokens_per_second", speed, decimals(speed, 0))
        listed += [" in ", shown, " of training steps, ", rate, " tokens per second"]
    if facts.mfu is not None:
        used = figure("mfu", facts.mfu, f"{facts.mfu:.0%}")
        listed += [" (", used, " of the most that the GPU computes, MFU)"]
    for word, key in (("on", "device"), ("in", "precision")):
        if key in facts.measured:
            listed += [f" {word} ", figure(f"measured/{key}", facts.measured[key])]
    if listed:
        listed.append(". ")
    return [*listed, *_teacher(facts), *_end(facts), *_lowest(facts)]


def _teacher(facts: RunFacts) -> list[object]:
    """Return a sentence on the teacher of a distillation, and its figure once it is evaluated."""
    settings = facts.config.get("distillation")
    if not isinstance(settings, Mapping) or "teacher" not in settings:
        return []
    weight = number(settings.get("weight"))
    share = figure("distillation/weight", weight, f"{decimals(100 * weight, 0)}%")
    of_loss = [" (", share, " of the loss)"]
    parts = ["Distilled from ", element("em", _short(str(settings["teacher"]))), *of_loss]
    if not facts.teacher:
        return [*parts, ". "]
    value = exp_or_inf(nats_per(facts.teacher, "targets"))
    shown = figure("held-out/teacher/perplexity", value, decimals(value, 2))
    return [*parts, ", whose held-out perplexity is ", shown, ". "]


def _end(facts: RunFacts) -> list[object]:
    """Return sentences on further stages, an early stop, and kept weights that are not the last."""
    parts: list[object] = [f"{stage.sentence()} " for stage in facts.stages]
    if facts.end.get("reason") == "early stopping":
        parts.append("It was stopped early, for want of a better validation. ")
    if facts.end.get("kept") not in (None, facts.last_step):
        kept = figure("steps/kept", facts.end["kept"])
        parts += ["The weights of step ", kept, " are kept, which had the best validation. "]
    return parts


def _lowest(facts: RunFacts) -> list[object]:
    """Return a sentence on the lowest perplexity, if it was not the kept weights'."""
    one = _main_set(facts)
    if one is None or len(one.events) < 2:
        return []
    lowest = min(one.events, key=lambda event: nats_per(event, "targets"))
    if lowest is one.after:
        return []
    value = exp_or_inf(nats_per(lowest, "targets"))
    shown = figure(f"{one.name}/lowest/perplexity", value, decimals(value, 2))
    step = figure(f"{one.name}/lowest/step", lowest["step"])
    return [f"The {one.name} perplexity was lowest, ", shown, ", at step ", step, "."]


def _tiles(facts: RunFacts) -> list[Html]:
    tiles = [
        _tile(one.name, measure)
        for one in facts.sets[:1]
        for measure in one.measures
        if measure.key in TILES and measure.after is not None
    ]
    return [element("div", *tiles, class_="tiles")] if tiles else []


def _tile(name: str, measure: Measure) -> Html:
    places = 2 if measure.key == "perplexity" else 3

    def value(when: str, interval: Interval | None) -> Html:
        number = interval.value if interval else math.nan
        return figure(f"{name}/{when}/{measure.key}", number, decimals(number, places))

    arrow = element("span", " \N{RIGHTWARDS ARROW} ", class_="arrow")
    pair = [value("before", measure.before), arrow, element("b", value("after", measure.after))]
    return element(
        "div",
        element("h2", NAMES[measure.key]),
        element("p", *pair, class_="pair"),
        element("p", change(name, measure), class_="change"),
    )


def _main_set(facts: RunFacts) -> EvaluatedSet | None:
    return facts.sets[0] if facts.sets else None


def _short(name: str) -> str:
    """Return the name of a model or of data without prefix and folder."""
    return Path(name.rpartition(":")[2]).name or name


def _setting(config: Mapping[str, Any], section: str, key: str) -> str:
    inner = config.get(section)
    return str(inner.get(key, UNKNOWN)) if isinstance(inner, Mapping) else UNKNOWN
