"""Results as a person reads them at a terminal."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from nextfill.plain import printable

if TYPE_CHECKING:
    from nextfill.infer.figures import Evaluation
    from nextfill.results import PrepareResult, TrainResult


def _console() -> Console:
    return Console(highlight=False, emoji=False, soft_wrap=True)


def _say(text: str) -> None:
    _console().print(printable(text), markup=False)


def show_training(result: TrainResult) -> None:
    """Print before and after, the last sample, and where everything lies."""
    _console().print(_before_and_after("Held-out documents", result.before, result.after))
    after = result.after
    _say(
        f"over {after.targets:,} tokens ({after.words:,} words, {after.bytes:,} bytes) of "
        f"{after.documents:,} documents; 95% interval of the perplexity after: "
        f"{_figure(after.interval[0])} to {_figure(after.interval[1])}"
    )
    for name, one in result.sets.items():
        _console().print(_before_and_after(f"Evaluation set {name}", one.before, one.after))
    sample = result.samples[-1]
    _say(f"\nSample, from {sample['prompt']!r}:\n  " + sample["text"].replace("\n", "\n  "))
    report = f"report: {result.report}\n" if result.report else ""
    kept = "" if result.kept_step == result.steps else f"; the best, {result.kept_step:,}, is kept"
    stopped = " (stopped early)" if result.end == "early stopping" else ""
    _say(
        f"\n{result.steps:,} steps{stopped}{kept}, "
        f"at {result.tokens_per_second:,.0f} tokens per second\n"
        f"run:    {result.run}\nmodel:  {result.model}\n{report}"
        f"try:    nextfill generate {shlex.quote(result.run)} "
        f"{shlex.quote(sample['prompt'][:24].strip())}"
    )


def _before_and_after(title: str, before: Evaluation, after: Evaluation) -> Table:
    table = Table(title=title, title_justify="left")
    for heading in ("", "before", "after", "after / before"):
        table.add_column(heading, justify="left" if not heading else "right")
    rows = [
        ("perplexity", before.perplexity, after.perplexity),
        ("bits per byte", before.bits_per_byte, after.bits_per_byte),
        ("word perplexity", before.word_perplexity, after.word_perplexity),
    ]
    for name, first, last in rows:
        table.add_row(name, _figure(first), _figure(last), f"{last / first:.3f}")
    return table


def show_report(result: Mapping[str, str]) -> None:
    """Print where the report lies."""
    _say(result["report"])


def show_preparation(result: PrepareResult) -> None:
    """Print the ledger and where the tokens lie."""
    show_ledger(result.ledger)
    _say(
        f"{result.blocks:,} blocks of {result.block_size} tokens\n"
        f"store: {result.store}{' (already there)' if result.reused else ''}"
    )


def show_ledger(ledger: Mapping[str, Any]) -> None:
    """Print where every record and token went."""
    table = Table(title="Ledger", title_justify="left", show_header=False)
    table.add_column("what")
    table.add_column("how many", justify="right")
    for name, value in ledger.items():
        if isinstance(value, int):
            table.add_row(name.replace("_", " "), f"{value:,}")
        elif isinstance(value, str):
            table.add_row(name.replace("_", " "), Text(printable(value)))
        elif isinstance(value, Mapping):
            for reason, number in value.items():
                table.add_row(Text(f"{name}: {reason}"), f"{number:,}")
    _console().print(table)


def show_evaluation(evaluation: Evaluation) -> None:
    """Print each figure with what it is over."""
    table = Table(title="Evaluation", title_justify="left")
    table.add_column("figure")
    table.add_column("value", justify="right")
    table.add_column("over", justify="right")
    table.add_row("perplexity", _figure(evaluation.perplexity), f"{evaluation.targets:,} tokens")
    low, high = (_figure(end) for end in evaluation.interval)
    table.add_row("  95% interval", f"{low} to {high}", f"{evaluation.documents:,} documents")
    words = f"{evaluation.words:,} words"
    table.add_row("word perplexity", _figure(evaluation.word_perplexity), words)
    size = f"{evaluation.bytes:,} bytes"
    table.add_row("byte perplexity", _figure(evaluation.byte_perplexity), size)
    table.add_row("bits per byte", _figure(evaluation.bits_per_byte), size)
    _console().print(table)


def show_texts(results: Sequence[Any]) -> None:
    """Print generated texts, a line between them."""
    flat = [item for entry in results for item in (entry if isinstance(entry, list) else [entry])]
    for number, item in enumerate(flat):
        if number:
            _say("---")
        _say(item["generated_text"])


def _figure(value: float) -> str:
    return f"{value:,.3f}" if abs(value) < 1e6 else f"{value:.3g}"
