"""The validation of a tree of settings, by pydantic if need be, and the words on its refusals."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from contextlib import suppress
from dataclasses import fields
from functools import cache
from itertools import chain
from typing import Any

from nextfill.config import EvaluationSet
from nextfill.config.options import sections, settings
from nextfill.config.plain_values import NotPlainError, of_plain_values
from nextfill.config.shares import ambiguous_shares
from nextfill.config.shorthands import path_in_recipe, section_of
from nextfill.config.value_types import Place, kinds, mistaken_values
from nextfill.core.errors import nearest
from nextfill.core.url_redaction import scrub

MOST_SHOWN = 120
"""Characters of a bad value that a message shows."""


def short_value(value: object) -> str:
    """Return a bad value for a message, cut where it is long and without secrets."""
    text = scrub(repr(value))  # whole, because of an address cut short its end is not known
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}... ({type(value).__name__})"


def validated(
    root: type,
    tree: Mapping[str, Any],
    labels: Mapping[tuple[str, ...], str],
    copies: Set[tuple[str | int, ...]],
) -> tuple[Any, list[str]]:
    """Return the config, None where it is invalid, and the problems."""
    wrong = [one for one in mistaken_values(root, tree) if one[0] not in copies]
    told = [(_label(root, labels, place), _at(tree, place), need) for place, need in wrong]
    problems = [f"{label}: found {short_value(value)}. {need}" for label, value, need in told]
    problems += ambiguous_shares(tree, labels, copies)
    if not problems:
        with suppress(NotPlainError):
            return of_plain_values(root, tree), []
    from pydantic import ValidationError  # which nearly no command has to import

    try:
        config = _validator(root)(tree)
    except ValidationError as error:
        for item in error.errors(include_url=False):
            if item["loc"][:4] in copies:  # reported at the setting of all sources
                continue
            if item["loc"] in {place for place, _ in wrong}:  # reported above
                continue
            loc = tuple(str(part) for part in item["loc"])
            label = _label(root, labels, loc)
            if item["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
                is_table = isinstance(item["input"], Mapping)
                hint = _foreign_key(root, tree, loc, item["input"])
                hint = hint or _nearest_key(root, loc, is_table=is_table)
                problems.append(f"{label}: there is no such setting.{hint}")
            else:
                hint = _value_hint(root, loc, item)
                value = short_value(item["input"])
                problems.append(f"{label}: found {value}. {_expected(loc, item)}.{hint}")
        config = None
    return None if problems else config, list(dict.fromkeys(problems))


def _label(root: type, labels: Mapping[tuple[str, ...], str], place: Place) -> str:
    """Return the name under which the value at a place was given."""
    loc = tuple(str(part) for part in place)
    in_named = len(loc) > 3 and loc[1] == section_of(root, loc[0]).named_tables
    above = (
        ".".join((labels[loc[:n]], *(loc[n:] if in_named else ())))
        for n in range(len(loc), 0, -1)
        if loc[:n] in labels
    )
    below = (label for path, label in labels.items() if path[: len(loc)] == loc)
    label = next(chain(above, below), path_in_recipe(root, loc))
    if len(loc) > 2 and loc[1] == section_of(root, loc[0]).listed_tables:
        label += f", table {int(loc[2]) + 1}" + (f": {loc[-1]}" if len(loc) > 3 else "")
    return label


def _at(tree: Any, place: Place) -> Any:
    for key in place:
        tree = tree[key]
    return tree


def _expected(loc: tuple[str, ...], error: Mapping[str, Any]) -> str:
    """Return what a setting takes where pydantic has refused another value."""
    if error["type"] == "dataclass_type":
        if len(loc) > 2 and loc[-1].isdecimal():  # one of [[data]]
            return "Expected a table with its source"
        return f"Expected a table, [{'.'.join(loc)}]"
    if error["type"] == "string_type" and type(error["input"]) in (int, float):
        return f'Expected text; in quotes it is: "{error["input"]}"'
    if loc[0] == "nproc":  # of two types, each of which pydantic tells about
        return "Expected a number of processes, or auto"
    return str(error["msg"]).partition(", unable to parse string")[0]


@cache
def _validator(root: type) -> Callable[[Mapping[str, Any]], Any]:
    """Return the validator of a class of settings, which takes long to make."""
    from pydantic import TypeAdapter

    return TypeAdapter(root).validate_python


def _value_hint(root: type, loc: tuple[str, ...], error: Mapping[str, Any]) -> str:
    """Return what to type instead of a value that pydantic refused, if that is known."""
    from nextfill.config.command_line.typed_numbers import is_number, number_hint
    from nextfill.config.foreign.foreign_values import value_hint  # not for --help

    setting = next((one for one in settings(root) if one.path == loc), None)
    if setting is None:
        return ""
    is_share = 1 in (error.get("ctx", {}).get(bound) for bound in ("lt", "le"))
    is_whole = int in (parts := [*kinds(setting.annotation)]) and float not in parts
    if number := number_hint(error["input"], is_whole=is_whole) if is_number(parts) else "":
        return number
    said = "" if is_whole else value_hint(setting.keyword, error["input"], is_share=is_share)
    return said or (f" {setting.hint}." if setting.hint else "")


def _foreign_key(root: type, tree: Mapping[str, Any], loc: tuple[str, ...], value: object) -> str:
    """Return our way to say a key of another program's, as a recipe says it, or ""."""
    from nextfill.config.foreign.other_names import advice, answer, as_key  # not for --help

    known = {setting.keyword: setting.path for setting in settings(root)}

    def write(keyword: str, given: str | None) -> str:
        return as_key(".".join(known.get(keyword, (keyword,))), given)

    if len(loc) == 1 and isinstance(value, Mapping):  # a section that is none of ours
        return "".join(_foreign_key(root, tree, (*loc, key), one) for key, one in value.items())
    section = tree.get(loc[0])
    beside = section if isinstance(section, Mapping) else {}
    plain = isinstance(value, str | int | float)
    if plain and loc[-1] in known and known[loc[-1]][-1] != loc[-1]:  # lora.lora_alpha
        return f" That is {write(loc[-1], str(value))} here."
    of_section = answer(f"{loc[0]}_{loc[-1]}", value, [*known], write)  # lora.r
    return of_section or advice(loc[-1], value, [*known], write, beside)


def _nearest_key(root: type, loc: tuple[str, ...], *, is_table: bool) -> str:
    nested = sections(root)
    if is_table and len(loc) == 1 and (hint := nearest(loc[0], nested)):
        return hint  # a section, and no setting of one, be that as near
    everything = {setting.path[-1]: setting for setting in settings(root)}
    if loc[-1] in everything:  # right name, wrong section
        return f" Did you mean '{'.'.join(everything[loc[-1]].path)}'?"
    if len(loc) > 3 and loc[1] == section_of(root, loc[0]).named_tables:
        return nearest(loc[-1], [item.name for item in fields(EvaluationSet)])
    if len(loc) > 1 and loc[0] in nested:
        return nearest(loc[-1], [item.name for item in fields(nested[loc[0]])])
    return nearest(loc[-1], [*everything, *nested])
