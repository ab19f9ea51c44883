"""The card of a model, ``README.md``: usage, figures, sample, data, settings and limits.

It is made from the run's own files and holds no time and no path, so that it is always the same.
All text from data, models and settings is escaped.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from nextfill.config.prefixes import BUILTIN, SCRATCH
from nextfill.core.amounts import amount, part_of, verb
from nextfill.core.checksums import record_files
from nextfill.core.errors import RunError
from nextfill.evaluation.metrics import exp_or_inf, nats_per
from nextfill.evaluation.plain_words import plain_text
from nextfill.html_report.ledger_section import leaves
from nextfill.hub.card_evaluations import evaluation_tables, num_held_out_ends
from nextfill.hub.card_metadata import (
    base_of_card,
    card_metadata,
    data_tables,
    hub_data,
    hub_model,
    objective_of,
    public_name,
    public_settings,
    public_source_name,
)
from nextfill.hub.quantized_usage import quantized_usage
from nextfill.models.folder.location import ADAPTER_CONFIG
from nextfill.rendering.markdown import escaped, fenced, table
from nextfill.rendering.result_cards import figure_text
from nextfill.runs.directory import RunDirectory, write_text
from nextfill.runs.reader import RunFacts, read_run

CARD = "README.md"
CARD_OF_RUN = f"model/{CARD}"
_DOES = {"causal": "continues text", "masked": "fills blanks in text"}

MOST_CHARACTERS = 2000
"""Characters of a sample in the card."""

PLACE = "USER/NAME"
"""The name of the model's repository or folder in a card until it is known."""

_PLACES = (
    re.compile(rf'^((?:generate|fill) = pipeline\(.*, model="){PLACE}(?="\)$)', re.MULTILINE),
    re.compile(rf'^(model = PeftModel\.from_pretrained\(base, "){PLACE}(?="\)$)', re.MULTILINE),
    re.compile(rf"(```sh\nnextfill (?:generate|fill) ){PLACE}(?= )"),
)

_PYTHON = {
    "causal": [
        f'generate = pipeline("text-generation", model="{PLACE}")',
        # Its default of 256 tokens is more than a model of a short context takes.
        'print(generate("Once upon a time", max_new_tokens=40)[0]["generated_text"])',
    ],
    "masked": [
        f'fill = pipeline("fill-mask", model="{PLACE}")',
        'print(fill(f"Once upon a {fill.tokenizer.mask_token}")[0]["sequence"])',
    ],
}
_SHELL = {
    "causal": f'nextfill generate {PLACE} "Once upon a time"',
    "masked": f'nextfill fill {PLACE} "Once upon a ___"',
}


def write_card(run: str | Path) -> Path:
    """Write the card beside the weights of a finished run, and record its checksum."""
    path = RunDirectory(Path(run)).model / CARD
    is_adapter = (path.parent / ADAPTER_CONFIG).is_file()
    write_text(path, make_card(read_run(run), is_adapter=is_adapter))
    record_files(Path(run), [CARD_OF_RUN])
    return path


def write_card_or_note(run: str | Path, note: Callable[[str], None]) -> None:
    """Write the card, and note a failure, which must not cost the run."""
    try:
        write_card(run)
    except (RunError, OSError) as error:
        note(f"The run is saved, its model's card is not: {error} Sharing the run makes it anew.")


def make_card(facts: RunFacts, *, is_adapter: bool) -> str:
    """Return the card of a run's model."""
    parts = [
        f"# {escaped(facts.path.absolute().name)}",
        _opening(facts, is_adapter),
        "## How to use it",
        _usage(facts, is_adapter),
        "## How much better it got",
        *evaluation_tables(facts),
        *_sample(facts),
        "## What it was trained on",
        _data(facts),
        *_ledger(facts),
        "## How it was trained",
        *_settings(facts),
        "## Limits",
        _limits(facts),
    ]
    front = card_metadata(facts, is_adapter=is_adapter).to_yaml()
    return f"---\n{front}\n---\n\n" + "\n\n".join(part for part in parts if part) + "\n"


def plain_card() -> str:
    """Return the card of a model folder without a run."""
    front = "library_name: transformers\ntags:\n- nextfill"
    return f"---\n{front}\n---\n\nA model made with Nextfill. Nothing is known of its training.\n"


def _opening(facts: RunFacts, is_adapter: bool) -> str:
    base = base_of_card(facts)
    config = facts.config.get("model")
    name = str(config.get("name", "")) if isinstance(config, Mapping) else ""
    model = f"A {objective_of(facts)} language model"
    kind = "An adapter (LoRA) for" if is_adapter else f"{model}, fine-tuned from"
    if name.startswith(SCRATCH):
        kind = f"{model}, trained from random weights, of the type"
        origin = escaped(name.removeprefix(SCRATCH))
    elif base is not None:
        origin = f"[{escaped(base)}](https://huggingface.co/{base})"
    else:
        origin = f"{escaped(public_name(name))} (which is not on the Hub)"
    sources = " and ".join(map(_source, data_tables(facts.config))) or "unknown text"
    first = f"{kind} {origin}, with Nextfill, on {sources}."
    return " ".join([first, *_teacher(facts), *_headline(facts)])


def _teacher(facts: RunFacts) -> list[str]:
    """Return sentences on the teacher of a distillation, in a list, or none."""
    settings = facts.config.get("distillation")
    if not isinstance(settings, Mapping) or "teacher" not in settings:
        return []
    name, layers = str(settings["teacher"]), settings.get("student_layers")
    repo = hub_model(name)
    link = (
        f"[{escaped(repo)}](https://huggingface.co/{repo})" if repo else escaped(public_name(name))
    )
    began = (
        f"It began with {escaped(str(layers))} of the layers of that model. "
        if layers is not None
        else ""
    )
    share = f"weight {settings.get('weight')}, temperature {settings.get('temperature')}"
    how = f"{began}It was distilled from {link} ({escaped(share)})"
    if not facts.teacher:
        return [f"{how}."]
    perplexity = figure_text(exp_or_inf(nats_per(facts.teacher, "targets")))
    return [f"{how}, whose perplexity on the held-out documents is {perplexity}."]


def _headline(facts: RunFacts) -> list[str]:
    measure = next((m for one in facts.sets[:1] for m in one.measures[:1]), None)
    if measure is None or measure.after is None:
        return []
    before, after = figure_text(measure.before.value), figure_text(measure.after.value)
    text = "the held-out ends of documents" if num_held_out_ends(facts) else "held-out documents"
    figures = f"Its perplexity on {text} went from {before} to {after}."
    return [*filter(None, [escaped(plain_text(facts.sets[0].words(text="such text")))]), figures]


def _source(data: Mapping[str, Any]) -> str:
    source = str(data.get("source"))
    if repo := hub_data(source):
        return f"[{escaped(source)}](https://huggingface.co/datasets/{repo})"
    return escaped(public_source_name(source))


def _usage(facts: RunFacts, is_adapter: bool) -> str:
    objective = objective_of(facts)
    command = fenced(_SHELL[objective], "sh")
    if is_adapter and base_of_card(facts) is None:
        return f"The model it is for is not on the Hub, so that it needs Nextfill:\n\n{command}"
    lines = ["from transformers import pipeline", *_PYTHON[objective]]
    needs = "An adapter needs `pip install peft` beside transformers.\n\n" if is_adapter else ""
    in_4_bits = quantized_usage(facts, PLACE) if is_adapter else []
    return "\n\n".join([f"{needs}{fenced(chr(10).join(lines), 'python')}", *in_4_bits, command])


def with_place(card: str, name: str) -> str:
    """Return a card with a repository or a folder in the lines of its usage."""
    for place in _PLACES:  # the first of each, as any later one is text of the model
        card = place.sub(lambda match: match[1] + name, card, count=1)
    return card


def _sample(facts: RunFacts) -> list[str]:
    if not facts.samples:
        return []
    saved_step = facts.end.get("kept")
    samples = [one for one in facts.samples if one.get("step") == saved_step] or facts.samples
    prompt, text = (str(samples[-1].get(key, "")) for key in ("prompt", "text"))
    more = "" if len(text) <= MOST_CHARACTERS else " (its beginning)"
    intro = f"Continued from {escaped(prompt[:200])}{more}:"
    if objective_of(facts) == "masked":
        intro = f"What it fills into blanks of held-out text, in brackets{more}:"
    return ["## A sample", intro, fenced(text[:MOST_CHARACTERS])]


def _data(facts: RunFacts) -> str:
    lines = []
    for data in data_tables(facts.config):
        lines.append(f"- data: {_source(data)}")
        for key, what in (
            ("split", "slice"),
            ("text_field", "field"),
            ("context_field", "context before it, of which nothing was learnt"),
            ("eval_source", "evaluation data"),
            ("eval_split", "slice of the evaluation data"),
        ):
            if value := data.get(key):
                lines.append(f"- {what}: {escaped(public_name(str(value)))}")
        lines.append(f"- held out: {_held_out(data, facts)}")
    return "\n".join(lines)


def _held_out(data: Mapping[str, Any], facts: RunFacts) -> str:
    if data.get("eval_source") or data.get("eval_split"):
        return "the evaluation data; training documents with the same text were dropped"
    several = len(data_tables(facts.config)) > 1
    ends = num_held_out_ends(facts)
    if ends and not several:
        parts = f"{verb(ends, 'the end', 'the ends')} of {amount(ends, 'document')}"
        return f"{parts}, cut off at a paragraph; what stands before is trained on"
    size = data.get("test_size")
    is_builtin = str(data.get("source", "")).startswith(BUILTIN)
    held, files = (facts.ledger.get(key) for key in ("held_out_documents", "files"))
    is_of_files = not several and bool(held) and files == facts.ledger.get("documents")
    if is_of_files and isinstance(held, int) and isinstance(files, int) and not is_builtin:
        chosen = f"{part_of(held, files, 'file')}, chosen at random"
        return f"{chosen}; files with the same text stay on one side"
    if size is not None:
        share = f"{size:.0%} of the records" if size < 1 else amount(int(size), "record")
        return f"{share}, chosen at random; identical texts stay on one side"
    if is_builtin:
        return "whole modules, near duplicates of which are removed from the training part"
    either = (
        ", or the ends of a few large documents" if several and num_held_out_ends(facts) else ""
    )
    return f"a tenth of the records, chosen at random{either}; identical texts stay on one side"


def _ledger(facts: RunFacts) -> list[str]:
    if not facts.ledger:
        return []
    rows = [
        [escaped(path.replace("_", " ")), f"{v:,}" if isinstance(v, int) else escaped(v)]
        for path, v in leaves(public_settings(facts.ledger), ": ")
        if isinstance(v, int | str)
    ]
    intro = "Where every record and token goes in one epoch:"
    return [intro, table(["what", "how many"], rows)]


def _settings(facts: RunFacts) -> list[str]:
    import tomli_w

    versions = facts.measured.get("versions")
    version = versions.get("nextfill", "") if isinstance(versions, Mapping) else ""
    intro = (
        f"With Nextfill {escaped(version)}; these settings repeat it "
        "(`nextfill train config.toml`), local files given:"
    )
    return [intro, fenced(tomli_w.dumps(public_settings(facts.config)), "toml")]


def _limits(facts: RunFacts) -> str:
    parameters = facts.measured.get("parameters")
    size = f"It has {parameters:,} parameters. " if isinstance(parameters, int) else ""
    targets = int(np.nansum(facts.steps["targets"])) if facts.last_step else 0
    learnt = f" in {facts.steps_text} over {amount(targets, 'token')}" if facts.last_step else ""
    return (
        f"{size}It was adapted to the text named above{learnt}; the figures are over documents "
        "of that text, or of the sets named, and say nothing of any other. It "
        f"{_DOES[objective_of(facts)]}: it is no assistant, knows nothing after its "
        "data, may state what is false, and may repeat passages of what it was trained on, as "
        "well as what its base model brought with it."
    )
