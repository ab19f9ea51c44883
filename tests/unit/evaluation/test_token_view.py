"""The token view: documents that are shown token by token."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from nextfill.evaluation.scores import DocumentScores
from nextfill.evaluation.token_view import choose_documents


def scores(nats, targets=None, document=None):
    count = len(nats)
    same = np.full(count, 100)
    targets = same if targets is None else np.array(targets)
    document = np.arange(count) if document is None else np.array(document)
    return DocumentScores(document, np.array(nats, float), targets, *[same] * 4)


def test_those_that_gained_and_lost_most():
    before, after = [50, 50, 50, 50, 50], [40, 60, 50, 49, 51]
    chosen = choose_documents(scores(after), scores(before), 4)
    assert chosen == {0: "gained most", 3: "gained most", 1: "lost most", 4: "lost most"}


def test_where_all_gained_the_other_end_gained_least():
    chosen = choose_documents(scores([10, 20, 30]), scores([50, 50, 50]), 2)
    assert chosen == {0: "gained most", 2: "gained least"}
    chosen = choose_documents(scores([50, 60, 50]), scores([10, 50, 50]), 3)
    assert chosen == {2: "as before", 1: "lost least", 0: "lost most"}


def test_of_one_model_those_that_cost_most_come_first():
    assert choose_documents(scores([5, 9, 1, 7]), None, 3) == {
        **{1: "costs most", 3: "costs most"},
        2: "costs least",
    }


def test_short_documents_only_where_there_are_too_few_longer_ones():
    lengths = [100, 3, 50, 4]
    assert set(choose_documents(scores([5, 9, 1, 1], lengths), None, 2)) == {0, 2}
    assert set(choose_documents(scores([5, 9, 1, 1], lengths), None, 3)) == {0, 2, 3}
    assert set(choose_documents(scores([5, 9, 1, 1], [5, 3, 3, 4]), None, 2)) == {0, 3}
    assert len(choose_documents(scores([5, 9, 1, 1], lengths), None, 6)) == 4


def test_it_is_the_change_of_a_token_that_counts():
    chosen = choose_documents(scores([80, 85], [20, 200]), scores([90, 100], [20, 200]), 1)
    assert chosen == {0: "gained most"}  # half a nat of each token, and not 0.075


def test_documents_that_both_were_scored_on():
    first, second = scores([1, 2, 3], document=[2, 5, 8]), scores([9, 9], document=[5, 9])
    assert choose_documents(first, second, 6) == {5: "gained most"}


@given(st.lists(st.integers(0, 99), min_size=1, max_size=12), st.integers(1, 15))
def test_none_twice_and_as_many_as_there_are(nats, number):
    chosen = choose_documents(scores(nats), scores([50] * len(nats)), number)
    assert len(chosen) == min(number, len(nats))
