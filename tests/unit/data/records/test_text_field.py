from __future__ import annotations

import pyarrow as pa

from nextfill.data.records.column_tables import columns_for
from nextfill.data.records.fields import string_paths


def test_string_paths_are_complete():
    value = {"a": [{"b": "x"}, {"c": ["y"]}], "d": None, "e": 1, "f": {"g": {"h": "z"}}}
    assert string_paths(value) == ["a[].b", "a[].c", "f.g.h"]
    assert string_paths(value, kind=type(None)) == ["d"]


def test_the_columns_of_paths_are_the_longest_that_exist():
    text = pa.string()
    schema = pa.schema([("a", text), ("a.b", text), ("l", pa.list_(text)), ("n", pa.int64())])
    found = {path: columns_for([path], schema) for path in ("a", "a.b", "a.b.c", "a.c", "l[].t")}
    assert found == {"a": ["a"], "a.b": ["a.b"], "a.b.c": ["a.b"], "a.c": ["a"], "l[].t": ["l"]}
    assert columns_for(["a", "n", "l[].x", "a"], schema) == ["a", "n", "l"]
    # What is not there, or is no text, is left to the message, which lists the other columns.
    for paths in (["x"], ["n"], [], ["a", "x"]):
        assert columns_for(paths, schema) is None
    assert columns_for(["a"], pa.schema([("a", text), ("a", text)])) is None
