"""The three short forms of a recipe's sections, spelled out and written back.

``model = "gpt2"`` is ``model.name``, a list of tables [[data]] is ``data.sources``, and a table
with a name of its own, [evaluation.general], is ``evaluation.sets.general``. Every other module
of settings sees full paths alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from nextfill.config import EvaluationSet
from nextfill.config.options import Assignment, sections


@dataclass(frozen=True)
class ShortForms:
    """The fields of a section that its short forms belong to; empty for none."""

    bare: str = ""
    listed: str = ""
    named: str = ""


def short_forms(root: type, section: str) -> ShortForms:
    """Return the short forms that a section of a root config has."""
    names = ("shorthand", "listed_tables", "named_tables")
    return ShortForms(*(getattr(sections(root).get(section), name, "") for name in names))


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
    section = sections(root).get(name)
    short = short_forms(root, name)
    if section is None:
        return path
    if not keys:
        if short.listed and isinstance(item.value, list):
            return (name, short.listed)
        return (name, short.bare) if short.bare else path
    is_table = len(keys) > 1 or isinstance(item.value, dict | str)
    if not short.named or keys[0] in {one.name for one in fields(section)} or not is_table:
        return path
    is_text = len(keys) == 1 and isinstance(item.value, str)
    return (name, short.named, *keys, *((EvaluationSet.shorthand,) if is_text else ()))


def in_order(root: type, layer: Iterable[Assignment]) -> list[Assignment]:
    """Sort settings in normal form, so that the order in which they were written does not matter.

    A whole table comes before its keys, and a list of sources before the settings of them all. Of
    one setting written twice the later one holds.
    """

    def rank(one: Assignment) -> tuple[int, bool]:
        return len(one.path), one.path[1:] != (short_forms(root, one.path[0]).listed,)

    return sorted(layer, key=rank)


def named_twice(root: type, layer: Iterable[Assignment]) -> Iterator[str]:
    """Yield a problem where a layer in normal form names one source and also several."""
    labels = {one.path: one.label for one in layer}
    for name in sections(root):
        short = short_forms(root, name)
        one, several = labels.get((name, short.bare)), labels.get((name, short.listed))
        if one is not None and several is not None:
            yield f"{one} names one source, and {several} several: leave one of them out."


def replace_sources(root: type, tree: dict[str, Any], item: Assignment) -> Iterator[str]:
    """Drop sources of lower layers from the tree where the item names others; yield problems."""
    name, *keys = item.path
    short = short_forms(root, name)
    if not short.listed or len(keys) != 1 or not isinstance(tree.get(name, {}), dict):
        return
    if keys == [short.bare]:
        tree.get(name, {}).pop(short.listed, None)
    elif keys == [short.listed] and isinstance(item.value, list):
        tree.pop(name, None)
        for number, one in enumerate(item.value, start=1):
            if not (isinstance(one, Mapping) and short.bare in one):
                yield f"{item.label}, table {number}: found no {short.bare}. Each names one."


def complete_sources(root: type, tree: dict[str, Any]) -> set[tuple[str | int, ...]]:
    """Copy the settings of all sources into each that lacks them; return the places of copies."""
    places: set[tuple[str | int, ...]] = set()
    for name in sections(root):
        short = short_forms(root, name)
        tables = tree[name].get(short.listed) if isinstance(tree.get(name), dict) else None
        if not short.listed or not isinstance(tables, list):
            continue
        own = (short.listed, short.bare)
        common = {key: value for key, value in tree[name].items() if key not in own}
        for number, table in enumerate(tables):
            if isinstance(table, dict):
                places |= {
                    (name, short.listed, number, key) for key in common.keys() - table.keys()
                }
                tables[number] = {**deepcopy(common), **table}
    return places


def written_path(root: type, path: Sequence[str]) -> str:
    """Return a full path as a user writes it, without the field of tables with their own names."""
    named = short_forms(root, path[0]).named
    return ".".join(key for at, key in enumerate(path) if (at, key) != (1, named))


def recipe_tree(config: Any) -> dict[str, Any]:
    """Return a config as a recipe's tree, in short forms and without settings that are None."""
    root: type = type(config)
    tree = _without_none(asdict(config))
    for name in sections(root):
        short = short_forms(root, name)
        if short.listed:
            each = getattr(config, name).each
            if len(each) > 1:  # each keeps what it leaves open to the settings of all
                tree[name] = [{short.bare: one.source, **one.explicit} for one in each]
            else:
                tree[name] = _without_none(asdict(each[0]))
                del tree[name][short.listed]
        if short.named:
            tree.get(name, {}).update(tree.get(name, {}).pop(short.named, {}))
    return tree


def _without_none(tree: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: _without_none(value) if isinstance(value, Mapping) else value
        for key, value in tree.items()
        if value is not None and value != {}
    }
