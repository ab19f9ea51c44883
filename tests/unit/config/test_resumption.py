"""A refusal to change a run counts its settings, and no sentence of advice."""

from __future__ import annotations

import pytest

from nextfill.config import DataConfig, TrainConfig
from nextfill.config.data_places import with_names_of
from nextfill.config.layers import keyword_assignments
from nextfill.config.resumption import resumed_config
from nextfill.core.errors import ConfigError


@pytest.mark.parametrize(
    "changed", [{"learning_rate": 1e-3}, {"learning_rate": 1e-3, "seed": 7, "batch_size": 3}]
)
def test_each_setting_is_counted_once(tmp_path, changed):
    (tmp_path / "config.toml").write_text("seed = 1\n")
    layer, problems = keyword_assignments(TrainConfig, {"out": str(tmp_path), **changed})
    with pytest.raises(ConfigError) as refused:
        resumed_config(None, layer, problems)
    assert len(refused.value.problems) == len(changed)
    said = str(refused.value)
    assert ("settings cannot be used" in said) == (len(changed) > 1)
    assert "not 0.001. With --rewarm" in said
    assert said.count("A resumed run keeps its settings") == 1


@pytest.mark.parametrize("suffix", [".jsonl", ".csv.gz"])
def test_other_data_than_those_of_the_cache_are_no_move(suffix):
    kept = f"/cache/inputs/download.{64 * 'a'}{suffix}"
    here, old = (TrainConfig(data=DataConfig(source=one)) for one in (__file__, kept))
    assert with_names_of(here, old) == here


@pytest.mark.parametrize(
    ("recorded", "changed", "words"),
    [
        ("", {"batch_size": 4, "seed": 7}, "--model {} --batch-size 4 --seed 7"),
        ("", {"learning_rate": 1e-3}, "--model {} --learning-rate 0.001"),
        ("", {"freeze": ["norms", "biases"]}, "--model {} --freeze norms --freeze biases"),
        ("", {"compile": True, "beta2": 0.9}, "--model {} --compile --beta2 0.9"),
        ("[blocks]\nisolate = true\n", {"isolate": False}, "--model {} --no-isolate"),
        ("", {"lora_rank": 4}, "--model {} --lora-rank 4"),
        ("[lora]\nrank = 8\n", {"lora_rank": 4}, "--lora-rank 4"),  # its model has another
        ("", {"model": "gpt2"}, "--model gpt2"),
        ("[lora]\nrank = 8\ninit = 'eva'\n", {"seed": 4}, "--model {} --lora-init zero --seed 4"),
    ],
)
def test_the_command_of_a_new_run_has_what_was_asked_for(tmp_path, recorded, changed, words):
    (tmp_path / "config.toml").write_text(recorded)
    layer, problems = keyword_assignments(TrainConfig, {"out": str(tmp_path), **changed})
    with pytest.raises(ConfigError) as refused:
        resumed_config(None, layer, problems)
    command = f"train {tmp_path / 'config.toml'} {words.format(tmp_path)}"
    assert str(refused.value).endswith(command)
