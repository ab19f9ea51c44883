"""The masked objective: what is hidden, how, how often, and what that hangs on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from nextfill.core.errors import ConfigError
from nextfill.data.packing.block_reader import NO_TARGET, Blocks
from nextfill.objectives.batch import Batch
from nextfill.objectives.masked import CUMULATIVE, HIGHEST_RATE, MEAN_LENGTH, Masking, masked

MASK, FIRST, VOCABULARY = 4, 5, 1000
SPECIAL = np.array([0, 1, 2, MASK])
UNITS = ("token", "word", "span")
BY_TOKEN = Masking(0.15, "token", MASK, SPECIAL, np.arange(FIRST, VOCABULARY))


def make_blocks(
    tokens: Any, starts: Any = None, documents: Any = None, special: Any = None
) -> Blocks:
    tokens = np.array(tokens, np.int64)
    none = np.zeros(tokens.shape, np.int64)
    return Blocks(
        tokens=tokens,
        next_tokens=none,
        position_ids=none,
        document_ids=none if documents is None else np.array(documents, np.int64),
        special=none > 0 if special is None else np.array(special, np.bool_),
        numbers=np.arange(len(tokens)),
        word_starts=None if starts is None else np.array(starts, np.bool_),
    )


def keys_of(blocks: Blocks, seed: int = 0) -> list[tuple[int, ...]]:
    return [(seed, 0, number) for number in blocks.numbers.tolist()]


def long_documents(rows: int, width: int, seed: int = 0) -> Blocks:
    """Return rows of one document each, in words of 1 to 4 tokens; a row may begin inside a one."""
    rng = np.random.default_rng(seed)
    tokens = rng.integers(FIRST, VOCABULARY, (rows, width))
    return make_blocks(tokens, rng.random((rows, width)) < 0.6)


@st.composite
def any_blocks(draw: st.DrawFn) -> Blocks:
    """Rows of documents with frames, padding, special tokens in the text, cut words."""
    rows, width = draw(st.integers(1, 4)), draw(st.integers(1, 40))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    tokens = rng.integers(0, draw(st.sampled_from([8, VOCABULARY])), (rows, width))
    documents = np.cumsum(rng.random((rows, width)) < draw(st.sampled_from([0, 0.05, 0.3])), axis=1)
    if draw(st.booleans()):
        documents[np.arange(width) >= rng.integers(0, width + 1, rows)[:, None]] = -1
    special = (rng.random((rows, width)) < draw(st.sampled_from([0, 0.1]))) | (documents < 0)
    starts = rng.random((rows, width)) < draw(st.sampled_from([0.2, 0.7, 1]))
    return make_blocks(tokens, starts & ~special, documents, special)


maskings = st.builds(
    replace,
    st.just(BY_TOKEN),
    rate=st.sampled_from([0.01, 0.15, 0.3, HIGHEST_RATE]),
    unit=st.sampled_from(UNITS),
    mask_share=st.sampled_from([0, 0.5, 0.8]),
    random_share=st.sampled_from([0, 0.1, 0.2]),
)


def candidates(blocks: Blocks) -> NDArray[np.bool_]:
    spelled = np.isin(blocks.tokens, SPECIAL)
    return ~blocks.special & (blocks.document_ids >= 0) & ~spelled


def words_of(blocks: Blocks, row: int) -> list[list[int]]:
    """Return the positions of each word of a row, found one by one."""
    assert blocks.word_starts is not None
    found: list[list[int]] = []
    before = None
    for place, document in enumerate(blocks.document_ids[row].tolist()):
        if blocks.word_starts[row, place] or document != before:
            found.append([])
        found[-1].append(place)
        before = document
    return found


@given(blocks=any_blocks(), masking=maskings)
def test_labels_stand_at_the_chosen_and_nothing_else_is_touched(
    blocks: Blocks, masking: Masking
) -> None:
    before = blocks.tokens.copy()
    batch = masked(blocks, masking, keys_of(blocks))
    chosen = batch.labels != NO_TARGET
    assert np.array_equal(blocks.tokens, before)
    assert np.array_equal(batch.labels[chosen], before[chosen])
    assert np.array_equal(batch.input_ids[~chosen], before[~chosen])
    assert not (chosen & ~candidates(blocks)).any()
    now = batch.input_ids[chosen]
    assert np.isin(now[now != before[chosen]], [MASK, *masking.random_ids]).all()
    assert batch.position_ids is blocks.position_ids
    assert batch.document_ids is blocks.document_ids
    for share, ids in ((masking.mask_share, [MASK]), (masking.random_share, masking.random_ids)):
        if share == 0 and masking.mask_share + masking.random_share < 1:
            assert not np.isin(now[now != before[chosen]], ids).any()


@given(blocks=any_blocks(), masking=maskings, which=st.integers(0, 3), more=st.integers(0, 9))
def test_a_row_is_masked_alike_wherever_it_stands(
    blocks: Blocks, masking: Masking, which: int, more: int
) -> None:
    """Not its neighbours, nor the width, nor the padding change anything."""
    whole = masked(blocks, masking, keys_of(blocks))
    row = which % len(blocks.tokens)
    width = max(1, int((blocks.document_ids[row] >= 0).sum()))

    def resized(array: Any, filler: int) -> Any:
        return np.pad(array[row : row + 1, :width], ((0, 0), (0, more)), constant_values=filler)

    alone = make_blocks(
        resized(blocks.tokens, 1),
        resized(blocks.word_starts, 0),
        resized(blocks.document_ids, -1),
        resized(blocks.special, 1),
    )
    batch = masked(alone, masking, [keys_of(blocks)[row]])
    for name in ("input_ids", "labels"):
        expected = getattr(whole, name)[row, :width]
        assert getattr(batch, name)[0, :width].tolist() == expected.tolist()


@pytest.mark.parametrize("unit", UNITS)
def test_full_rows_are_masked_alike_alone(unit: str) -> None:
    blocks, masking = long_documents(8, 64), replace(BY_TOKEN, unit=unit, rate=0.4)
    assert blocks.word_starts is not None
    together = masked(blocks, masking, keys_of(blocks))
    for row in range(8):
        alone = make_blocks(blocks.tokens[row : row + 1], blocks.word_starts[row : row + 1])
        batch = masked(alone, masking, [keys_of(blocks)[row]])
        assert batch.input_ids[0].tolist() == together.input_ids[row].tolist()


@given(blocks=any_blocks(), masking=maskings)
def test_words_are_hidden_whole(blocks: Blocks, masking: Masking) -> None:
    masking = replace(masking, unit="span" if masking.unit == "token" else masking.unit)
    chosen = masked(blocks, masking, keys_of(blocks)).labels != NO_TARGET
    may = candidates(blocks)
    for row in range(len(chosen)):
        for word in words_of(blocks, row):
            inside = chosen[row, word][may[row, word]]
            assert inside.all() or not inside.any()


def test_by_hand() -> None:
    """Two pieces in a row, both of which begin within a word; one spells a special token."""
    # cls a a b </s> c sep | cls d d d e sep pad
    tokens = [[0, 10, 11, 12, 2, 13, 2, 0, 14, 15, 16, 17, 2, 1]]
    starts = [[0, 0, 0, 1, 1, 1, 0, 0, 0, 0, 0, 1, 0, 0]]
    documents = [[0] * 7 + [1] * 6 + [-1]]
    special = [[1, 0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 1, 1]]
    blocks = make_blocks(tokens, starts, documents, special)
    words = {(10, 11), (12,), (13,), (14, 15, 16), (17,)}
    seen = set()
    together: dict[str, set[tuple[bool, bool]]] = {"word": set(), "span": set()}
    for unit, found in together.items():
        for seed in range(200):
            masking = replace(BY_TOKEN, unit=unit, rate=0.4, mask_share=1.0, random_share=0.0)
            batch = masked(blocks, masking, [(seed,)])
            hidden = batch.labels[0][batch.labels[0] != NO_TARGET].tolist()
            found.add((13 in hidden, 14 in hidden))
            assert (batch.input_ids[0][np.isin(tokens[0], hidden)] == MASK).all()
            for word in words:
                assert set(word) <= set(hidden) or not set(word) & set(hidden)
                seen |= {(unit, word)} if word[0] in hidden else set()
    assert [len(found) for found in together.values()] == [4, 4]  # no word crosses the border
    assert seen == {(unit, word) for unit in ("word", "span") for word in words}


def test_the_masks_of_a_key_stay_as_they_are() -> None:
    """A change here changes the figures of every masked model that was ever scored."""
    blocks = make_blocks([range(100, 140)], [[place % 3 != 1 for place in range(40)]])
    expected = {
        "token": {4: MASK, 5: 817, 14: MASK, 17: MASK, 19: MASK, 26: MASK},
        "word": {5: 817, 14: MASK, 17: MASK, 26: MASK},
        "span": dict.fromkeys(range(33, 38), MASK),
    }
    for unit, hidden in expected.items():
        batch = masked(blocks, replace(BY_TOKEN, unit=unit), [(0, 0, 0)])
        places = np.flatnonzero(batch.labels[0] != NO_TARGET).tolist()
        assert {place: int(batch.input_ids[0, place]) for place in places} == hidden


def test_what_cannot_be() -> None:
    def problems(**changes: Any) -> Sequence[str]:
        with pytest.raises(ConfigError) as found:
            replace(BY_TOKEN, **changes)
        return found.value.problems

    for rate in (0.0, 1.0, -0.1, 15.0, float("nan")):
        assert problems(rate=rate) == (
            f"--mask-rate: found {rate}; expected more than 0 and less than 1",
        )
    (told,) = problems(rate=0.6, unit="span")
    assert "--mask-rate: found 0.6; with --masking span expected at most 0.5" in told
    assert replace(BY_TOKEN, rate=0.6, unit="word").rate == 0.6
    (told,) = problems(mask_share=0.95)
    assert told == "--mask-share 0.95 and --random-share 0.1 add up to 1.05; expected at most 1"
    assert len(problems(rate=2.0, mask_share=-1.0, random_share=1.5)) == 3
    (told,) = problems(random_ids=np.array([], np.int64))
    assert "--random-share 0" in told
    replace(BY_TOKEN, random_ids=np.array([], np.int64), random_share=0.0)
    replace(BY_TOKEN, mask_share=0.7, random_share=0.1 + 0.2)
    blocks = make_blocks([[5, 6]])
    with pytest.raises(ValueError, match="2 keys for 1 rows"):
        masked(blocks, BY_TOKEN, [(0,), (1,)])
    with pytest.raises(ValueError, match="word_starts"):
        masked(blocks, replace(BY_TOKEN, unit="word"), [(0,)])
    none = make_blocks(np.empty((0, 8)), np.empty((0, 8)))
    for unit in UNITS:
        assert masked(none, replace(BY_TOKEN, unit=unit), []).labels.shape == (0, 8)


# Statistics, over a million tokens each. A test fails by chance once in 10,000 times; the seeds are
# fixed, so that it does so always or never.
ROWS, WIDTH = 2048, 512
QUANTILE = 3.719  # of the normal distribution, for 1e-4 on one side
BLOCKS = long_documents(ROWS, WIDTH)


def critical(degrees: int) -> float:
    """Return what chi-square exceeds with probability 1e-4 (Wilson and Hilferty 1931)."""
    spread = 2 / (9 * degrees)
    return float(degrees * (1 - spread + QUANTILE * spread**0.5) ** 3)


@pytest.mark.parametrize("degrees", [2, 10, 32, 50])
def test_the_critical_values(degrees: int) -> None:
    """Rather too large; for even degrees the probability is a sum of Poisson's."""
    half = critical(degrees) / 2
    terms = [half**k / math.factorial(k) for k in range(degrees // 2)]
    assert 0.5e-4 < math.exp(-half) * sum(terms) < 1.1e-4


def chi_square(counts: NDArray[Any], shares: Any) -> tuple[float, float]:
    """Return the statistic and its critical value."""
    expected = np.asarray(shares) / np.sum(shares) * counts.sum()
    assert expected.min() > 5
    return float(((counts - expected) ** 2 / expected).sum()), critical(len(counts) - 1)


@pytest.fixture(scope="module")
def batches() -> dict[str, Batch]:
    assert BLOCKS.tokens.size > 1_000_000
    return {unit: masked(BLOCKS, replace(BY_TOKEN, unit=unit), keys_of(BLOCKS)) for unit in UNITS}


def test_each_place_is_chosen_as_often(batches: dict[str, Batch]) -> None:
    chosen = (batches["token"].labels != NO_TARGET).reshape(ROWS, 32, -1).sum(axis=(0, 2))
    places = ROWS * WIDTH / 32
    statistic = ((chosen - 0.15 * places) ** 2 / (places * 0.15 * 0.85)).sum()
    assert statistic < critical(32)


@pytest.mark.parametrize("unit", UNITS)
def test_what_becomes_of_the_chosen(batches: dict[str, Batch], unit: str) -> None:
    batch = batches[unit]
    chosen = batch.labels != NO_TARGET
    now, before = batch.input_ids[chosen], batch.labels[chosen]
    hidden, kept = now == MASK, now == before
    if unit == "span":  # of its spans one token each: the others share its fate
        first = chosen.copy()
        first[:, 1:] &= ~chosen[:, :-1]
        hidden, kept = hidden[first[chosen]], kept[first[chosen]]
    random = ~hidden & ~kept
    again = 0.1 / len(BY_TOKEN.random_ids)  # a random token that is the one before
    counts = np.array([hidden.sum(), random.sum(), kept.sum()])
    statistic, limit = chi_square(counts, [0.8, 0.1 - again, 0.1 + again])
    assert statistic < limit


@pytest.mark.parametrize("unit", UNITS)
def test_random_tokens_are_uniform(batches: dict[str, Batch], unit: str) -> None:
    batch = batches[unit]
    now, before = batch.input_ids, batch.labels
    swapped = now[(before != NO_TARGET) & (now != MASK) & (now != before)]
    bins = (swapped - FIRST) // 20
    counts = np.bincount(bins, minlength=50)
    sizes = np.bincount((BY_TOKEN.random_ids - FIRST) // 20)
    assert swapped.min() >= FIRST
    statistic, limit = chi_square(counts, sizes)
    assert statistic < limit


def test_whole_words_hide_their_share(batches: dict[str, Batch]) -> None:
    assert BLOCKS.word_starts is not None
    chosen = batches["word"].labels != NO_TARGET
    begins = BLOCKS.word_starts.copy()
    begins[:, 0] = True
    sizes = np.diff(np.flatnonzero(begins), append=begins.size)
    error = np.sqrt(0.15 * 0.85 * (sizes**2).sum()) / begins.size
    assert abs(chosen.mean() - 0.15) < 3 * error
    statistic, limit = chi_square(np.bincount(chosen[begins], minlength=2), [0.85, 0.15])
    assert statistic < limit


def test_spans_hide_their_share(batches: dict[str, Batch]) -> None:
    rows = (batches["span"].labels != NO_TARGET).mean(axis=1)
    assert abs(rows.mean() - 0.15) < 3 * rows.std() / ROWS**0.5


def test_lengths_of_spans_are_geometric(batches: dict[str, Batch]) -> None:
    """In words, as one sees them: runs of hidden words in rows of one long document."""
    chosen = batches["span"].labels != NO_TARGET
    assert BLOCKS.word_starts is not None
    begins = BLOCKS.word_starts.copy()
    begins[:, 0] = True
    hidden = np.pad(chosen[begins].astype(int), 1)
    row = np.flatnonzero(begins) // WIDTH
    border = np.flatnonzero(np.diff(row)) + 2  # first word of a row, in `hidden`
    edges = np.diff(hidden)
    first, last = np.flatnonzero(edges == 1) + 1, np.flatnonzero(edges == -1) + 1
    across = np.searchsorted(border, first, "right") != np.searchsorted(border, last - 1, "right")
    lengths = (last - first)[~across]  # two spans at the border of two rows look like one
    assert across.sum() < 0.002 * len(lengths)
    counts = np.bincount(lengths, minlength=11)[1:]
    assert len(counts) == 10
    statistic, limit = chi_square(counts, 0.8 ** np.arange(10))
    assert statistic < limit
    assert lengths.mean() == pytest.approx(3.797, abs=0.05)


def test_each_place_is_in_a_span_as_often(batches: dict[str, Batch]) -> None:
    """But for the few words at either end, which fewer spans can reach."""
    chosen = batches["span"].labels != NO_TARGET
    quarters = chosen.reshape(ROWS, 16, -1).mean(axis=2)
    error = quarters.std(axis=0) / ROWS**0.5
    assert (np.abs(quarters.mean(axis=0) - 0.15) < 4 * error).all()


@pytest.mark.parametrize("words", [1, 2, 3, 5, 9, 10, 11, 14, 24])
def test_short_documents_hide_their_share(words: int) -> None:
    rows = 4096
    blocks = make_blocks(np.full((rows, words), 7), np.ones((rows, words)))
    chosen = masked(blocks, replace(BY_TOKEN, unit="span"), keys_of(blocks)).labels != NO_TARGET
    shares = chosen.mean(axis=1)
    assert abs(shares.mean() - 0.15) < 3.5 * shares.std() / rows**0.5


@pytest.mark.parametrize(("words", "least"), [(8, 0.89), (12, 0.87), (30, 0.98), (64, 0.99)])
def test_spans_that_do_not_fit_are_left_out(words: int, least: float) -> None:
    rows = 4096
    blocks = make_blocks(np.full((rows, words), 7), np.ones((rows, words)))
    masking = replace(BY_TOKEN, unit="span", rate=HIGHEST_RATE)
    chosen = masked(blocks, masking, keys_of(blocks)).labels != NO_TARGET
    assert least < chosen.mean() / HIGHEST_RATE < 1.01
    runs = np.diff(np.flatnonzero(np.diff(np.pad(chosen, ((0, 0), (1, 1))).reshape(-1))))[::2]
    assert runs.max() == min(words, 10)  # none touches another


def test_the_lengths_of_short_documents() -> None:
    assert MEAN_LENGTH[10] == pytest.approx(3.797, abs=1e-3)
    assert (MEAN_LENGTH[1], MEAN_LENGTH[2]) == (1, pytest.approx(1 + 0.8 / 1.8))
    assert CUMULATIVE[2].tolist() == [pytest.approx(1 / 1.8), *[1.0] * 9]


def test_two_epochs_and_two_blocks_have_masks_of_their_own() -> None:
    blocks = make_blocks(np.full((3, 512), 7), np.ones((3, 512)))
    for unit in UNITS:
        masking = replace(BY_TOKEN, unit=unit)
        batch = masked(blocks, masking, [(0, 0, 0), (0, 1, 0), (0, 0, 1)])
        chosen = batch.labels != NO_TARGET
        for one, other in ((0, 1), (0, 2), (1, 2)):
            assert (chosen[one] & chosen[other]).sum() < 0.6 * chosen[one].sum()
