"""Numbers in messages go with their nouns: 1 document, 2 documents."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import nextfill
from nextfill.core.amounts import amount, part_of, verb

ROOT = Path(nextfill.__file__).parent
NOUN = re.compile(r" (?:(?!the )[a-z]+ )?([a-z]+s)\b")
NO_NOUNS = {
    "is",
    "was",
    "has",
    "as",
    "this",
    "its",
    "holds",
    "us",
    "does",
    "less",
    "others",
    "across",
}
NEVER_ONE = {
    "api/look_result.py": {"contexts"},
    "config/problems/conflicts.py": {"times"},
    "config/command_line/missing_arguments.py": {"words"},
    "config/command_line/typed_words.py": {"times"},
    "core/errors.py": {"settings"},
    "config/command_line/several_names.py": {"names"},
    "data/contamination/leaks.py": {"documents"},
    "data/copies.py": {"texts", "times"},
    "data/document_ends.py": {"documents"},
    "data/source_store.py": {"tables"},
    "data/records/fields/field_errors.py": {"fields"},
    "data/records/formats/json_stream.py": {"characters"},
    "data/records/formats/text_encodings.py": {"bytes"},
    "data/records/unreadable_files.py": {"files"},
    "data/store/encoder.py": {"documents"},
    "evaluation/documents.py": {"tokens"},
    "evaluation/figures.py": {"tokens"},
    "filling/fill.py": {"entries"},
    "hub/model_card.py": {"parameters"},
    "models/folder/configuration.py": {"bytes", "characters", "tensors"},
    "models/folder/model_files.py": {"bytes"},
    "models/new_embeddings.py": {"tokens"},
    "models/new_tokens.py": {"characters"},
    "models/tokenizer.py": {"characters"},
    "models/folder/tokenizer_files.py": {"entries"},
    "models/folder/weights.py": {"numbers", "tensors"},
    "objectives/masked.py": {"keys", "rows"},
    "rendering/line_chart.py": {"points"},
    "runs/new_words.py": {"tokens"},
    "tokenizers/train.py": {"entries"},
    "tokenizers/trainers.py": {"characters"},
    "training/adapter.py": {"parameters"},
    "training/prose_model.py": {"tokens"},
    "training/model_note.py": {"parameters"},
    "training/trainable_model.py": {"parameters"},
    "training/teacher.py": {"parameters"},
}
"""Plurals of which there are always several, or one of which is said in other words."""


def numbers_with_plurals(source: str) -> Iterator[str]:
    """Yield the plurals that stand right after a count in a text, whatever the count."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.JoinedStr):
            continue
        for value, after in zip(node.values, node.values[1:], strict=False):
            if not isinstance(value, ast.FormattedValue) or not isinstance(after, ast.Constant):
                continue
            is_count = value.format_spec is not None and ast.unparse(value.format_spec) == "f','"
            is_length = isinstance(value.value, ast.Call) and ast.unparse(value.value.func) == "len"
            found = NOUN.match(str(after.value))
            if (is_count or is_length) and found and found[1] not in NO_NOUNS:
                yield found[1]


def test_a_plural_after_a_count_is_found():
    assert list(numbers_with_plurals('f"{n:,} documents, {len(x)} long blocks"')) == [
        "documents",
        "blocks",
    ]
    assert not list(numbers_with_plurals("f\"{amount(n, 'document')} stand, {n} is\""))


def test_every_count_in_a_message_has_a_noun_that_goes_with_it():
    files = {path.relative_to(ROOT).as_posix(): path for path in ROOT.rglob("*.py")}
    found = {name: {*numbers_with_plurals(one.read_text("utf-8"))} for name, one in files.items()}
    assert {name: nouns for name, nouns in found.items() if nouns} == NEVER_ONE


@pytest.mark.parametrize("number", [0, 1, 2, 1234])
def test_nouns_and_verbs_go_with_their_number(number):
    one = number == 1
    assert amount(number, "day") == f"{number:,} {'day' if one else 'days'}"
    assert amount(number, "copy") == f"{number:,} {'copy' if one else 'copies'}"
    assert part_of(1, number, "document").endswith("document" if one else "documents")
    assert verb(number, "is", "are") == ("is" if one else "are")
