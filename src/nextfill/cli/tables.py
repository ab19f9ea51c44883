"""Results as a person reads them at a terminal."""

from __future__ import annotations

import re
import time
import tomllib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from rich.console import JustifyMethod
from rich.table import Table
from rich.text import Text

from nextfill.cli.console import console, say, show_scored_texts
from nextfill.core.amounts import amount
from nextfill.core.shell_command import shell_command
from nextfill.core.streams import printable
from nextfill.rendering.result_cards import age_text, figure_text, size_text

if TYPE_CHECKING:
    from nextfill.api.cache import CacheListing, Pruning
    from nextfill.api.look_result import Look
    from nextfill.config.recipe_file import Recipe
    from nextfill.evaluation.comparison import Comparison
    from nextfill.evaluation.figures import Evaluation
    from nextfill.hub.account import Login
    from nextfill.hub.upload import Shared
    from nextfill.runs.preparation_result import PrepareResult
    from nextfill.runs.results import TrainResult
    from nextfill.tokenizers.inspection_result import TokenizerInspection
    from nextfill.tokenizers.train import TokenizerResult

_LLAMA = "scratch:llama"
_SHAPE = {
    "hidden_size": 192,
    "intermediate_size": 512,
    "num_hidden_layers": 5,
    "num_attention_heads": 6,
}
"""Of a new model that a laptop trains in minutes; what a type has by default may be seven billion
parameters."""

_LONG, _MOST_TYPED = 200, 4_000
"""Characters of a prompt that is long for a short model, and of one in a command at most."""


def show_sent_points(sent: Mapping[str, Mapping[str, int | str]]) -> None:
    """Print a line on each tracker."""
    from nextfill.tracking.run_delivery import lines_of

    for line in lines_of(sent):
        say(line)


def show_training(result: TrainResult) -> None:
    """Print the figures before and after, the last sample, and the files of the run."""
    from nextfill.runs.results import new_word_lines, steps_text, teacher_lines

    say("\n".join([*result.held_out.lines, ""]))
    if result.after.documents == 1:
        say(f"{_one_document(result)}\n")
    console().print(_before_and_after("Held-out documents", result.before, result.after))
    after, masked = result.after, result.objective == "masked"
    low, high = after.interval
    interval = f"; 95% interval of the perplexity after: {figure_text(low)} to {figure_text(high)}"
    say(
        f"over {amount(after.targets, 'masked token' if masked else 'token')} "
        f"({amount(after.words, 'word')}, {amount(after.bytes, 'byte')}) of "
        f"{amount(after.documents, 'document')}"
        f"{interval if after.documents > 1 else ''}"
    )
    for line in teacher_lines(result):
        say(line)
    for name, one in result.sets.items():
        say("\n".join([f"\n{name}: {one.lines[0]}", *one.lines[1:], ""]))
        console().print(_before_and_after(f"Evaluation set {name}", one.before, one.after))
    line = "A text with ___ in it." if masked else "A text"
    if result.samples:
        sample = result.samples[-1]
        origin = "its blanks filled in" if masked else f"from {sample['prompt']!r}"
        say(f"\nSample, {origin}:\n  " + sample["text"].replace("\n", "\n  "))
        line = _first_with_blank(sample["prompt"]) if masked else _typed_prompt(sample["prompt"])
    verb = "fill" if masked else "generate"
    # A short model has no room after a long prompt for as many as are added unless told otherwise.
    fewer = ["--max-new-tokens", "60"] if not masked and len(line) > _LONG else []
    dashes = ["--"] if line.startswith("-") else []  # else it would be taken for a flag
    report = f"report: {result.report}\n" if result.report else ""
    shared = f"shared: {result.shared}\n" if result.shared else ""
    stages = "".join(f"{stage.sentence()}\n" for stage in result.stages)
    stages += "".join(f"{line}\n" for line in new_word_lines(result))
    say(
        f"\n{steps_text(result)}\n{stages}"
        f"run:    {result.run}\n"
        f"model:  {result.model} ({_use_of(Path(result.model))})\n"
        f"{report}{shared}"
        f"try:    {shell_command(verb, Path(result.run), *fewer, *dashes, line)}"
    )


def _one_document(result: TrainResult) -> str:
    """Return what makes several documents of the held-out one, so that chance shows."""
    data: Mapping[str, Any] = {}
    with suppress(OSError, ValueError):  # a result is shown whatever has become of the run's files
        data = tomllib.loads((Path(result.run) / "config.toml").read_text("utf-8"))["data"]
    data = data if isinstance(data, Mapping) else {}  # of several sources
    name, txt = PurePosixPath(str(data.get("source", ""))), data.get("txt")
    is_text = name.suffix.lower() in ("", ".txt", ".text", ".md", ".docx", ".odt", ".rtf", ".html")
    unit = txt or ("paragraph" if name.suffix.lower() in (".txt", ".text") else "file")
    divided = {
        "file": "with --txt paragraph each paragraph of text files is one, and ",
        "paragraph": "the text is one paragraph, which blank lines divide into several, or --txt "
        "line into its lines, and ",
    }.get(unit, "")
    return (
        "One document is held out, and chance shows in several: "
        f"{divided if is_text else ''}--eval-data FILE names others."
    )


def _use_of(model: Path) -> str:
    """Return what a model's folder is for."""
    from nextfill.models.folder.location import is_for_ours_alone, read_base

    if is_for_ours_alone(model):
        return (
            "an adapter, for Nextfill alone, which finds its model; with --lora-merge the folder "
            "is for transformers"
        )
    if read_base(model) is not None:
        return "an adapter: the folder for transformers with peft, as in from_pretrained"
    return "the folder for transformers, as in from_pretrained"


def _typed_prompt(prompt: str) -> str:
    """Return a prompt whole, as a model of prompts and answers ends at once after a part of one.

    Of one that no line holds it is the words at its beginning.
    """
    if len(prompt) <= _MOST_TYPED:
        return prompt
    return re.sub(r"\s+\S*\Z", "", prompt[:_MOST_TYPED]) or prompt[:_MOST_TYPED]


def _first_with_blank(texts: str) -> str:
    """Return the first line that has a blank, or all lines where the mask is written otherwise."""
    lines = texts.splitlines()
    return next((line.strip() for line in lines if "___" in line), texts.strip())


def _before_and_after(title: str, before: Evaluation, after: Evaluation) -> Table:
    from nextfill.runs.result_rows import BEFORE_AND_AFTER, before_and_after

    return _table(title, BEFORE_AND_AFTER, before_and_after(before, after))


def show_report(result: Mapping[str, str]) -> None:
    """Print the path of the report."""
    say(result["report"])


def show_message(result: Login | Shared) -> None:
    """Print a result that is a sentence: the account on the Hub, or the upload."""
    say(str(result))


def show_look(result: Look) -> None:
    """Print the first records, the text in them, and what they become."""
    say(result.text(console().width))


def show_preparation(result: PrepareResult) -> None:
    """Print the ledger and the folder of the tokens."""
    show_ledger(result.ledger)
    say(
        f"{amount(result.blocks, 'block')} of {result.block_size} tokens\n"
        f"store: {result.store}{' (already there)' if result.reused else ''}"
    )


def show_ledger(ledger: Mapping[str, Any]) -> None:
    """Print the ledger: the counts of records and tokens by use."""
    from nextfill.runs.result_rows import ledger_rows

    table = Table(title="Ledger", title_justify="left", show_header=False)
    table.add_column("what")
    table.add_column("how many", justify="right")
    for row in ledger_rows(ledger):
        table.add_row(*(Text(printable(cell)) for cell in row))
    console().print(table)


def show_scores(result: Evaluation | Comparison) -> None:
    """Print the figures of one model, or of several side by side."""
    from nextfill.evaluation.comparison import Comparison

    if isinstance(result, Comparison):
        show_comparison(result)
    else:
        show_evaluation(result)


def show_evaluation(evaluation: Evaluation) -> None:
    """Print each figure with the counts behind it."""
    from nextfill.evaluation.figures import FIGURES, figure_rows

    say(f"{evaluation.in_words}\n")
    console().print(_table("Evaluation", FIGURES, figure_rows(evaluation)))
    if evaluation.texts:
        base = evaluation.base
        show_scored_texts(evaluation.texts, None if base is None else base.name)


def show_comparison(comparison: Comparison) -> None:
    """Print models side by side."""
    say("\n".join(comparison.words()) + "\n")
    for table in comparison.tables():
        console().print(_table(*table))
    for line in comparison.lines():
        say(line)
    if comparison.texts:
        show_scored_texts(comparison.texts, next(iter(comparison.evaluations)))


def show_listing(listing: CacheListing) -> None:
    """Print the contents of the cache."""
    table = Table(title=f"Cache {printable(str(listing.cache))}", title_justify="left")
    for heading in ("data", "kind", "documents", "tokens", "size", "last used"):
        number = heading in ("documents", "tokens", "size")
        table.add_column(heading, justify="right" if number else "left", overflow="fold")
    for entry in listing.entries:
        counts = ("" if n is None else f"{n:,}" for n in (entry.documents, entry.tokens))
        size, used = size_text(entry.size_bytes), age_text(time.time() - entry.used_s)
        table.add_row(Text(printable(entry.name)), entry.kind, *counts, size, used)
    if listing.entries:
        console().print(table)
    say(
        f"{amount(len(listing.entries), 'entry')}, {size_text(listing.size_bytes)} in "
        f"{listing.cache}; "
        f"the limit is {size_text(listing.limit_bytes)}"
    )


def show_size(result: Mapping[str, Any]) -> None:
    """Print the size of the cache."""
    kinds = {
        "tokens": "token stores",
        "input": "data from Python",
        "tokenizer": "tokenizers",
        "unfinished": "unfinished",
    }
    parts = [f"{size_text(result['by_kind'][kind])} {name}" for kind, name in kinds.items()]
    say(
        f"{size_text(result['size_bytes'])} in {result['cache']}: {', '.join(parts)}\n"
        f"the limit is {size_text(result['limit_bytes'])}; set NEXTFILL_CACHE_LIMIT for another"
    )


def show_pruning(pruning: Pruning) -> None:
    """Print the entries that were removed from the cache."""
    removed = "would be removed" if pruning.dry_run else "removed"
    by_verb = {
        removed: pruning.removed,
        "in use, left": pruning.in_use,
        "not yours to remove, left": pruning.not_allowed,
    }
    for verb, entries in by_verb.items():
        for entry in entries:
            say(f"{verb}: {entry.name} ({entry.kind}, {size_text(entry.size_bytes)})")
    freed = sum(entry.size_bytes for entry in pruning.removed)
    say(
        f"{amount(len(pruning.removed), 'entry')}, {size_text(freed)}"
        f"{' would be' if pruning.dry_run else ''} removed; {size_text(pruning.size_bytes)} left"
    )


def show_recipes(recipes: Sequence[Recipe]) -> None:
    """Print the names of recipes and their use."""
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column("name", no_wrap=True)
    table.add_column("what it is for")
    for recipe in recipes:
        table.add_row(recipe.name, Text(recipe.summary))
    console().print(table)
    show, run = shell_command("recipes"), shell_command("train")
    say(f"\n{show} NAME shows one, {run} NAME runs it; so does a copy of it.")


def show_tokenizer(result: TokenizerResult) -> None:
    """Print the figures of a new tokenizer, and its use."""
    title = f"Tokenizer ({result.kind})"
    console().print(_table(title, ("", ""), result.rows(), show_header=False))
    several = result.source == "-" or re.search(r" and \d+ more$", result.source)
    data = "DATA" if several else result.source
    kind = ["scratch:bert", "--objective", "masked"] if result.kind == "wordpiece" else [_LLAMA]
    words = ["train", "--model", *kind, "--tokenizer", Path(result.tokenizer), "--data", data]
    shape = [f"--set=model.config.{name}={size}" for name, size in _SHAPE.items()]
    say(f"try:    {shell_command(*words, *shape)}")


def show_inspection(inspection: TokenizerInspection) -> None:
    """Print the figures of tokenizers on a text."""
    for title, header, rows in inspection.tables():
        console().print(_table(title, header, rows))
    for line in inspection.lines():
        say(line)


def _table(
    title: str, header: Sequence[str], rows: Sequence[Sequence[str]], *, show_header: bool = True
) -> Table:
    table = Table(title=Text(printable(title)), title_justify="left", show_header=show_header)
    for at, heading in enumerate(header):
        side: JustifyMethod = "right" if at else "left"
        table.add_column(Text(printable(heading)), justify=side, overflow="fold")
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    return table
