"""OpenAI's API by its own client: texts, streams, log-probabilities, chats, refusals."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor

import openai
import pytest

import nextfill

CAUSAL = "builtin:base-causal"
OURS = {"top_p": 0.95, "extra_body": {"top_k": 50}}
"""The defaults of `nextfill generate`."""


def completed(client, prompt="Return the", **asked):
    asked = {"model": CAUSAL, "max_tokens": 12, "seed": 3, **asked}
    return client.completions.create(prompt=prompt, **asked)


def test_the_models_are_listed(client):
    by_name = {one.id: one for one in client.models.list()}
    assert by_name[CAUSAL].objective == "causal"
    assert by_name["talker"].chat
    assert by_name["builtin:base-masked"].objective == "masked"
    assert client.models.retrieve(CAUSAL).id == CAUSAL


def test_a_text_is_that_of_generate(client):
    found = completed(client, n=3, **OURS)
    settings = {"max_new_tokens": 12, "seed": 3, "num_samples": 3, "precision": "fp32"}
    texts = nextfill.generate(CAUSAL, "Return the", device="cpu", **settings)
    assert [f"Return the{one.text}" for one in found.choices] == [
        t["generated_text"] for t in texts
    ]
    assert [one.index for one in found.choices] == [0, 1, 2]
    assert found.usage.total_tokens == found.usage.prompt_tokens + found.usage.completion_tokens


def test_a_prompt_is_read_once_for_all_its_texts(client, served):
    loop = served.service.loaded_models()[0].loop
    before, prompt = loop.tokens_read, "Return the sum of " * 8
    asked = {"n": 6, "max_tokens": 8, "logprobs": 1, "echo": True}
    found = completed(client, prompt, **asked)
    assert loop.tokens_read - before == found.usage.prompt_tokens
    alone = [completed(client, prompt, **{**asked, "n": n}).choices[n - 1] for n in (1, 6)]
    for one, other in zip((found.choices[0], found.choices[5]), alone, strict=True):
        assert one == other  # to the last bit of each log-probability


def test_a_stream_is_the_text_in_pieces(client):
    asked = {"max_tokens": 40, "n": 2, "prompt": ["Return the", "Convert a"], **OURS}
    whole = completed(client, **asked)
    texts = dict.fromkeys(range(4), "")
    ends, usage = {}, None
    options = {"include_usage": True}
    for chunk in completed(client, stream=True, stream_options=options, **asked):
        usage = chunk.usage
        for one in chunk.choices:
            texts[one.index] += one.text
            ends[one.index] = one.finish_reason
    assert list(texts.values()) == [one.text for one in whole.choices]
    assert list(ends.values()) == [one.finish_reason for one in whole.choices]
    assert usage.completion_tokens == whole.usage.completion_tokens


MANY = [["", "A " * 60], ["", "Return", "Compute the mean of", "Args:\n    x", "A " * 60, "If"]]


@pytest.mark.parametrize("prompts", [MANY[0], pytest.param(MANY[1], marks=pytest.mark.trial)])
def test_many_at_once_get_what_each_gets_alone(client, prompts):
    asked = [
        {"prompt": prompt, "seed": seed, "max_tokens": 24, "temperature": temperature, **extra}
        for seed, prompt in enumerate(prompts)
        for temperature, extra in ((1.0, {}), (0.7, OURS), (0, {"frequency_penalty": 0.5}))
    ]
    alone = [completed(client, **one).choices[0].text for one in asked]
    for _ in range(2):
        with ThreadPoolExecutor(len(asked)) as pool:
            together = [*pool.map(lambda one: completed(client, **one).choices[0].text, asked)]
        assert together == alone


def test_log_probabilities_add_up(client, http):
    text = "Return the mean of the values."
    told = completed(client, text, echo=True, max_tokens=0, logprobs=3).choices[0]
    assert told.text == text
    assert "".join(told.logprobs.tokens[1:]) == text  # the first is the start of a text
    assert told.logprobs.token_logprobs[0] is None
    scored = http.post("/score", json={"model": CAUSAL, "text": text, "alternatives": 2}).json()
    nats = [-one for one in told.logprobs.token_logprobs[1:]]
    assert [one["nats"] for one in scored["tokens"]] == pytest.approx(nats, abs=1e-5)
    assert scored["nats"] == pytest.approx(sum(nats), abs=1e-4)
    assert "".join(one["text"] for one in scored["tokens"]) == text
    greedy = completed(client, text, temperature=0, max_tokens=6, logprobs=2).choices[0]
    for token, chance, top in zip(
        *(greedy.logprobs.tokens, greedy.logprobs.token_logprobs, greedy.logprobs.top_logprobs),
        strict=True,
    ):
        assert top[token] == chance == max(top.values())
        assert sum(map(math.exp, top.values())) <= 1
    lengths = [0, *map(len, greedy.logprobs.tokens[:-1])]
    assert greedy.logprobs.text_offset == [sum(lengths[: n + 1]) for n in range(len(lengths))]


def test_an_echo_changes_no_bit_of_what_comes(client):
    prompts = ["caf\u00e9 \u65e5\u672c", "Return the mean of", "A " * 33]
    asked = {"max_tokens": 4, "temperature": 0, "logprobs": 2}
    plain = completed(client, prompts, **asked)
    echoed = completed(client, prompts, echo=True, **asked)
    for one, other in zip(plain.choices, echoed.choices, strict=True):
        number = len(one.logprobs.tokens)
        assert other.logprobs.token_logprobs[-number:] == one.logprobs.token_logprobs


def test_offsets_are_places_in_the_text(client, chat_model):
    text = "caf\u00e9 \u65e5\u672c \U0001f600!"
    told = completed(client, text, echo=True, max_tokens=0, logprobs=0).choices[0].logprobs
    assert told.text_offset[:2] == [0, 0]  # the start of a text is no part of it
    for token, at, end in zip(
        told.tokens, told.text_offset, [*told.text_offset[1:], len(text)], strict=True
    ):
        if not token.startswith("<"):
            assert text[at:].startswith(token)
            assert end == at + len(token)
    assert (told.tokens[-1], told.text_offset[-1]) == ("!", len(text) - 1)
    bytes_of = {"<C3>": 0xC3, "<A9>": 0xA9}
    messages = [{"role": "user", "content": "x"}]
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(chat_model)
    first, second = tokenizer.convert_tokens_to_ids(["\u00c3", "\u00a9"])  # bytes by their entries
    for token, spelled in ((first, "<C3>"), (second, "<A9>")):
        answer = client.chat.completions.create(
            model="talker", messages=messages, max_tokens=1, logprobs=True, logit_bias={token: 100}
        )
        (one,) = answer.choices[0].logprobs.content
        assert (one.token, one.bytes) == (spelled, [bytes_of[spelled]])


def test_a_text_ends_before_a_stop_string(client):
    whole = completed(client, max_tokens=30, temperature=0).choices[0].text
    for stop in (whole[5:9], [whole[8:11], "never"]):
        told = completed(client, max_tokens=30, temperature=0, stop=stop).choices[0]
        first = stop if isinstance(stop, str) else stop[0]
        assert told.text == whole[: whole.index(first)]
        assert (told.finish_reason, told.stop_reason) == ("stop", first)
        pieces = completed(client, max_tokens=30, temperature=0, stop=stop, stream=True)
        assert "".join(one.choices[0].text for one in pieces) == told.text


def test_tokens_are_a_prompt(client, http):
    scored = http.post("/score", json={"model": CAUSAL, "text": "Return the"}).json()["tokens"]
    ids = [0, *(one["id"] for one in scored)]
    asked = {"temperature": 0, "max_tokens": 8}
    of_ids, of_text = completed(client, [ids, ids[:2]], **asked), completed(client, **asked)
    assert of_ids.choices[0].text == of_text.choices[0].text
    assert len(of_ids.choices) == 2


def test_penalties_and_biases_are_heard(client):
    plain = completed(client, temperature=0, max_tokens=40).choices[0].text
    for extra in ({"frequency_penalty": 2}, {"presence_penalty": 2}):
        assert completed(client, temperature=0, max_tokens=40, **extra).choices[0].text != plain
    forced = completed(client, logit_bias={"269": 100}, max_tokens=3).choices[0].text
    assert forced == " the the the"
    repeated = {"extra_body": {"repetition_penalty": 3.0}}
    assert completed(client, temperature=0, max_tokens=40, **repeated).choices[0].text != plain


def test_a_chat_is_the_template_continued(client):
    messages = [{"role": "user", "content": [{"type": "text", "text": "Old stones?"}]}]
    asked = {"model": "talker", "messages": messages, "max_tokens": 8, "temperature": 0}
    told = client.chat.completions.create(logprobs=True, top_logprobs=2, **asked)
    same = {"model": "talker", "max_tokens": 8, "temperature": 0}
    plain = completed(client, "[user] Old stones?\n[assistant]", **same)
    assert told.choices[0].message.content
    assert len(told.choices[0].logprobs.content[0].top_logprobs) == 2
    stream = client.chat.completions.create(stream=True, **asked)
    pieces = [chunk.choices[0].delta for chunk in stream]
    assert pieces[0].role == "assistant"
    assert "".join(one.content for one in pieces) == told.choices[0].message.content
    assert plain.choices[0].text == told.choices[0].message.content
    with pytest.raises(openai.BadRequestError, match="no robots"):
        client.chat.completions.create(model="talker", messages=[{"role": "robot", "content": "x"}])
    with pytest.raises(openai.BadRequestError, match="no chat template"):
        client.chat.completions.create(model=CAUSAL, messages=messages)


REFUSED = {
    "no such field": {"extra_body": {"promt": "x"}},
    "the model 512 positions": {"prompt": "word " * 600},
    "maximum context length is 512": {"prompt": "word " * 400, "max_tokens": 300},
    "max-answer-tokens": {"max_tokens": 5000},
    "vocabulary": {"prompt": [10**6]},
    "temperature": {"temperature": -1},
    "top_p": {"top_p": 0},
    "marks? a prefix": {"suffix": "end"},
    "is a masked model": {"model": "builtin:base-masked"},
    "Expected 1 to 128": {"n": 100, "prompt": ["a", "b"]},
    "best_of": {"best_of": 5},
    "stream true": {"stream_options": {"include_usage": True}},
    "logit_bias": {"logit_bias": {"7000": 1}},
    "16 strings": {"stop": ["x"] * 17},
    "no token": {"prompt": [[]]},
}


@pytest.mark.parametrize("telling", REFUSED)
def test_what_cannot_be_done_is_refused(client, telling):
    with pytest.raises(openai.BadRequestError, match=telling) as raised:
        completed(client, **REFUSED[telling])
    assert raised.value.type == "invalid_request_error"


def test_an_unknown_model_is_named(client):
    with pytest.raises(openai.NotFoundError, match=r"Did you mean 'builtin:base-causal'"):
        completed(client, model="builtin:base-casual")
