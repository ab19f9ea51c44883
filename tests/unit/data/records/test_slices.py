from __future__ import annotations

import datasets
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from nextfill.core.errors import DataError
from nextfill.data.records.slices import Piece, read_pieces, resolve
from tests.properties import examples

LENGTHS = {"train": 137, "test": 20}
BOUND = st.one_of(st.just(""), st.integers(-300, 300).map(str))
PERCENT = st.one_of(st.just(""), st.integers(-100, 100).map(lambda n: f"{n}%"))


def ours(spec):
    pieces = resolve(spec, list(LENGTHS), LENGTHS.__getitem__)
    return list(read_pieces(pieces, lambda s: iter([f"{s}{i}" for i in range(LENGTHS[s])])))


def theirs(spec):
    every = {s: [f"{s}{i}" for i in range(n)] for s, n in LENGTHS.items()}
    parts = datasets.ReadInstruction.from_spec(spec).to_absolute(LENGTHS)
    return [name for p in parts for name in every[p.splitname][p.from_ : p.to]]


@given(st.lists(st.tuples(st.sampled_from(list(LENGTHS)), BOUND, BOUND), min_size=1, max_size=3))
@examples(100)
def test_slices_by_number_are_those_of_datasets(parts):
    spec = "+".join(f"{name}[{a}:{b}]" for name, a, b in parts)
    expected = theirs(spec)
    assume(expected)
    assert ours(spec) == expected


@given(st.sampled_from(list(LENGTHS)), PERCENT, PERCENT)
@examples(100)
def test_slices_by_percent_are_those_of_datasets(name, a, b):
    spec = f"{name}[{a}:{b}]"
    expected = theirs(spec)
    assume(expected)
    assert ours(spec) == expected


def test_sums_and_rounding():
    assert ours("train+test") == theirs("train+test")
    assert len(ours("train")) == 137
    assert len(ours("train[:50%](pct1_dropremainder)")) == 50
    assert ours("train[:10%] + train[80%:]") == theirs("train[:10%]+train[80%:]")


def test_a_slice_past_the_end_is_cut_as_in_datasets():
    assert len(ours("test[:5000]")) == 20


def test_counting_only_where_needed():
    def refuse(split):
        raise AssertionError(split)

    assert resolve("train[5:9]", ["train"], refuse) == (Piece("train", 5, 9),)
    assert resolve("train", ["train"], refuse) == (Piece("train"),)
    with pytest.raises(AssertionError):
        resolve("train[:10%]", ["train"], refuse)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("trian", "Did you mean 'train'?"),
        ("validation[:3]", "The splits here: train, test."),
        ("train[", "cannot be read"),
        ("train[5]", "cannot be read"),
        ("train[:1.5%]", "cannot be read"),
        ("train[:200%]", "cannot be read"),
        ("train[:5](closest)", "cannot be read"),
        ("train[:10%](up)", "cannot be read"),
        ("test[:5%](pct1_dropremainder)", "less than 100"),
        ("", "no split"),
        ("train+", "no split"),
        ("train[9:3]", "selects no records"),
        ("train[:-500]", "train holds 137 records"),
    ],
)
def test_what_cannot_be_read_says_so(spec, expected):
    with pytest.raises(DataError) as caught:
        ours(spec)
    assert expected in str(caught.value)
