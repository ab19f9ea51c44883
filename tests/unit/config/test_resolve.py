"""Which settings hold, and those of a generation that contradict one another."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import pytest

from nextfill import config as cfg
from nextfill.config import GenerateConfig, TrainConfig
from nextfill.config.layers import build, keyword_assignments
from nextfill.config.options import Assignment
from nextfill.config.recipe_file import read_recipe, to_toml
from nextfill.config.resolve import LORA_LEARNING_RATE, generate_config, train_config
from nextfill.config.shipped_recipes import recipe_names
from nextfill.core.errors import ConfigError


def resolved(**keywords):
    given, problems = keyword_assignments(GenerateConfig, keywords)
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
    given, problems = keyword_assignments(TrainConfig, keywords)
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


@pytest.fixture
def models(tmp_path):
    """One model of every kind, and a run with no setting as it is by default."""
    folder, run = tmp_path / "folder", tmp_path / "run"
    folder.mkdir()
    run.mkdir()
    (folder / "config.json").write_text("{}")
    odd = TrainConfig(
        model=cfg.ModelConfig(name="gpt2"),
        blocks=cfg.BlocksConfig(
            block_size=31, packing="pad", end_of_document=False, isolate=False, window_rows=7
        ),
        masking=cfg.MaskingConfig(
            unit="span", rate=0.4, rate_start=0.6, rate_end=0.5, mask_share=0.5, random_share=0.3
        ),
        training=cfg.TrainingConfig(
            **{
                "epochs": 77.0,
                "max_steps": 9,
                "batch_size": 3,
                "micro_batch_size": 1,
                "least_steps": 5,
            },
            **{"learning_rate": 0.7, "weight_decay": 0.6, "beta1": 0.5, "beta2": 0.4},
            **{"epsilon": 0.3, "max_grad_norm": 9.0, "schedule": "wsd", "warmup_steps": 5.0},
            **{"dropout": 0.2, "normalize_by": "tokens", "eval_every": 3, "save_every": 2},
            **{"keep": "best", "early_stopping": 2, "gradient_checkpointing": True},
            **{"train_only": ["norms"], "freeze": ["*.bias"], "layer_rate_decay": 0.9},
            ema_decay=0.99,
            sample_prompt="A",
            backend="keras",
            keras_backend="jax",
            **{"optimizer": "sgd", "compile": True, "keep_checkpoints": 3, "schedule_start": 4},
            stages=[cfg.PlannedStage(end=4, num_steps=5, learning_rate=0.1, schedule="wsd")],
        ),
    )
    for section in ("blocks", "masking", "training"):
        for item in fields(getattr(odd, section)):
            plain = getattr(getattr(TrainConfig(), section), item.name)
            assert getattr(getattr(odd, section), item.name) != plain, item.name
    (run / "config.toml").write_text(to_toml(odd))
    names = ["builtin:base-causal", "builtin:base-masked", "scratch:llama", "scratch:bert", "a/b"]
    return [*names, str(folder), str(run)]


@pytest.mark.parametrize("recipe", recipe_names())
def test_a_recipe_that_ships_holds_as_it_is_written_with_every_model(
    recipe, models, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    text = tmp_path / "a.txt"
    text.write_text("A text.")
    written = build(TrainConfig, [read_recipe(recipe)])
    for name in (recipe, f"{recipe}.toml"):
        for model in models:
            found = settled(name, model=model, data=str(text))
            assert (found.model.name, found.data.source) == (model, str(text))
            assert replace(found, model=written.model, data=written.data) == written
            assert replace(found.data, source=written.data.source) == written.data
        own = settled(name)
        assert own == settled(name, model=written.model.name)
        assert own.training == written.training


@pytest.mark.parametrize("recipe", ["eli5-causal", "eli5-masked"])
def test_the_guides_are_the_guides_with_every_model(recipe, models):
    for model in models:
        config = settled(recipe, model=model)
        training, blocks, masking = config.training, config.blocks, config.masking
        assert (training.epochs, training.batch_size, training.learning_rate) == (3, 8, 2e-5)
        assert (training.weight_decay, training.schedule, training.warmup_steps) == (
            0.01,
            "linear",
            0,
        )
        assert (training.beta1, training.beta2, training.epsilon) == (0.9, 0.999, 1e-8)
        assert (training.max_grad_norm, training.dropout, training.keep) == (1.0, None, "last")
        assert training.early_stopping is training.max_steps is None
        assert (blocks.block_size, blocks.packing, blocks.window_rows) == (128, "concat", 1000)
        assert (blocks.end_of_document, blocks.isolate) == (False, False)
        assert (masking.unit, masking.rate, masking.rate_start or 0.15) == ("token", 0.15, 0.15)
        assert (masking.mask_share, masking.random_share) == (0.8, 0.1)
        assert (config.data.split, config.data.test_size) == ("train[:5000]", 0.2)


def test_a_copy_of_the_masked_guide_hides_what_the_guide_hides(models, tmp_path):
    """Where it is the user's own, what it leaves open is the model's."""
    copy = tmp_path / "mine.toml"
    copy.write_text(to_toml(build(TrainConfig, [read_recipe("eli5-masked")])))
    for model in models:
        masking = settled(copy, model=model).masking
        assert (masking.unit, masking.rate, masking.rate_start) == ("token", 0.15, 0.15)
        assert (masking.mask_share, masking.random_share) == (0.8, 0.1)


def test_a_share_to_hide_takes_the_place_of_all_of_the_quickstart():
    quickstart = settled(objective="masked").masking
    assert quickstart.training_rates[0] > quickstart.training_rates[1] > quickstart.rate == 0.15
    for settings, rates, scored in [
        ({"mask_rate": 0.5}, (0.5, 0.5), 0.5),
        ({"mask_rate_start": 0.5}, (0.5, 0.15), 0.15),
        ({"mask_rate_end": 0.5}, (0.5, 0.5), 0.15),
        ({"mask_rate": 0.2, "mask_rate_start": 0.5, "mask_rate_end": 0.3}, (0.5, 0.3), 0.2),
    ]:
        masking = settled(objective="masked", **settings).masking
        assert (masking.training_rates, masking.rate) == (rates, scored)
    assert settled(objective="masked", masking="word").masking.training_rates == (
        quickstart.training_rates
    )


def test_a_batch_size_that_is_given_is_not_made_smaller():
    assert settled().training.least_steps == 24
    assert settled(batch_size=16).training.least_steps is None
    both = settled(batch_size=16, least_steps=9).training
    assert (both.batch_size, both.least_steps) == (16, 9)
    assert settled(least_steps=9).training.batch_size == 16


def test_a_file_of_the_name_of_a_recipe_that_ships_is_the_users(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "eli5-causal.toml").write_text('data = "a.txt"\n')
    assert settled("eli5-causal.toml").training.learning_rate == 2e-3
    assert settled("eli5-causal").training.learning_rate == 2e-5


def test_a_run_brings_what_is_documented_and_nothing_of_one_run_alone(models):
    found, plain = settled(model=models[-1]), TrainConfig()
    recorded = build(TrainConfig, [read_recipe(Path(models[-1], "config.toml"))])
    of_one_run = ["max_steps", "eval_every", "save_every", "sample_prompt"]
    of_one_run += ["schedule_start", "stages"]
    training = replace(recorded.training, **dict.fromkeys(of_one_run))
    training = replace(training, backend="torch", keras_backend=None)
    assert found.training == training
    assert found.blocks == recorded.blocks
    assert found.masking == replace(recorded.masking, rate_start=None)
    assert (
        replace(
            found,
            **{name: getattr(plain, name) for name in ("model", "training", "blocks", "masking")},
        )
        == plain
    )


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


@pytest.mark.parametrize(
    ("typed", "refused"),
    [
        ({"rate": "0.15"}, True),  # as it is anyway
        ({"rate": "0.3", "unit": "word"}, True),
        ({"objective": "causal", "rate": "0.15"}, True),
        ({"objective": "masked", "rate": "0.15"}, False),
        ({"model": "builtin:base-masked", "rate": "0.15"}, False),
        ({}, False),
    ],
)
def test_masks_of_a_causal_model_are_refused_though_they_are_the_usual_ones(typed, refused):
    paths = {"objective": ("objective",), "model": ("model", "name")}
    layer = [
        Assignment(paths.get(name, ("masking", name)), value, f"--{name}")
        for name, value in typed.items()
    ]
    if not refused:
        assert train_config(None, layer)
        return
    with pytest.raises(ConfigError, match=r"--rate.*: masks are for masked models\. Give"):
        train_config(None, layer)
