"""The three short forms of a recipe's sections, spelled out and written back.

``model = "gpt2"`` is ``model.name``, a list of tables [[data]] is ``data.sources``, and a table
with a name of its own, [evaluation.general], is ``evaluation.sets.general``. Every other module
of settings sees full paths alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict, fields, replace
from typing import Any

from nextfill.config import EvaluationSet
from nextfill.config.options import Assignment, Section, sections

_NAMES = {
    ("training", "freeze"),
    ("training", "train_only"),
    ("data", "keep_fields"),
    ("filling", "targets"),
}
"""Lists of names, for which a Python program or a recipe may give one alone."""

_JOINED = {("lora", "targets"), ("tracking", "to"), ("to",)}
"""Names that are one text, joined by commas."""


def section_of(root: type, name: str) -> type[Section]:
    """Return a section's class, which names its short forms; where there is none, the base."""
    return sections(root).get(name, Section)


def normal_form(root: type, layer: Iterable[Assignment]) -> list[Assignment]:
    """Return a layer's settings at their full paths, each field of a whole section by itself."""
    return [
        replace(one, path=full_path(root, one))
        for item in layer
        for one in _fields_of_section(root, item)
    ]


def _fields_of_section(root: type, item: Assignment) -> list[Assignment]:
    """Return the fields of a whole section, as in ``--set training={...}``, or the item itself."""
    if len(item.path) == 1 and item.path[0] in sections(root) and isinstance(item.value, dict):
        return [
            Assignment((*item.path, key), value, f"{item.label}.{key}")
            for key, value in item.value.items()
        ]
    return [item]


def full_path(root: type, item: Assignment) -> tuple[str, ...]:
    """Return the path of an item without short forms; a section as a whole stays one item."""
    name, *keys = path = item.path
    section = section_of(root, name)
    if not keys:
        is_list = section.listed_tables and isinstance(item.value, list)
        field = section.listed_tables if is_list else section.shorthand
        return (name, field) if field else path
    is_table = len(keys) > 1 or isinstance(item.value, dict | str)
    if not section.named_tables or keys[0] in {f.name for f in fields(section)} or not is_table:
        return path
    is_text = len(keys) == 1 and isinstance(item.value, str)
    return (name, section.named_tables, *keys, *((EvaluationSet.shorthand,) if is_text else ()))


def in_order(root: type, layer: Iterable[Assignment]) -> list[Assignment]:
    """Sort settings in normal form, so that the order in which they were written does not matter.

    A whole table comes before its keys, and a list of sources before the settings of them all. Of
    one setting written twice the later one holds.
    """

    def rank(one: Assignment) -> tuple[int, bool]:
        return len(one.path), one.path[1:] != (section_of(root, one.path[0]).listed_tables,)

    return sorted(layer, key=rank)


def in_own_form(root: type, path: tuple[str, ...], value: Any) -> Any:
    """Return one name where a list of them is taken as a list, and a list where one text is.

    The names of ``lora.targets`` and of trackers are one text, joined by commas.

    Example:
        >>> from nextfill.config import TrainConfig
        >>> in_own_form(TrainConfig, ("training", "freeze"), "norms")
        ['norms']
        >>> in_own_form(TrainConfig, ("lora", "targets"), ["q_proj", "v_proj"])
        'q_proj,v_proj'
    """
    if path in _JOINED and isinstance(value, list | tuple) and value:
        return ",".join(value) if all(isinstance(one, str) for one in value) else value
    if path in _NAMES and isinstance(value, str):
        return [value]
    return value


def source_conflicts(root: type, layer: Iterable[Assignment]) -> Iterator[str]:
    """Yield a problem where a layer in normal form names one source and also several."""
    labels = {one.path: one.label for one in layer}
    for name, section in sections(root).items():
        one, several = (labels.get((name, f)) for f in (section.shorthand, section.listed_tables))
        if one is not None and several is not None:
            yield f"{one} names one source, and {several} several: leave one of them out."


def replace_sources(root: type, tree: dict[str, Any], item: Assignment) -> Iterator[str]:
    """Drop sources of lower layers from the tree where the item names others; yield problems."""
    name, *keys = item.path
    section = section_of(root, name)
    if not section.listed_tables or len(keys) != 1 or not isinstance(tree.get(name, {}), dict):
        return
    if keys == [section.shorthand]:
        tree.get(name, {}).pop(section.listed_tables, None)
    elif keys == [section.listed_tables] and isinstance(item.value, list):
        tree.pop(name, None)
        for number, one in enumerate(item.value, start=1):
            if not (isinstance(one, Mapping) and section.shorthand in one):
                yield f"{item.label}, table {number}: found no {section.shorthand}. Each names one."


def complete_sources(root: type, tree: dict[str, Any]) -> set[tuple[str | int, ...]]:
    """Copy the settings of all sources into each that lacks them; return the places of copies."""
    places: set[tuple[str | int, ...]] = set()
    for name, section in sections(root).items():
        tables = tree[name].get(section.listed_tables) if isinstance(tree.get(name), dict) else None
        if not section.listed_tables or not isinstance(tables, list):
            continue
        own = (section.listed_tables, section.shorthand)
        common = {key: value for key, value in tree[name].items() if key not in own}
        for number, table in enumerate(tables):
            if isinstance(table, dict):
                places |= {
                    (name, section.listed_tables, number, key)
                    for key in common.keys() - table.keys()
                }
                tables[number] = {**deepcopy(common), **table}
    return places


def path_in_recipe(root: type, path: Sequence[str]) -> str:
    """Return a full path as a user writes it, without the field of tables with their own names."""
    named = section_of(root, path[0]).named_tables
    return ".".join(key for at, key in enumerate(path) if (at, key) != (1, named))


def recipe_tree(config: Any) -> dict[str, Any]:
    """Return a config as a recipe's tree, in short forms and without settings that are None."""
    root: type = type(config)
    tree = _without_none(asdict(config))
    for name, section in sections(root).items():
        if section.listed_tables:
            each = getattr(config, name).each
            if len(each) > 1:  # each keeps what it leaves open to the settings of all
                tree[name] = [{section.shorthand: one.source, **one.explicit} for one in each]
            else:
                tree[name] = _without_none(asdict(each[0]))
                del tree[name][section.listed_tables]
        if section.named_tables:
            tree.get(name, {}).update(tree.get(name, {}).pop(section.named_tables, {}))
    return tree


def _without_none(tree: Mapping[str, Any]) -> dict[str, Any]:
    def of_value(value: Any) -> Any:
        if isinstance(value, list):
            return [of_value(one) for one in value]
        return _without_none(value) if isinstance(value, Mapping) else value

    values = {key: of_value(one) for key, one in tree.items() if one is not None}
    return {key: one for key, one in values.items() if one != {}}
