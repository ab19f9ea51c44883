"""The evaluations in a model's card: a table for each set, and the documents that it is over."""

from __future__ import annotations

from nextfill.core.amounts import amount, verb
from nextfill.core.progress import HELD_OUT
from nextfill.evaluation.bootstrap import Interval
from nextfill.evaluation.metrics import Measure
from nextfill.html_report.figures_table import NAMES, units_of
from nextfill.hub.card_metadata import objective_of
from nextfill.rendering.markdown import escaped, table
from nextfill.rendering.result_cards import figure_text
from nextfill.runs.evaluated_sets import VALIDATION, EvaluatedSet, evaluation_of
from nextfill.runs.former_runs import former_run_lines
from nextfill.runs.reader import RunFacts

_HOW = {
    "causal": "; bits per byte are nats / (bytes x ln 2)",
    "masked": ", which are those that were masked, the same ones before and after",
}


def evaluation_tables(facts: RunFacts) -> list[str]:
    """Return a table for each set and its documents, and how figures are made."""
    parts = []
    for one in facts.sets:
        if one.after is None or not one.measures:
            continue
        rows = [_row(one, measure) for measure in one.measures]
        former = former_run_lines(facts.measured) if one.name == HELD_OUT else []
        whose = " ".join([f"{_documents(facts, one)}.", *map(escaped, former)])
        parts.append(f"**{escaped(one.name)}**: {whose}")
        parts.append(table(["", "before", "after", "change", "over"], rows))
    if facts.new_words is not None and facts.sets:
        end = facts.sets[0].after
        lines = facts.new_words.lines(None if end is None else evaluation_of(end))
        parts.append("\n".join(f"- {escaped(line)}" for line in lines))
    if facts.quantized_base is not None and facts.sets:
        lines = facts.quantized_base.lines(evaluation_of(facts.sets[0].before))
        parts.append("\n".join(f"- {escaped(line)}" for line in lines))
    bracketed = "In brackets are 95% intervals over documents"
    if any(one.before.get("documents") == 1 for one in facts.sets):
        bracketed += ", of which an interval takes two"
    how = (
        f"{bracketed}. Perplexity is exp(nats / tokens) over all "
        f"scored tokens together{_HOW[objective_of(facts)]}."
    )
    if "context_tokens" in facts.ledger:
        field = escaped(str(facts.ledger.get("context_field") or "the context"))
        how += f" What stands in {field} was neither learnt nor scored: it is given."
    return [*parts, how] if parts else ["It was not evaluated."]


def _documents(facts: RunFacts, one: EvaluatedSet) -> str:
    """Return the documents of a set in words: whole ones, or the ends of others."""
    number = one.before.get("documents")
    if not isinstance(number, int):
        return "documents, none of which was trained on"
    if one.name == HELD_OUT and (ends := num_held_out_ends(facts)):
        whose = verb(ends, "whose beginning was", "whose beginnings were")
        of_ends = f"{verb(ends, 'the end', 'the ends')} of {amount(ends, 'document')}"
        if number <= ends:
            return f"{of_ends}, {whose} trained on"
        return f"{amount(number, 'document')}, among them {of_ends}, {whose} trained on"
    if one.name == VALIDATION and num_held_out_ends(facts):
        return f"{amount(number, 'part')} of documents, none of which was trained on"
    if one.name == HELD_OUT and former_run_lines(facts.measured):
        which = verb(number, "which this run was not", "none of which this run was")
    else:
        which = verb(number, "which was not", "none of which was")
    return f"{amount(number, 'document')}, {which} trained on"


def num_held_out_ends(facts: RunFacts) -> int:
    """Return the number of documents whose ends alone are held out, 0 for a run of whole ones."""
    number = facts.ledger.get("held_out_ends")
    return number if isinstance(number, int) else 0


def _row(one: EvaluatedSet, measure: Measure) -> list[str]:
    size = one.before.get(measure.over)
    units = units_of(one, measure)
    over = f"{size:,} {units}" if isinstance(size, int) else units
    unit = "%" if measure.key.endswith("perplexity") else ""
    cells = [_interval(value, "") for value in (measure.before, measure.after)]
    return [NAMES[measure.key], *cells, _interval(measure.change, unit), over]


def _interval(value: Interval | None, unit: str) -> str:
    if value is None:
        return ""
    ends = f" [{figure_text(value.low)}, {figure_text(value.high)}]" if value.has_ends else ""
    return f"{figure_text(value.value)}{unit}{ends}"
