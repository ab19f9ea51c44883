"""Every type of model that transformers has, through the whole path; takes about half an hour."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.architecture_paths import GONE, NEEDS_MORE, try_path
from tests.architectures import types
from tests.trials.architecture_page import GUIDES

pytestmark = pytest.mark.trial

MOST_REFUSED = 5
"""Types of a guide's list that may be refused, or not tried, beside those that are gone."""


@pytest.mark.filterwarnings("ignore")  # transformers' own, of shapes as small as these
@pytest.mark.parametrize("objective", ["causal", "masked"])
def test_every_type_goes_the_whole_path_or_is_refused_with_words(
    objective: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outcomes = {}
    for kind in types(objective):
        outcomes[kind] = outcome = try_path(objective, kind, tmp_path / kind)
        with capsys.disabled():
            print(f"{kind}: {outcome.verdict} {outcome.limits} {outcome.reason}")
    assert {kind: one.reason for kind, one in outcomes.items() if one.verdict == "fault"} == {}
    assert {kind for kind, one in outcomes.items() if one.verdict == "not made"} <= set(NEEDS_MORE)
    there = [kind for kind in GUIDES[objective] if kind not in GONE]
    failed = [kind for kind in there if outcomes[kind].verdict != "works"]
    assert len(failed) <= MOST_REFUSED, failed


@pytest.mark.parametrize("objective", ["causal", "masked"])
def test_the_guides_types_are_transformers_or_known_to_be_gone(objective: str) -> None:
    assert set(GUIDES[objective]) - set(types(objective)) <= set(GONE)
    assert not set(GONE) & set(types(objective))
