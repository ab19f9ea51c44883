"""Settings of a generation that contradict one another."""

from __future__ import annotations

import pytest

from nextfill.config import GenerateConfig
from nextfill.errors import ConfigError
from nextfill.recipe import keywords_to_given
from nextfill.resolve import generate_config


def resolved(**keywords):
    given, problems = keywords_to_given(GenerateConfig, keywords)
    return generate_config(given, problems)


@pytest.mark.parametrize(
    ("keywords", "telling"),
    [
        ({"greedy": True, "temperature": 1.0}, "--temperature would change nothing"),
        ({"greedy": True, "top_k": 5, "min_p": 0.1}, "--top-k and --min-p would"),
        ({"greedy": True, "num_samples": 2}, "leave out --num-samples"),
        ({"greedy": True, "num_beams": 2}, "leave one of them out"),
        ({"num_beams": 2, "num_samples": 3}, "give --num-beams 3"),
        ({"length_penalty": 1.0}, "give --num-beams 2 or more"),
        ({"min_new_tokens": 5, "max_new_tokens": 4}, "--min-new-tokens 5 is above"),
        ({"prompt_field": "a"}, "a field of --prompts"),
        ({"out": "texts.json"}, "has to end in .jsonl"),
        ({"stop": [""]}, "at least 1 character"),
        ({"stop": "word"}, "valid list"),
        ({"min_p": 2}, "less than or equal to 1"),
        ({"repetition_penalty": 0}, "greater than 0"),
        ({"num_beams": 0}, "greater than or equal to 1"),
    ],
)
def test_a_contradiction_is_told(keywords, telling):
    with pytest.raises(ConfigError) as caught:
        resolved(**keywords)
    assert len(caught.value.problems) == 1
    assert telling in str(caught.value)


def test_all_are_told_at_once():
    with pytest.raises(ConfigError) as caught:
        resolved(greedy=True, top_p=0.5, length_penalty=2, min_new_tokens=101, num_samples=2)
    assert len(caught.value.problems) == 4


@pytest.mark.parametrize(
    ("keywords", "samples"),
    [
        ({}, True),
        ({"greedy": True}, False),
        ({"num_beams": 3, "num_samples": 3, "length_penalty": -1}, False),
        ({"num_beams": 3, "top_k": 5}, True),
        ({"stop": ["a", "\n"], "min_new_tokens": 100}, True),
    ],
)
def test_what_goes_together(keywords, samples):
    assert resolved(**keywords).generation.samples is samples
