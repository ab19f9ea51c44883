"""Every setting of TrainingArguments and the guides' scripts has an answer: ours, or a reason."""

from __future__ import annotations

import ast
import dataclasses
import re
import shlex
from ast import literal_eval
from pathlib import Path
from typing import get_args

import pytest
import transformers

import nextfill
from nextfill.cli.main import COMMANDS, main
from nextfill.config import EvaluateConfig, FillConfig, GenerateConfig, TrainConfig
from nextfill.config.foreign.foreign_combinations import BY_VALUE
from nextfill.config.foreign.foreign_finetuning import FINETUNING_ANSWERS
from nextfill.config.foreign.foreign_objects import object_advice
from nextfill.config.foreign.foreign_settings import ANSWERS, IN_PYTHON, SECOND
from nextfill.config.foreign.foreign_values import OF_OURS, OFF, VALUES
from nextfill.config.foreign.other_names import advice, answer, as_flag
from nextfill.config.layers import build, keyword_assignments
from nextfill.config.options import Assignment, settings
from nextfill.core.errors import ConfigError

EVERYWHERE = [
    setting.keyword
    for root in (TrainConfig, GenerateConfig, FillConfig)
    for setting in settings(root)
]
TRAIN = [setting.keyword for setting in settings(TrainConfig)]
SCRIPTS = [
    "model_name_or_path",
    "model_type",
    "config_overrides",
    "config_name",
    "tokenizer_name",
    "cache_dir",
    "use_fast_tokenizer",
    "model_revision",
    "token",
    "trust_remote_code",
    "dtype",
    "low_cpu_mem_usage",
    "dataset_name",
    "dataset_config_name",
    "train_file",
    "validation_file",
    "max_train_samples",
    "max_eval_samples",
    "streaming",
    "block_size",
    "overwrite_cache",
    "validation_split_percentage",
    "preprocessing_num_workers",
    "keep_linebreaks",
    "max_seq_length",
    "mlm_probability",
    "line_by_line",
    "pad_to_max_length",
]  # the arguments of transformers' run_clm.py and run_mlm.py


def foreign() -> list[str]:
    ours = {*TRAIN, "verify"}
    names = [field.name for field in dataclasses.fields(transformers.TrainingArguments)]
    return sorted({*names, *SCRIPTS} - ours)


@pytest.mark.parametrize("name", foreign())
def test_each_is_answered_at_both_doors(name):
    assert answer(name, None, TRAIN).strip(), name
    assert answer(f"--{name.replace('_', '-')}", None, TRAIN, as_flag).strip(), name


def test_an_answer_is_never_a_setting_that_is_ours_already():
    everywhere = {s.keyword for root in (TrainConfig, EvaluateConfig) for s in settings(root)}
    assert not everywhere & {*ANSWERS}


def test_what_an_answer_names_exists():
    roots = (TrainConfig, EvaluateConfig, GenerateConfig, FillConfig)
    known = {s.keyword for root in roots for s in settings(root)} | {"quiet", "resume"}
    texts = [*ANSWERS.values(), *SECOND.values(), *OFF.values(), *IN_PYTHON.values()]
    texts += [text for by_value in BY_VALUE.values() for text in by_value.values()]
    named = {name for text in texts for name in re.findall(r"`(\w+)", text)}
    assert named <= known
    assert all(text.count("`") % 2 == 0 for text in texts)


@pytest.mark.parametrize(
    ("name", "value", "typed", "written"),
    [
        ("num_train_epochs", "3", "--epochs 3", "epochs=3"),
        ("output_dir", "my run", "--out 'my run'", "out='my run'"),
        ("output_path", "figures.jsonl", "--out figures.jsonl", "out='figures.jsonl'"),
        ("tasks", "wikitext", "--data TEXT", "data='TEXT'"),
        ("mlm_probability", "0.2", "--mask-rate 0.2", "mask_rate=0.2"),
        ("fp16", True, "--precision bf16", "precision='bf16'"),
        ("hub_private_repo", True, "--share-private", "share_private=True"),
        ("max_train_samples", 500, "--split 'train[:500]'", "split='train[:500]'"),
        ("lr_scheduler_type", "constant_with_warmup", "--schedule constant", "schedule='constant'"),
        ("lr_scheduler_type", "polynomial", "--schedule, one of", "schedule, one of"),
        ("optim", "adamw_torch", "--optimizer adamw-unfused", "optimizer='adamw-unfused'"),
        ("optim", "lion_8bit", "--optimizer, one of", "optimizer, one of"),
        ("torch_compile", True, "--compile", "compile=True"),
        ("save_total_limit", 3, "--keep-checkpoints 3", "keep_checkpoints=3"),
        ("log_level_replica", "critical", "--log-level error", "log_level='error'"),
        ("model_type", "gpt2", "--model scratch:gpt2", "model='scratch:gpt2'"),
        ("fim_ratio", 0.9, "--fim-rate 0.9", "fim_rate=0.9"),
        ("fim_middle_token", "<MID>", "--fim-tokens PREFIX,", "fim_tokens='PREFIX,SUFFIX"),
    ],
)
def test_the_value_comes_along(name, value, typed, written):
    assert typed in answer(name, value, TRAIN, as_flag)
    assert written in answer(name, value, TRAIN)


@pytest.mark.parametrize("value", [False, "False", "no", 0, "0"])
@pytest.mark.parametrize("name", ["mlm", "fp16", "bf16", "push_to_hub", "torch_compile", "use_cpu"])
def test_what_is_turned_off_is_left_out(name, value):
    for said in (answer(name, value, TRAIN), answer(f"--{name}", value, TRAIN, as_flag)):
        assert said.endswith("leave it out.")
        assert "objective=" not in said
        assert "--objective" not in said


def test_each_switch_that_is_off_differs_from_one_that_is_on():
    for name in OFF:
        assert answer(name, False, EVERYWHERE) != answer(name, True, EVERYWHERE), name
    assert answer("do_sample", "False", ["greedy"], as_flag) == (
        " That is --greedy, for the likeliest token."
    )


@pytest.mark.parametrize("words", [["--gradient-checkpointing", "False"], ["--compile", "no"]])
def test_a_word_after_a_switch_is_told_how_it_is_turned_off(words, capsys):
    assert main(["train", *words]) == 2
    assert "type --NAME or --no-NAME" in capsys.readouterr().err


def test_what_is_typed_instead_is_taken(capsys):
    """An answer that consists of one setting is a line that the parser takes."""
    values = {"lr_scheduler_type": "cosine", "lr_scheduler": "cosine", "hub_private_repo": "True"}
    values |= {
        "framework": "pt",
        "optim": "sgd",
        "log_level_replica": "debug",
        "torch_compile": "True",
    }
    for name in ANSWERS:
        said = answer(name, values.get(name, "1"), TRAIN, as_flag)
        found = re.fullmatch(r" That is (--\S+(?: \S+)?) here\.", said)
        if found:
            words = shlex.split(found[1])
            assert main(["train", *words, "--no-such-flag"]) == 2
            assert "1 setting" not in (error := capsys.readouterr().err) or words[0] not in error


def test_the_values_of_other_names_are_ours():
    kinds = {one.keyword: one.kind for one in settings(TrainConfig)}
    of = {"lr_scheduler_type": "schedule", "lr_scheduler": "schedule", "optim": "optimizer"}
    of |= {"log_level_replica": "log_level", "framework": "backend"}
    of |= dict.fromkeys(("init_lora_weights", "peft_init_lora_weights"), "lora_init")
    assert of.keys() == VALUES.keys()
    for name, names in VALUES.items():
        assert {*names.values()} <= {*get_args(kinds[of[name]])}


def test_a_command_without_the_setting_gives_no_such_advice(capsys):
    assert main(["generate", "x", "--mlm_probability", "0.2"]) == 2
    assert "--mask-rate" not in capsys.readouterr().err
    assert "generate" in COMMANDS


def test_a_token_is_not_repeated(capsys):
    secret = "hf_" + "a" * 34
    assert main(["train", "--hub_token", secret, "--train_file", f"https://u:{secret}@x/a"]) == 2
    said = capsys.readouterr().err
    assert "HF_TOKEN" in said
    assert secret not in said
    problems = keyword_assignments(TrainConfig, {"hub_token": secret})[1]
    assert secret not in problems[0]
    assert "HF_TOKEN" in problems[0]


STEP = {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 2}


def test_a_batch_of_a_device_and_accumulation_have_one_answer(capsys):
    problems = keyword_assignments(TrainConfig, STEP)[1]
    assert [one.partition("With ")[2] for one in problems] == [
        "gradient_accumulation_steps=2 that is batch_size=8, micro_batch_size=4 here.",
        "per_device_train_batch_size=4 that is batch_size=8, micro_batch_size=4 here.",
    ]
    words = ["--gradient-accumulation-steps=2", "--per_device_train_batch_size", "4"]
    for order in (words, [*words[1:], words[0]]):
        assert main(["train", *order]) == 2
        assert capsys.readouterr().err.count("is --batch-size 8 --micro-batch-size 4 here.") == 2


@pytest.mark.parametrize("other", [{}, {"gradient_accumulation_steps": "many"}])
def test_a_batch_of_a_device_without_a_number_of_them_has_its_own_answer(other):
    problem = keyword_assignments(TrainConfig, {"per_device_train_batch_size": 4} | other)[1][0]
    assert "That is batch_size=4, blocks per optimizer step" in problem


def test_axolotls_batch_is_ours_by_name():
    typed = {"micro_batch_size": 2, "gradient_accumulation_steps": 3}
    assert "batch_size=6, micro_batch_size=2" in keyword_assignments(TrainConfig, typed)[1][0]


@pytest.mark.parametrize(
    ("root", "name", "value", "said"),
    [
        (TrainConfig, "num_train_epoch", 3, "Did you mean num_train_epochs? That is epochs=3"),
        (TrainConfig, "lr_schedular_type", "cosine", "schedule='cosine'"),
        (TrainConfig, "epoch", 3, "Did you mean 'epochs'?"),
        (TrainConfig, "max_length", 256, "block_size=256"),
        (GenerateConfig, "max_length", 256, "max_new_tokens=256, of new tokens alone: max_length"),
        (GenerateConfig, "return_tensors", "pt", "strings, and tensors are made of them"),
        (FillConfig, "skip_special_tokens", True, "come out as strings, without special tokens"),
        (TrainConfig, "from_pt", True, "Weights are read as PyTorch's"),
        (TrainConfig, "response_field", "a", "That is text_field='a' here."),
        (TrainConfig, "prompt_field", "q", "That is context_field='q' here."),
        (TrainConfig, "cutoff_len", 512, "block_size=512"),
        (TrainConfig, "r", 8, "lora_rank=8"),
        (TrainConfig, "peft_config", {"r": 8}, "lora_rank=8, and lora_alpha"),
        (TrainConfig, "peft_config", object(), "lora_rank=16, and lora_alpha"),
        (TrainConfig, "weight_decay_rate", 0.01, "That is weight_decay=0.01 here."),
        (TrainConfig, "path", "notes", "That is data='notes' here."),
        (TrainConfig, "completion_only_loss", True, "completions alone where records have a"),
        (TrainConfig, "completion_only_loss", False, "To learn the prompt too, write each record"),
        (TrainConfig, "train_on_inputs", True, "and give text_field='text'."),
        (TrainConfig, "train_on_inputs", False, "completions alone where records have a prompt"),
        (TrainConfig, "train_dataset", [{"text": "a"}], "That is data= here."),
        (TrainConfig, "data_collator", object(), "leave it out"),
        (TrainConfig, "args", object(), "such as epochs, batch_size and learning_rate"),
        (TrainConfig, "callbacks", [], "observer=OBJECT"),
        (GenerateConfig, "inputs", "x", "Texts follow the model"),
        (TrainConfig, "texts", ["x"], "That is data= here."),
        (TrainConfig, "train_size", 0.8, "That is test_size=0.2, what is held out"),
        (TrainConfig, "train_size", 800, "That is test_size, what is held out"),
        (TrainConfig, "framework", "tf", "That is backend='keras' here."),
        (FillConfig, "framework", "tf", "PyTorch computes: leave it out."),
        (TrainConfig, "remove_columns", ["id"], "Only the text is read, and keep_fields: leave"),
        (TrainConfig, "padding", True, "not attended to: leave it out"),
        (GenerateConfig, "do_sample", True, "unless greedy or num_beams is given: leave it out"),
        (GenerateConfig, "do_sample", False, "greedy=True, for the likeliest token"),
    ],
)
def test_guides_names_are_answered(root, name, value, said):
    assert said in keyword_assignments(root, {name: value})[1][0]


@pytest.mark.parametrize(
    ("section", "key", "value", "said"),
    [
        ("lora", "lora_alpha", 16, "That is lora.alpha = 16 here."),
        ("data", "path", "notes", "That is data.source = 'notes' here."),
    ],
)
def test_a_key_of_a_recipe_is_answered_with_its_value(section, key, value, said):
    layer = [Assignment((section, key), value, f"{section}.{key}")]
    with pytest.raises(ConfigError, match=re.escape(said)):
        build(TrainConfig, [layer])


def test_a_near_miss_is_answered_at_the_other_door(capsys):
    assert main(["train", "--num_train_epoch", "3"]) == 2
    assert "Did you mean num_train_epochs? That is --epochs 3 here." in capsys.readouterr().err


VALUES_GIVEN = [
    ("optimizer", "adamw_torch", "adamw-unfused"),
    ("optimizer", "adamw_torch_fused", "adamw"),
    ("schedule", "constant_with_warmup", "constant"),
    ("precision", "fp16", "bf16"),
    ("objective", "mlm", "masked"),
    ("objective", "clm", "causal"),
    ("device", "gpu", "cuda"),
    ("packing", "true", "best-fit"),
    ("attn_implementation", "flash_attention_2", "sdpa"),
    ("log_level", "critical", "error"),
    ("mask_rate", "15", "0.15"),
    ("mask_rate", "15%", "0.15"),
    ("warmup_steps", "5%", "0.05"),
    ("test_size", "10 %", "0.1"),
]


@pytest.mark.parametrize(("name", "value", "ours"), VALUES_GIVEN)
def test_a_value_of_another_program_is_answered_with_ours_at_both_doors(name, value, ours, capsys):
    assert main(["train", "--data", "x.txt", f"--{name.replace('_', '-')}", value]) == 2
    assert f" Give {ours}.\n" in capsys.readouterr().err
    with pytest.raises(ConfigError, match=rf" Give {re.escape(ours)}\.$"):
        nextfill.train(data=["a"], **{name: value})


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("share", True, "Give the repository: share='USER/NAME'"),
        ("text_field", ["title", "answers.text"], "One field is taken: join several"),
        ("split", ["train", "test"], "joined by a plus sign"),
        ("out", True, "Give the name of a new folder"),
    ],
)
def test_what_is_no_text_is_told_which_text_is_meant(name, value, said):
    with pytest.raises(ConfigError, match="Input should be a valid string") as raised:
        nextfill.train(data=["a"], **{name: value})
    assert said in str(raised.value)


def test_a_back_end_of_keras_takes_two_settings(capsys):
    assert main(["train", "--backend", "tf"]) == 2
    said = capsys.readouterr().err
    assert "Give --backend keras and --keras-backend tensorflow." in said
    with pytest.raises(ConfigError, match='Give backend="keras" and keras_backend="jax"'):
        nextfill.train(data=["a"], backend="jax")


@pytest.mark.parametrize(
    ("name", "value"), [("mask_rate", 150), ("mask_rate", -5), ("batch_size", "5%"), ("seed", "x")]
)
def test_a_value_that_is_none_elsewhere_gets_no_such_advice(name, value):
    with pytest.raises(ConfigError) as raised:
        nextfill.train(data=["a"], **{name: value})
    assert "Give " not in str(raised.value)


def test_the_values_of_our_settings_are_taken():
    kinds = {one.keyword: one.kind for one in settings(TrainConfig)}
    for name, names in OF_OURS.items():
        ours = {one for one in names.values() if not one.startswith("--")}
        assert ours <= {*get_args(kinds[name])}, name


RECIPE = """
[training]
lr_scheduler_type = "constant_with_warmup"
save_total_limit = 3
per_device_train_batch_size = 4
gradient_accumulation_steps = 2
[lora]
r = 8
[trainer]
num_train_epochs = 3
"""


def test_a_recipe_gets_the_answers_of_flags(tmp_path, capsys):
    path = tmp_path / "mine.toml"
    path.write_text(RECIPE)
    assert main(["train", str(path)]) == 2
    said = capsys.readouterr().err
    assert "That is training.schedule = 'constant'" in said
    assert "That is training.keep_checkpoints = 3 here." in said
    assert "That is lora.rank = 8 here." in said
    assert "That is training.epochs = 3 here." in said
    assert said.count("that is training.batch_size = 8, training.micro_batch_size = 4 here.") == 2


ARGUMENTS: dict[str, object] = {
    "output_dir": "x",
    "num_train_epochs": 2,
    "learning_rate": 3e-5,
    "lr_scheduler_type": "cosine",
    "eval_strategy": "epoch",
    "fp16": False,
    "hub_token": "hf_" + 34 * "a",
}


@pytest.mark.parametrize("place", ["args", "positional"])
def test_an_object_of_settings_is_answered_field_by_field(place):
    given = transformers.TrainingArguments(**ARGUMENTS)
    positions, keywords = ([], {"args": given}) if place == "args" else ([given], {})
    with pytest.raises(ConfigError) as caught:
        nextfill.train(*positions, **keywords)
    lines = [line.strip() for line in str(caught.value).splitlines()[1:]]
    assert lines[0] == (
        "Type: nextfill.train(out='x', epochs=2, learning_rate=3e-05, schedule='cosine')"
    )
    named = [line.partition("=")[0].partition(":")[0] for line in lines[1:]]
    assert named == ["eval_strategy", "hub_token"]
    assert "aaaa" not in str(caught.value)


def test_the_call_to_type_is_taken_and_has_what_was_typed_beside_it():
    more = {"load_best_model_at_end": True, "save_strategy": "epoch", "push_to_hub": True}
    more |= {"hub_model_id": "me/x", "gradient_accumulation_steps": 2, "fp16": True}
    given = transformers.TrainingArguments(**ARGUMENTS | more | {"max_grad_norm": 0.5})
    keywords = {"args": given, "data": ["one"], "model": "gpt2", "epochs": 4, "callbacks": []}
    said = keyword_assignments(TrainConfig, keywords)[1][0]
    [typed] = re.findall(r"Type: nextfill.train\((.*)\)\n", said)
    found = ast.parse(f"f({typed})", mode="eval").body.keywords
    values = {
        one.arg: one.value.id if one.arg == "data" else literal_eval(one.value) for one in found
    }
    assert values["data"] == "data"
    assert values["epochs"] == 4  # as it was typed
    assert (values["share"], values["keep"], values["batch_size"]) == ("me/x", "best", 16)
    assert keyword_assignments(TrainConfig, values)[1] == []
    assert "metric_for_best_model" not in said


def test_settings_of_our_own_are_no_other_programs():
    ours = (nextfill.DataConfig(source="x"), TrainConfig())
    assert not any(object_advice(one, TRAIN) for one in (*ours, object(), int, None))


def test_every_field_of_an_adapter_that_was_set_is_answered():
    from peft import LoraConfig

    lines = object_advice(LoraConfig(r=4, target_modules=["c_attn"]), TRAIN)
    assert lines[0] == "Type: nextfill.train(lora_rank=4)"
    assert [line.partition("=")[0] for line in lines[1:]] == ["target_modules"]
    assert all("no counterpart" not in line for line in lines)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("load_in_4bit", True, " That is lora_quantization='nf4', with lora_rank."),
        ("bnb_4bit_use_double_quant", True, " NF4 has its scales quantized here: leave it out."),
        ("use_rslora", True, " That is lora_scaling='rank-stabilised', with its alpha."),
        ("use_rslora", False, " That is off unless it is asked for: leave it out."),
        ("use_dora", True, " That is lora_dora=True here."),
        ("peft_use_dora", True, " That is lora_dora=True here."),
        (
            "init_lora_weights",
            "pissa",
            " That is lora_init='pissa', one of zero, pissa, olora, eva.",
        ),
        ("init_lora_weights", True, " That is lora_init='zero', one of zero, pissa, olora, eva."),
        ("init_lora_weights", "eva", " That is lora_init='eva', one of zero, pissa, olora, eva."),
        ("init_lora_weights", "loftq", " That is lora_init, one of zero, pissa, olora, eva."),
        ("lora_r", 8, " That is lora_rank=8 here."),
        ("lora_target", "q_proj", " That is lora_targets='q_proj' here."),
        ("pissa_init", True, " That is lora_init='pissa' here."),
        ("finetuning_type", "lora", " That is lora_rank=16 here."),
    ],
)
def test_settings_of_adapters_are_answered(name, value, said):
    assert advice(name, value, TRAIN) == said


def test_an_adapter_of_peft_is_one_call():
    from peft import LoraConfig

    given = LoraConfig(r=4, use_rslora=True, use_dora=True, init_lora_weights="olora", bias="none")
    [line] = object_advice(given, TRAIN)[:1]
    assert line == (
        "Type: nextfill.train(lora_rank=4, lora_scaling='rank-stabilised', "
        "lora_init='olora', lora_dora=True)"
    )


def test_keywords_of_guides_are_answered_as_python_types_them():
    known = [one.keyword for one in settings(TrainConfig)]
    for name, value, said in (
        ("prompt", "x", " That is sample_prompt='x' here."),
        ("column", "body", " That is text_field='body' here."),
        ("processing_class", None, " That is tokenizer= here."),
        ("resume_from_checkpoint", True, " Give out='RUN' with resume=True: it goes on"),
        ("disable_tqdm", True, " Progress is not shown with quiet=True."),
    ):
        assert advice(name, value, known).startswith(said)


def test_every_setting_of_an_adapter_is_answered():
    from peft import LoraConfig

    names = {one.name for one in dataclasses.fields(LoraConfig)} - {*TRAIN}
    assert [name for name in sorted(names) if not answer(name, None, TRAIN)] == []
    assert {"padding_free", "truncation_mode", "swa", "unfrozen_parameters"} <= {
        *FINETUNING_ANSWERS
    }


ALL = "Every linear layer but the head is the default: leave it out."


@pytest.mark.parametrize(
    ("name", "value", "typed", "written"),
    [
        ("lora_target_modules", "all-linear", ALL, ALL),
        ("target_modules", ["all-linear"], ALL, ALL),
        ("target_modules", ["q_proj"], "--lora-targets", "lora_targets"),
        ("lora_target", "all", ALL, ALL),
        ("save_steps", "0.1", "--save-every STEPS, a number of", "save_every=STEPS, a number of"),
        ("eval_steps", 0.25, "--eval-every STEPS, a number of", "eval_every=STEPS, a number of"),
        ("eval_steps", 500, "--eval-every 500 here", "eval_every=500 here"),
        ("logging_steps", 0.1, "Every step is logged", "Every step is logged"),
        ("validation_split_percentage", "10", "--test-size 0.1 here", "test_size=0.1 here"),
        ("validation_split_percentage", 5, "--test-size 0.05 here", "test_size=0.05 here"),
        ("validation_split_percentage", 0, "Something is always held out", "test_size=0.01"),
        ("eval_strategy", "no", "--eval-every 1000000", "eval_every=1000000"),
        ("eval_strategy", "epoch", "That is the default", "That is the default"),
        ("eval_strategy", "steps", "--eval-every STEPS", "eval_every=STEPS"),
        ("save_strategy", "no", "--save-every 1000000", "save_every=1000000"),
        ("save_strategy", "best", "--keep best", "keep='best'"),
        ("config_overrides", "n_layer=2", "--set model.config.KEY=VALUE", "'config': {'KEY': VAL"),
        ("config_name", "gpt2", "--set model.config.KEY=VALUE", "model={'name': 'scratch:TYPE'"),
        ("model_config", {"n": 1}, "--set model.config.KEY=VALUE", "model={'name': 'scratch:T"),
        ("swa", True, "--ema-decay 0.999", "ema_decay=0.999"),
        ("eval_packing", True, "(--stride)", "(stride)"),
        ("unfrozen_parameters", "lm_head", "--train-only lm_head", "train_only='lm_head'"),
    ],
)
def test_an_answer_goes_by_the_value(name, value, typed, written):
    said = [advice(f"--{name}", value, TRAIN, as_flag), advice(name, value, TRAIN)]
    assert typed in said[0]
    assert written in said[1]
    assert "--" not in said[1]


def test_what_the_call_of_a_new_type_says_can_be_typed(tiny_model, text_file, tmp_path):
    model = {"name": "scratch:gpt2", "config": {"n_layer": 1, "n_embd": 16, "n_head": 2}}
    out = nextfill.train(
        model=model,
        tokenizer=str(tiny_model),
        data=text_file,
        out=tmp_path / "run",
        max_steps=1,
        block_size=32,
        quiet=True,
    )
    assert "n_layer = 1" in (Path(out.run) / "config.toml").read_text("utf-8")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--dataset_name w --dataset_config_name v", ["that is --data w:v here."] * 2),
        ("--dataset_config v --dataset_name w", ["that is --data w:v here."] * 2),
        ("--dataset_name w", ["That is --data w here."]),
        (
            "--run_name a --output_dir b",
            ["A run is called by its folder (--out): leave", "--out b"],
        ),
        ("--run_name a --out b", ["A run is called by its folder (--out): leave it out."]),
        ("--run_name a", ["That is --out a here."]),
    ],
)
def test_two_settings_that_say_one_thing_have_one_answer(words, said, capsys):
    assert main(["train", *words.split()]) == 2
    lines = [one for one in capsys.readouterr().err.splitlines() if "There is no flag" in one]
    assert len(lines) == len(said)
    assert all(part in line for part, line in zip(said, lines, strict=True))
    names = shlex.split(words)
    layer = dict(zip([one.strip("-") for one in names[::2]], names[1::2], strict=True))
    _, problems = keyword_assignments(TrainConfig, layer)
    assert len(problems) == len(said)


def test_a_share_of_steps_is_refused_with_what_is_taken(capsys):
    for flag in ("--save-every", "--eval-every"):
        assert main(["train", flag, "0.1"]) == 2
        assert "It is a number of steps, and no share." in capsys.readouterr().err
