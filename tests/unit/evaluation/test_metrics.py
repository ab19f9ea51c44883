"""Figures before and after: changes with intervals, document by document."""

from __future__ import annotations

import math

import numpy as np
import pytest

from nextfill.evaluation.metrics import compare_evaluations


def scores(nats, sizes):
    sizes = np.array(sizes)
    return {
        "document": np.arange(len(sizes)),
        "nats": np.array(nats, float),
        "targets": sizes,
        "words": sizes,
        "bytes": 2 * sizes,
        "characters": 2 * sizes,
    }


def event(columns):
    counts = {
        unit: int(columns[unit].sum()) for unit in ("targets", "words", "bytes", "characters")
    }
    return {"step": 0, "nats": float(columns["nats"].sum()), "interval": [2.0, 3.0], **counts}


SIZES = [10, 20, 30]
FIRST = scores([10, 60, 150], SIZES)
LAST = scores([8, 56, 144], SIZES)  # 0.2 nats less for each token


def by_key(*arguments):
    return {measure.key: measure for measure in compare_evaluations(*arguments)}


def test_a_change_is_measured_document_by_document():
    found = by_key(event(FIRST), event(LAST), FIRST, LAST)
    change = found["nats_per_token"].change
    assert tuple(change) == pytest.approx((-0.2, -0.2, -0.2))
    before = found["nats_per_token"].before
    assert before.high - before.low > 1
    assert found["perplexity"].change.value == pytest.approx(100 * (math.exp(-0.2) - 1))
    assert found["bits_per_byte"].change.value == pytest.approx(-0.1 / math.log(2))


@pytest.mark.parametrize("lost", ["first", "last", "both", "other documents"])
def test_without_the_same_documents_a_change_has_no_interval(lost):
    other = LAST | {"document": np.arange(1, 4)}
    given = {
        "first": (None, LAST),
        "last": (FIRST, None),
        "both": (None, None),
        "other documents": (FIRST, other),
    }[lost]
    found = by_key(event(FIRST), event(LAST), *given)
    change = found["nats_per_token"].change
    assert change.value == pytest.approx(-0.2)
    assert not change.has_ends
    assert found["perplexity"].before.has_ends  # from the event alone


def test_figures_that_are_not_defined_are_left_out():
    validation = {"step": 3, "nats": 20.0, "targets": 10}
    assert [measure.key for measure in compare_evaluations(validation, None)] == [
        "perplexity",
        "nats_per_token",
    ]
    assert compare_evaluations({"step": 0, "nats": None, "targets": 0}, None) == []
    wordless = FIRST | {"words": np.zeros(3, int)}
    keys = by_key(event(wordless), None, wordless).keys()
    assert "word_perplexity" not in keys
    assert "byte_perplexity" in keys


def test_a_perplexity_beyond_every_number_is_infinite():
    huge = scores([1e6, 2e6], [1, 2])
    found = by_key(event(huge), event(huge), huge, huge)
    assert found["perplexity"].before.value == math.inf
    assert found["perplexity"].change.value == 0


def test_no_interval_begins_below_no_nats_at_all():
    columns = scores([1, 600, 2], [10, 200, 30])
    found = by_key(event(columns), None, columns)
    assert {"perplexity", "nats_per_token", "bits_per_byte", "word_perplexity"} <= found.keys()
    for key, measure in found.items():
        least = 1 if "perplexity" in key else 0
        assert measure.before.low == least < measure.before.value < measure.before.high
