"""Every setting of every command, at the command line, in a recipe and from Python: each is heard.

The settings come from the config classes, so that a new one without a value to try it with fails.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from functools import partial
from importlib import import_module
from typing import Any

import pytest
import tomli_w

import nextfill
from nextfill.cli.main import COMMANDS, main
from nextfill.config import PackConfig, TrainConfig
from nextfill.config.evaluation_resolution import FOR_TRAINING
from nextfill.config.options import Setting, sections, settings
from nextfill.config.problems.training_problems import TRAINING_MASK_RATES

Path_ = tuple[str, ...]

OTHER: dict[Path_, Any] = {
    ("objective",): "masked",
    ("seed",): 7,
    ("out",): "other.jsonl",
    ("cache_dir",): "other-cache",
    ("cache_limit",): "7GB",
    ("store",): "s3://bucket/stores",
    ("device",): "cpu",
    ("precision",): "bf16",
    ("weights",): "int8",
    ("to",): "onnx",
    ("quantization",): "int8",
    ("engine",): "torch",
    ("ray_address",): "auto",
    ("workers",): 3,
    ("nproc",): 2,
    ("parallel",): "fsdp",
    ("log_level",): "debug",
    ("model", "name"): "builtin:other",
    ("model", "tokenizer"): "builtin:other",
    ("model", "revision"): "main",
    ("model", "config"): {"n_layer": 6},
    ("model", "trust_remote_code"): True,
    ("model", "attn_implementation"): "eager",
    ("data", "source"): "builtin:other",
    ("data", "streaming"): True,
    ("data", "portion_size"): 2.5,
    ("data", "split"): "train[:5]",
    ("data", "text_field"): "answers.text",
    ("data", "context_field"): "question",
    ("data", "join"): "; ",
    ("data", "explode"): True,
    ("data", "keep_fields"): ["label", "language"],
    ("data", "format"): "jsonl",
    ("data", "encoding"): "cp1251",
    ("data", "txt"): "line",
    ("data", "test_size"): 0.25,
    ("data", "validation_size"): 0.5,
    ("data", "eval_source"): "builtin:other",
    ("data", "eval_split"): "test",
    ("data", "verify"): True,
    ("data", "sources"): [{"source": "builtin:one"}, {"source": "builtin:two", "txt": "line"}],
    ("blocks", "block_size"): 64,
    ("blocks", "packing"): "pad",
    ("blocks", "end_of_document"): False,
    ("blocks", "isolate"): False,
    ("blocks", "window_rows"): 9,
    ("masking", "unit"): "word",
    ("masking", "rate"): 0.3,
    ("masking", "rate_start"): 0.4,
    ("masking", "rate_end"): 0.35,
    ("masking", "mask_share"): 0.5,
    ("masking", "random_share"): 0.2,
    ("infilling", "rate"): 0.25,
    ("infilling", "spm_rate"): 0.75,
    ("infilling", "tokens"): "<PRE>,<SUF>,<MID>",
    ("infilling", "min_characters"): 9,
    ("infilling", "max_middle"): 9,
    ("replay", "share"): 0.25,
    ("replay", "source"): "builtin:general",
    ("replay", "split"): "train[:9]",
    ("replay", "text_field"): "body",
    ("replay", "test_size"): 0.25,
    ("training", "epochs"): 1.25,
    ("training", "max_steps"): 11,
    ("training", "batch_size"): 4,
    ("training", "least_steps"): 7,
    ("training", "micro_batch_size"): 2,
    ("training", "optimizer"): "sgd",
    ("training", "learning_rate"): 0.125,
    ("training", "weight_decay"): 0.25,
    ("training", "beta1"): 0.25,
    ("training", "beta2"): 0.75,
    ("training", "epsilon"): 1e-6,
    ("training", "max_grad_norm"): 0.5,
    ("training", "schedule"): "wsd",
    ("training", "warmup_steps"): 3.0,
    ("training", "dropout"): 0.25,
    ("training", "normalize_by"): "tokens",
    ("training", "eval_every"): 5,
    ("training", "save_every"): 6,
    ("training", "keep_checkpoints"): 3,
    ("training", "keep"): "best",
    ("training", "early_stopping"): 2,
    ("training", "compile"): True,
    ("training", "gradient_checkpointing"): True,
    ("training", "train_only"): ["embeddings", "norms"],
    ("training", "freeze"): ["layers:0-3"],
    ("training", "layer_rate_decay"): 0.8,
    ("training", "ema_decay"): 0.9,
    ("training", "sample_prompt"): "Once",
    ("training", "backend"): "keras",
    ("training", "keras_backend"): "jax",
    ("training", "schedule_start"): 4,
    ("training", "stages"): [
        {
            **{"end": 5, "num_steps": 6, "learning_rate": 0.5, "schedule": "wsd"},
            **{"warmup_steps": 2.0, "schedule_start": 3},
        }
    ],
    ("new_tokens", "words"): ["autograd", "PyTorch"],
    ("new_tokens", "file"): "words.txt",
    ("new_tokens", "from_data"): 12,
    ("new_tokens", "chosen"): ["tensor"],
    ("lora", "rank"): 4,
    ("lora", "alpha"): 2.0,
    ("lora", "scaling"): "rank-stabilised",
    ("lora", "dora"): True,
    ("lora", "init"): "pissa",
    ("lora", "dropout"): 0.125,
    ("lora", "targets"): "q_proj,v_proj",
    ("lora", "head"): True,
    ("lora", "norms"): True,
    ("lora", "quantization"): "nf4",
    ("lora", "merge"): True,
    ("distillation", "teacher"): "builtin:other",
    ("distillation", "revision"): "main",
    ("distillation", "weight"): 0.75,
    ("distillation", "temperature"): 3.0,
    ("distillation", "student_layers"): 2,
    ("evaluation", "stride"): 16,
    ("evaluation", "start_token"): False,
    ("evaluation", "eval_batch_size"): 3,
    ("evaluation", "by"): "label",
    ("evaluation", "drop_leaks"): True,
    ("evaluation", "mask_seed"): 5,
    ("evaluation", "sets"): {"far": {"source": "builtin:other", "txt": "line"}},
    ("share", "repo"): "me/model",
    ("share", "private"): True,
    ("share", "adapter"): True,
    ("share", "license"): "mit",
    ("tracking", "to"): "tensorboard",
    ("trackers",): "tensorboard",
    ("tracking", "samples"): True,
    ("samples",): True,
    ("follow",): True,
    ("live",): True,
    ("base",): False,
    ("show",): 2,
    ("show_tokens",): 30,
    ("alternatives",): 3,
    ("page",): "other.html",
    ("pseudo",): True,
    ("pseudo_metric",): "original",
    ("prompts", "source"): "prompts.txt",
    ("prompts", "prompt_field"): "question",
    ("generation", "max_new_tokens"): 9,
    ("generation", "min_new_tokens"): 3,
    ("generation", "stop"): ["\n", "end"],
    ("generation", "suffix"): " and its end",
    ("generation", "suffix_order"): "spm",
    ("generation", "num_samples"): 2,
    ("generation", "greedy"): True,
    ("generation", "temperature"): 0.5,
    ("generation", "top_k"): 3,
    ("generation", "top_p"): 0.25,
    ("generation", "min_p"): 0.125,
    ("generation", "typical_p"): 0.5,
    ("generation", "repetition_penalty"): 1.5,
    ("generation", "no_repeat_ngram_size"): 2,
    ("generation", "num_beams"): 3,
    ("generation", "length_penalty"): 0.5,
    ("generation", "generation_batch_size"): 5,
    ("filling", "top_k"): 3,
    ("filling", "targets"): ["spiral", "dwarf"],
    ("filling", "answer_tokens"): 2,
    ("filling", "fill_batch_size"): 5,
    ("older_than",): "8w",
    ("max_size",): "5GB",
    ("inputs",): True,
    ("dry_run",): True,
    ("private",): True,
    ("adapter",): True,
    ("license",): "mit",
    ("vocabulary", "kind"): "wordpiece",
    ("vocabulary", "vocab_size"): 300,
    ("vocabulary", "min_frequency"): 3,
    ("vocabulary", "lowercase"): True,
    ("examples",): 3,
    ("records",): 5,
    ("full",): True,
    ("serving", "host"): "localhost",
    ("serving", "port"): 8123,
    ("serving", "api_key"): "key",
    ("serving", "before"): True,
    ("serving", "max_concurrent"): 3,
    ("serving", "max_queued"): 4,
    ("serving", "max_prompt_tokens"): 50,
    ("serving", "max_answer_tokens"): 60,
    ("serving", "max_body_bytes"): 2000,
    ("serving", "max_seconds"): 7.5,
}
"""Of every setting a value that none of the commands takes by itself."""

COMPANIONS: dict[Path_, dict[Path_, Any]] = {
    ("blocks", "window_rows"): {("blocks", "packing"): "concat"},
    ("pseudo_metric",): {("pseudo",): True},
    ("page",): {("show",): 2},
    ("ray_address",): {("engine",): "ray"},
    ("workers",): {("engine",): "ray"},
    ("training", "batch_size"): {("training", "least_steps"): 9},
    ("evaluation", "mask_seed"): {("objective",): "masked"},
    **{
        ("masking", name): {("objective",): "masked"}
        for name in ("unit", "rate", "rate_start", "rate_end", "mask_share", "random_share")
    },
    ("prompts", "prompt_field"): {("prompts", "source"): "prompts.txt"},
    ("vocabulary", "lowercase"): {("vocabulary", "kind"): "wordpiece"},
    ("generation", "suffix_order"): {("generation", "suffix"): "."},
    ("generation", "length_penalty"): {("generation", "num_beams"): 3},
    **{
        ("infilling", name): {("infilling", "rate"): 0.25}
        for name in ("spm_rate", "tokens", "min_characters", "max_middle")
    },
    **{
        ("replay", name): {("replay", "source"): "builtin:stdlib-docs"}
        for name in ("share", "split", "text_field", "test_size")
    },
    **{
        ("distillation", name): {("distillation", "teacher"): "builtin:teacher"}
        for name in ("revision", "weight", "temperature", "student_layers")
    },
}
"""What else has to be said, for a setting to mean something."""

REFUSED = {
    "evaluate": FOR_TRAINING | TRAINING_MASK_RATES | {("evaluation", "sets")},
    "packed_dataset": TRAINING_MASK_RATES | {("model", "attn_implementation")},
    "look": TRAINING_MASK_RATES | {("store",), ("cache_limit",)},
    "prepare": {("model", "attn_implementation"), ("data", "streaming")},
}
"""Settings that a command refuses with words, because its sections are shared with others."""

SETTLING = {
    "train": ("nextfill.api.train", "config_with_files"),
    "look": ("nextfill.api.look", "look_config"),
    "prepare": ("nextfill.api.prepare", "resolve"),
    "evaluate": ("nextfill.api.inference", "config_with_files"),
    "generate": ("nextfill.api.inference", "generate_config"),
    "fill": ("nextfill.api.inference", "fill_config"),
    "serve": ("nextfill.api.serve", "serve_config"),
    "cache list": ("nextfill.api.cache", "build"),
    "cache size": ("nextfill.api.cache", "build"),
    "cache prune": ("nextfill.api.cache", "build"),
    "share": ("nextfill.api.share", "build"),
    "export": ("nextfill.api.export", "export_config"),
    "bundle": ("nextfill.api.share", "build"),
    "track": ("nextfill.api.track", "build"),
    "report": ("nextfill.api.report", "build"),
    "tokenizer train": ("nextfill.api.tokenizer", "resolve"),
    "tokenizer inspect": ("nextfill.api.tokenizer", "resolve"),
    "packed_dataset": ("nextfill.api.packed_dataset", "resolve"),
}
"""Where each verb's settings become its config; what comes after is left out here."""

WORDS = {
    "evaluate": ["builtin:base-causal"],
    "generate": ["builtin:base-causal"],
    "fill": ["builtin:base-masked", "A ___."],
    "serve": ["builtin:base-causal"],
    "share": ["run", "me/model"],
    "export": ["builtin:base-causal"],
    "bundle": ["run"],
    "track": ["run"],
    "report": ["run"],
    "tokenizer inspect": ["builtin:base-causal"],
}
"""The words before the flags."""

GIVEN: dict[str, dict[Path_, Any]] = {
    "train": {("model", "name"): "builtin:base-causal"},  # a recipe comes with a model's name
    "look": {("model", "name"): "builtin:base-causal"},  # the objective comes with another
    "tokenizer train": {("out",): "words"},
    "export": {("to",): "gguf", ("out",): "exported"},
}

VERBS = {
    "cache list": nextfill.list_cache,
    "cache prune": nextfill.prune_cache,
    "tokenizer train": nextfill.train_tokenizer,
    "tokenizer inspect": nextfill.inspect_tokenizer,
    **{
        n: getattr(nextfill, n)
        for n in ("train", "look", "prepare", "evaluate", "generate", "fill", "serve", "export")
    },
    "share": nextfill.share,
    "bundle": nextfill.bundle,
    "track": nextfill.track,
    "report": nextfill.report,
    "packed_dataset": partial(nextfill.packed_dataset, part="train"),
}

ROOTS = {name: command.root for name, command in COMMANDS.items() if settings(command.root)}


class Settled(BaseException):
    """Carries a config out of the verb that made it."""

    def __init__(self, config: Any) -> None:
        self.leaves = dict(leaves(dataclasses.asdict(config)))


def leaves(tree: Mapping[str, Any], place: Path_ = ()) -> Iterator[tuple[Path_, Any]]:
    for key, value in tree.items():
        here = (*place, key)
        if isinstance(value, Mapping) and value and len(here) == 1:
            yield from leaves(value, here)
        else:
            yield here, value


@pytest.fixture(autouse=True)
def stop_there(monkeypatch, tmp_path):
    """Let every verb end once its config is made."""
    monkeypatch.chdir(tmp_path)

    def settled(real: Any) -> Any:
        def stop(*words: Any, **keywords: Any) -> Any:
            made = real(*words, **keywords)
            raise Settled(made[0] if isinstance(made, tuple) else made)

        return stop

    for module_name, name in set(SETTLING.values()):
        module = import_module(module_name)
        monkeypatch.setattr(module, name, settled(getattr(module, name)))


def tried(root: type, hidden: tuple[str, ...] = ()) -> list[Setting]:
    return [one for one in settings(root) if one.flag not in hidden]


def of_commands() -> list[Any]:
    return [
        pytest.param(name, one, id=f"{name} {one.flag}")
        for name, root in ROOTS.items()
        for one in tried(root, ("--model",) if name in WORDS else ())
    ]


OF_ONE_COMMAND = {
    ("train", ("out",)): "other",
    ("tokenizer train", ("out",)): "other",
    ("prepare", ("engine",)): "ray",
}


def value_of(command: str, path: Path_) -> Any:
    return OF_ONE_COMMAND.get((command, path), OTHER[path])


def words_of(command: str, given: Mapping[Path_, Any]) -> list[str]:
    words = WORDS.get(command, [])
    return words[:1] if ("prompts", "source") in given else words


def at_flag(setting: Setting, value: Any) -> list[str]:
    if isinstance(value, bool):
        return [setting.flag if value else f"--no-{setting.flag.removeprefix('--')}"]
    values = value if isinstance(value, list) else [value]
    return [f"{setting.flag}={one}" for one in values]


def config_of(command: str, given: Mapping[Path_, Any]) -> dict[Path_, Any]:
    """Return the config that a command line makes."""
    by_path = {one.path: one for one in settings(ROOTS[command])}
    flags = [word for path, value in given.items() for word in at_flag(by_path[path], value)]
    with pytest.raises(Settled) as made:
        main([*command.split(), *words_of(command, given), *flags])
    return made.value.leaves


def keywords_of(command: str, root: type, given: Mapping[Path_, Any]) -> dict[Path_, Any]:
    """Return the config that keywords make."""
    by_path = {one.path: one for one in settings(root)}
    keywords = {by_path[path].keyword: value for path, value in given.items()}
    with pytest.raises(Settled) as made:
        VERBS[command](*words_of(command, given), **keywords)
    return made.value.leaves


def check_heard(path: Path_, value: Any, plain: Mapping[Path_, Any], other: Any) -> None:
    changed = {place for place in plain if plain[place] != other[place]}
    assert changed == {path}
    assert other[path] == value


def test_every_setting_has_a_value_to_be_tried_with():
    every = {one.path for root in (*ROOTS.values(), PackConfig) for one in settings(root)}
    for root in (*ROOTS.values(), PackConfig):
        every |= {(f.name,) for f in dataclasses.fields(root) if f.name not in sections(root)}
        for name, section in sections(root).items():
            every |= {(name, item.name) for item in dataclasses.fields(section)}
    assert every - OF_ONE_AMONG_SEVERAL == OTHER.keys()
    assert ROOTS.keys() <= SETTLING.keys()


@pytest.mark.parametrize(("command", "setting"), of_commands())
def test_every_flag_changes_its_setting_and_nothing_else(command, setting, capsys):
    path, before = setting.path, GIVEN.get(command, {}) | COMPANIONS.get(setting.path, {})
    value = value_of(command, path)
    if path in REFUSED.get(command, ()):
        assert main([*command.split(), *WORDS.get(command, []), *at_flag(setting, value)]) == 2
        reasons = (" is for training", " is for preparing", ": masks are for masked models")
        told = capsys.readouterr().err
        assert any(f"{setting.flag}{reason}" in told for reason in reasons)
        return
    plain, other = config_of(command, before), config_of(command, {**before, path: value})
    check_heard(path, value, plain, other)


@pytest.mark.parametrize("command", VERBS)
def test_every_keyword_is_heard_as_its_flag_is(command):
    root = ROOTS.get(command, PackConfig)
    named = {("model", "name")} if command in WORDS else set()
    for setting in tried(root):
        path = setting.path
        if path in REFUSED.get(command, ()) or path in named:
            continue
        before = GIVEN.get(command, {}) | COMPANIONS.get(path, {})
        if command == "packed_dataset" and path[0] == "masking":
            before |= {("objective",): "masked"}
        value = value_of(command, path)
        plain = keywords_of(command, root, before)
        check_heard(path, value, plain, keywords_of(command, root, {**before, path: value}))


OF_ONE_AMONG_SEVERAL = {("data", "weight"), ("data", "repeat")}
"""Settings that one source alone does not have: tests/cli/test_mixtures.py has them."""


def every_setting_of_train() -> list[Path_]:
    nested = sections(TrainConfig)
    top = [(f.name,) for f in dataclasses.fields(TrainConfig) if f.name not in nested]
    within = [(n, f.name) for n, kind in nested.items() for f in dataclasses.fields(kind)]
    return [path for path in (*top, *within) if path not in OF_ONE_AMONG_SEVERAL]


@pytest.mark.parametrize("way", ["a recipe", "--set"])
def test_every_setting_is_heard_in_a_recipe_and_by_set(way, tmp_path):
    for path in every_setting_of_train():
        given = GIVEN["train"] | COMPANIONS.get(path, {})
        plain = config_of("train", given)
        value, tree = value_of("train", path), dict[str, Any]()
        for (*section, key), companion in given.items():
            (tree.setdefault(section[0], {}) if section else tree)[key] = companion
        place: tuple[str, ...] = path
        if path == ("data", "sources"):  # a list of tables in the place of the section
            place = ("data",)
        elif path == ("evaluation", "sets"):
            place, value = ("evaluation", "far"), value["far"]
        if way == "a recipe":
            node: Any = tree
            for key in place[:-1]:
                node = node.setdefault(key, {})
            node[place[-1]] = value
            (tmp_path / "one.toml").write_text(tomli_w.dumps(tree), "utf-8")
            words = ["one.toml"]
        else:
            written = " ".join(tomli_w.dumps({"x": [value]}).removeprefix("x = ").split())
            inner = written.removeprefix("[").removesuffix("]").strip().removesuffix(",")
            by_path = {one.path: one for one in settings(TrainConfig)}
            flags = {one: other for one, other in given.items() if one != path}
            words = [word for one, other in flags.items() for word in at_flag(by_path[one], other)]
            words += ["--set", f"{'.'.join(place)}={inner}"]
        with pytest.raises(Settled) as made:
            main(["train", *words])
        changed = {one for one in plain if plain[one] != made.value.leaves[one]}
        if path in (("data", "sources"), ("evaluation", "sets")):
            assert changed == {path}
            text = str(made.value.leaves[path])
            assert "builtin:" in text
            assert "'line'" in text
        elif path[0] == "model" and path[1] == "config":
            assert made.value.leaves[path] == value
        else:
            assert changed == {path}, path
            assert made.value.leaves[path] == value
