"""A dozen types of model through the whole path, from preparing text to going on with a run.

All types that transformers has go it in tests/trials/test_architecture_paths.py.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import transformers

from tests.architecture_paths import try_path
from tests.architectures import types
from tests.representative import often
from tests.trials.architecture_page import GUIDES, PAGE

VERSION = f"transformers {transformers.__version__} "

DOZEN = {
    ("causal", "bert"): ["used with is_decoder=true"],
    ("causal", "bloom"): ["each document in a row of its own"],
    ("causal", "gpt2"): [],
    ("causal", "mixtral"): [],
    ("causal", "mamba"): ["each document in a row of its own"],
    ("causal", "qwen2"): [],  # with a tokenizer that is handed over
    ("causal", "rwkv"): ["each document in a row of its own"],
    ("causal", "xlnet"): ["used with attn_type=uni", "each document in a row of its own"],
    ("masked", "distilbert"): [],
    ("masked", "fnet"): ["each document in a row of its own", "rows of one length at a time"],
    ("masked", "modernbert"): [],
    ("masked", "xlm-roberta"): [],
}
"""By objective and type, the limits that are known."""

OFTEN = [
    ("causal", "bert"),
    ("causal", "mamba"),
    ("causal", "qwen2"),
    ("masked", "fnet"),
    ("masked", "modernbert"),
]


@pytest.mark.parametrize(("objective", "kind"), often(DOZEN, OFTEN))
def test_a_type_goes_the_whole_path(objective: str, kind: str, tmp_path: Path) -> None:
    outcome = try_path(objective, kind, tmp_path)
    assert (outcome.verdict, outcome.reason) == ("works", "")
    assert outcome.limits == DOZEN[objective, kind]


def test_a_type_that_sees_what_it_predicts_is_refused_with_words(tmp_path: Path) -> None:
    outcome = try_path("causal", "cpmant", tmp_path)
    assert outcome.verdict == "refused"
    assert outcome.reason.startswith("MODEL is a CpmAntForCausalLM that looks ahead")


@pytest.mark.skipif(VERSION not in PAGE.read_text("utf-8"), reason="the page is of another version")
def test_the_page_has_a_row_for_every_type_and_none_at_fault() -> None:
    rows = {tuple(line.split(" | ")[1:3]) for line in PAGE.read_text("utf-8").splitlines()}
    named = {(objective, kind.split()[0]) for objective, kind in (row for row in rows if row[1:])}
    assert {(objective, kind) for objective in GUIDES for kind in types(objective)} <= named
    assert "a fault" not in PAGE.read_text("utf-8")
    assert "not yet" not in PAGE.read_text("utf-8")
