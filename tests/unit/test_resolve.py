"""Which settings hold, and those of a generation that contradict one another."""

from __future__ import annotations

import pytest

from nextfill.config import GenerateConfig, TrainConfig
from nextfill.errors import ConfigError
from nextfill.given import keywords_to_given
from nextfill.resolve.texts import generate_config
from nextfill.resolve.training import LORA_LEARNING_RATE, train_config


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


def settled(recipe=None, **keywords):
    given, problems = keywords_to_given(TrainConfig, keywords)
    return train_config(recipe, given, problems)


def test_an_adapter_has_a_rate_of_its_own_where_none_is_given():
    plain = settled(model="scratch:gpt2").training.learning_rate
    assert settled(model="scratch:gpt2", lora_rank=4).training.learning_rate == LORA_LEARNING_RATE
    assert 10 * plain == LORA_LEARNING_RATE
    assert settled(model="scratch:gpt2", lora_rank=4, learning_rate=1).training.learning_rate == 1
    assert settled("eli5-causal", lora_rank=4).training.learning_rate == 2e-5  # it names one
    assert settled(lora_rank=4).training.learning_rate == settled().training.learning_rate == 2e-3


def test_a_run_brings_how_it_was_trained_but_not_for_how_many_steps(tmp_path):
    (tmp_path / "config.toml").write_text(
        'seed = 7\n[model]\nname = "gpt2"\n[data]\nsource = "a.txt"\n[blocks]\nblock_size = 64\n'
        '[training]\nlearning_rate = 0.5\nmax_steps = 9\nsample_prompt = "A"\n'
    )
    config = settled(model=str(tmp_path))
    assert (config.training.learning_rate, config.blocks.block_size) == (0.5, 64)
    assert (config.training.max_steps, config.training.sample_prompt) == (None, None)
    assert (config.seed, config.data.source) == (0, TrainConfig().data.source)


def test_paths_are_told_as_one_would_write_them(tmp_path, monkeypatch):
    (tmp_path / "in").mkdir()
    (tmp_path / "a.txt").write_text("A.")
    monkeypatch.chdir(tmp_path / "in")
    assert settled(data="../a.txt").data.source == str(tmp_path / "a.txt")


def test_a_recipe_for_the_bundled_model_begins_with_the_quickstarts_settings(tmp_path):
    """As flags do, else the same job would be trained with another rate."""
    recipe = tmp_path / "mine.toml"
    text = tmp_path / "a.txt"
    text.write_text("A.")
    recipe.write_text(f'data = "{text}"\n[training]\nmax_steps = 2\n')
    by_recipe, by_flags = settled(recipe), settled(data=str(text), max_steps=2)
    assert by_recipe == by_flags
    assert by_recipe.training.learning_rate == 2e-3
    recipe.write_text(f'[[data]]\nsource = "{text}"\n[[data]]\nsource = "{text}"\n')
    assert settled(recipe).training.learning_rate == 2e-3
    assert [one.source for one in settled(recipe).data.each] == [str(text)] * 2
    recipe.write_text('model = "scratch:gpt2"')
    assert settled(recipe).training.learning_rate == TrainConfig().training.learning_rate
    assert settled(recipe, model="builtin:base-causal").training.learning_rate == 2e-3
