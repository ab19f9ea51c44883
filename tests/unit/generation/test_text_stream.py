"""From tokens to text: stop strings, characters of several tokens, and streaming."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nextfill.generation.text_stream import (
    Decoder,
    StopAtStrings,
    Stream,
    certain_length,
    find_stop,
)

texts = st.text("ab\n", max_size=12)
stop_strings = st.lists(st.text("ab\n", min_size=1, max_size=4), min_size=1, max_size=3)


def letter_by_letter(text: str, stops: list[str], start: int) -> int | None:
    """Grow the text by a letter at a time until it ends with a stop string."""
    for length in range(start + 1, len(text) + 1):
        ended = [length - len(stop) for stop in stops if text[:length].endswith(stop)]
        if ended:
            return min(ended)
    return None


@given(texts, stop_strings, st.integers(0, 12))
def test_the_stop_string_that_is_complete_first_ends_the_text(text, stops, start):
    assert find_stop(text, stops, start) == letter_by_letter(text, stops, start)


@given(texts, stop_strings, texts)
def test_what_is_settled_stays_whatever_follows(text, stops, rest):
    if find_stop(text, stops) is not None:
        return
    shown = certain_length(text, stops)
    at = find_stop(text + rest, stops)
    assert at is None or shown <= at
    if shown < len(text):  # held back for a reason
        assert any(stop.startswith(text[shown:]) for stop in stops)


@pytest.mark.parametrize(
    ("text", "stops", "expected"),
    [
        ("abc", ["c"], 2),
        ("abc", ["abc", "b"], 1),  # b is complete before abc
        ("abc", ["abc", "bc"], 0),  # both are complete at once: the longer one
        ("abc", ["d"], None),
        ("", ["d"], None),
        ("a🙂b", ["🙂"], 1),
    ],
)
def test_examples(text, stops, expected):
    assert find_stop(text, stops) == expected


def test_without_stop_strings_all_is_settled():
    assert certain_length("abc", []) == 3


PROMPT = "the river stops"
letters = st.text("ab .\né🙂", max_size=14)


@pytest.fixture(scope="module")
def tokenizer(tiny_tokenizer):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tiny_tokenizer)


@pytest.fixture(scope="module")
def prompt(tokenizer):
    return tokenizer(PROMPT)["input_ids"]


@pytest.fixture(scope="module")
def byte_ids(tokenizer):
    """Return a function from a text to one token a byte, in which everything straddles tokens."""
    from tokenizers.pre_tokenizers import ByteLevel

    level = ByteLevel(add_prefix_space=False, use_regex=False)

    def ids(text: str) -> list[int]:
        pieces = "".join(piece for piece, _ in level.pre_tokenize_str(text))
        return [tokenizer.convert_tokens_to_ids(piece) for piece in pieces]

    return ids


def decoder(tokenizer, *stops, **options):
    return Decoder(tokenizer, frozenset({tokenizer.eos_token_id}), stops, **options)


def streamed(decoder, prompt, ids):
    pieces: list[str] = []
    stream = Stream(decoder, prompt, pieces.append)
    stream.put(torch.tensor([prompt]))
    shown = [""]
    for token in ids:
        stream.put(torch.tensor([token]))
        shown.append("".join(pieces))
    stream.end()
    return "".join(pieces), shown


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=letters, stops=st.lists(letters.filter(len), max_size=2), least=st.integers(0, 6))
def test_a_stream_is_the_text_and_takes_nothing_back(
    tokenizer, prompt, byte_ids, text, stops, least
):
    ids = byte_ids(text)
    made = decoder(tokenizer, *stops, min_new_tokens=least)
    final, stopped = made.text(prompt, ids)
    whole, shown = streamed(made, prompt, ids)
    assert whole == final
    assert all(final.startswith(part) for part in shown)
    assert "\ufffd" not in whole
    assert stopped or final == text
    if stopped and not least:
        assert not any(stop in final for stop in stops)


def test_half_a_stop_string_is_never_shown(tokenizer, prompt, byte_ids):
    made = decoder(tokenizer, "STOP")
    assert streamed(made, prompt, byte_ids("a STOP b"))[1][-1] == "a "
    whole, shown = streamed(made, prompt, byte_ids("a STO b"))
    assert whole == "a STO b"
    assert not {"a S", "a ST", "a STO"} & set(shown)


def test_the_prompt_does_not_count_nor_what_begins_in_it(tokenizer, prompt, byte_ids):
    assert decoder(tokenizer, "stop").text(prompt, byte_ids(" now")) == (" now", False)
    assert decoder(tokenizer, "ps no").text(prompt, byte_ids(" now")) == (" now", False)
    assert decoder(tokenizer, "stop").text(prompt, byte_ids(" stop!")) == (" ", True)


def test_a_stop_string_within_the_least_tokens_is_text(tokenizer, prompt, byte_ids):
    ids = byte_ids("ab ab ab")
    ends = {n: decoder(tokenizer, "ab", min_new_tokens=n).text(prompt, ids)[0] for n in range(9)}
    assert ends[0] == ends[1] == ""
    assert ends[2] == ends[4] == "ab "
    assert ends[5] == ends[7] == "ab ab "
    assert ends[8] == "ab ab ab"


def test_an_end_token_ends_the_text_and_what_follows_is_left_out(tokenizer, prompt, byte_ids):
    ids = [*byte_ids("abc"), tokenizer.eos_token_id, *byte_ids("STOP")]
    assert decoder(tokenizer, "STOP").text(prompt, ids) == ("abc", False)
    assert decoder(tokenizer).text(prompt, [*byte_ids("abc"), -1, -1]) == ("abc", False)


def test_each_row_of_a_batch_stops_alone(tokenizer, prompt, byte_ids):
    short = tokenizer("a")["input_ids"]
    made = StopAtStrings(decoder(tokenizer, "no"), [prompt, short])
    pads = [tokenizer.pad_token_id] * (len(prompt) - len(short))
    for texts, ended in [(("no", "yo"), [1, 0]), (("oh", "no"), [0, 1]), (("on", "yn"), [0, 0])]:
        first, second = (byte_ids(text) for text in texts)
        rows = torch.tensor([[*prompt, *first], [*pads, *short, *second]])
        assert made(rows, None).tolist() == [bool(number) for number in ended]
        beams = rows.repeat_interleave(3, dim=0)
        assert made(beams, None).tolist() == [bool(n) for n in ended for _ in range(3)]


def test_a_row_is_read_after_its_own_prompt():
    from tokenizers import Tokenizer, decoders, models
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel({"<s>": 0, "▁a": 1, "▁b": 2}, unk_token="<s>"))  # noqa: S106
    words.decoder = decoders.Metaspace()  # leaves the first word of a text without its space
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, bos_token="<s>")  # noqa: S106
    made = Decoder(tokenizer, frozenset())
    assert made.text([0], [1]) == ("a", False)
    assert made.text([0, 2], [1]) == (" a", False)
    stop = StopAtStrings(replace(made, stops=(" a",)), [[0], [0, 2]])
    rows = torch.tensor([[0, 0, 1], [0, 2, 1]]).repeat_interleave(2, dim=0)
    assert stop(rows, None).tolist() == [False, False, True, True]


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(letters, st.booleans()), max_size=5), letters.filter(len))
def test_the_quick_look_misses_nothing(tokenizer, prompt, byte_ids, parts, stop):
    made = decoder(tokenizer, stop)
    words = [tokenizer(text)["input_ids"] if whole else byte_ids(text) for text, whole in parts]
    ids = [token for word in words for token in (*word, tokenizer.pad_token_id)]
    for length in range(1, len(ids) + 1):
        if made.text(prompt, ids[:length])[1]:
            assert made.may_have_stopped(prompt, ids[:length])
            return


def test_a_long_token_after_many_short_ones(tiny_tokenizer, prompt, byte_ids):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_tokenizer)
    tokenizer.add_tokens([" " + "z" * 60])
    made = decoder(tokenizer, "🙂" * 20 + " z")
    ids = [*byte_ids("🙂" * 20), len(tokenizer) - 1]  # 80 tokens and one
    assert made.text(prompt, ids) == ("", True)
    assert made.may_have_stopped(prompt, ids)


def test_far_from_its_end_a_text_is_decoded_in_part_only(tokenizer, prompt, byte_ids):
    decoded: list[int] = []

    class Counting:
        def decode(self, ids, **options):
            decoded.append(len(ids))
            return tokenizer.decode(ids, **options)

    made = Decoder(Counting(), frozenset(), ("STOP",))
    long = byte_ids("a b " * 200)
    assert not made.may_have_stopped(prompt, long)
    assert max(decoded) < 50
    assert made.may_have_stopped(prompt, [*long, *byte_ids("STOP")])
    silent = [tokenizer.eos_token_id] * 100  # special tokens make no text
    assert made.may_have_stopped(prompt, [*long, *byte_ids("STO"), *silent, *byte_ids("P")])
