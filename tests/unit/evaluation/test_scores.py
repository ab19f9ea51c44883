"""Scores and their files in a run: joined, read back as they were, and not read where damaged."""

from __future__ import annotations

import numpy as np
import pytest

from nextfill.evaluation.scores import (
    DocumentScores,
    TokenScores,
    read_scores,
    read_tokens,
    scores_file,
    tokens_file,
    write_scores,
    write_tokens,
)


def scores(*nats):
    count = np.arange(1, len(nats) + 1)
    return DocumentScores(count, np.array(nats, float), *[count * n for n in (2, 9, 8, 3, 1)])


def tokens(document, place):
    nats = np.linspace(0, 12, len(document), dtype=np.float32)
    return TokenScores(np.array(document), np.array(place), nats, nats > 3)


def test_documents_come_back_to_the_last_digit(tmp_path):
    file = scores_file(tmp_path / "evaluations", 7)
    kept = scores(0.1, 1 / 3, 1e9)
    write_scores(file, kept)
    found = read_scores(file)
    for name in ("document", "nats", "targets", "bytes", "characters", "words", "correct"):
        assert np.array_equal(getattr(found, name), getattr(kept, name))
    assert [path.name for path in file.parent.iterdir()] == ["step-00000007.npz"]


@pytest.mark.parametrize("place", [[0, 1, 2, 0, 1], [3, 9, 11, 0, 64_000]])
def test_tokens_come_back_as_closely_as_half_precision_goes(tmp_path, place):
    file = tokens_file(tmp_path / "evaluations", 0)
    kept = tokens([4, 4, 4, 9, 9], place)
    write_tokens(file, kept)
    found = read_tokens(file)
    assert np.array_equal(found.document, kept.document)
    assert np.array_equal(found.place, kept.place)
    np.testing.assert_allclose(found.nats, kept.nats, rtol=1e-3)
    with np.load(file) as columns:
        assert ("place" in columns) == (place[0] != 0)


def test_nats_beyond_half_precision_are_its_largest(tmp_path):
    file = tokens_file(tmp_path, 0)
    write_tokens(file, TokenScores(*(np.zeros(1, int),) * 2, np.array([1e6], np.float32), [True]))
    assert read_tokens(file).nats.tolist() == [65504.0]


def test_what_each_token_of_a_document_cost(tmp_path):
    found = tokens([4, 4, 4, 9, 9], [3, 5, 6, 0, 2]).spread(4, 8)
    assert np.isnan(found).tolist() == [True, True, True, False, True, False, False, True]


@pytest.mark.parametrize("content", [None, b"", b"PK\x03\x04nothing", b"\x93NUMPY"])
def test_what_is_gone_or_damaged_is_not_read(tmp_path, content):
    for read, file in (
        (read_scores, scores_file(tmp_path, 1)),
        (read_tokens, tokens_file(tmp_path, 1)),
    ):
        if content is not None:
            file.write_bytes(content)
        assert read(file) is None


def test_what_an_older_build_kept_is_not_enough(tmp_path):
    file = scores_file(tmp_path, 0)
    np.savez(file, document=np.arange(2), nats=np.ones(2))
    assert read_scores(file) is None
