"""Model folders that were tampered with: the same for the same seed.

Every one is a small real model with one thing changed. In every one lie programs that nobody asked
for: pickles, modules of Python, templates. Each writes a file into `MARKERS` if it is run.
"""

from __future__ import annotations

import json
import os
import pickle
import random
import shutil
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MARKERS = "NEXTFILL_TEST_MARKERS"
Change = Callable[[Path, random.Random], None]


@dataclass(frozen=True)
class Case:
    """A change to a model's folder.

    Args:
        kind: What is changed.
        change: Does it.
        models: Names of the models it is for.
        harmless: Whether the model must go on working, with the same figures.
    """

    kind: str
    change: Change
    models: tuple[str, ...]
    harmless: bool = False


ALL = ("gpt2", "llama", "roberta", "bert", "sharded", "lora")
WHOLE = ("gpt2", "llama", "roberta", "bert", "sharded")
SINGLE = ("gpt2", "llama", "roberta", "bert")


class Pickle:
    """Writes a marker when it is unpickled."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f'touch "${MARKERS}/{self.name}"',)


def program(name: str) -> str:
    """Return a module that writes a marker when it is imported."""
    return (
        "import os, pathlib\n"
        f"pathlib.Path(os.environ[{MARKERS!r}], {name!r}).touch()\n"
        "from transformers import GPT2Config as Config, GPT2LMHeadModel as Model\n"
        "from transformers import PreTrainedTokenizerFast as Tokenizer\n"
        "def generate(*words, **named):\n"
        f"    pathlib.Path(os.environ[{MARKERS!r}], 'generate').touch()\n"
    )


TEMPLATE = (
    "{{ cycler.__init__.__globals__.os.system('touch $" + MARKERS + "/template') }}"
    "{% for a in range(99999) %}{% for b in range(99999) %}{{ a }}{% endfor %}{% endfor %}"
)


def plant(folder: Path) -> None:
    """Put programs into a folder that must not be run, and change nothing else."""
    for name in ("pytorch_model.bin", "adapter_model.bin", "training_args.bin", ".metadata"):
        (folder / name).write_bytes(pickle.dumps(Pickle(name)))
    (folder / "modeling_hostile.py").write_text(program("auto_map"))
    (folder / "custom_generate").mkdir(exist_ok=True)
    (folder / "custom_generate" / "generate.py").write_text(program("custom_generate"))
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    (folder / "additional_chat_templates").mkdir(exist_ok=True)
    (folder / "additional_chat_templates" / "tool.jinja").write_text(TEMPLATE)


# --- files of JSON


def edited(name: str, edit: Callable[[dict[str, Any], random.Random], None]) -> Change:
    """Return a change of a JSON file's content."""

    def change(folder: Path, rng: random.Random) -> None:
        path = folder / name
        content = json.loads(path.read_text()) if path.is_file() else {}
        edit(content, rng)
        path.write_text(json.dumps(content))

    return change


def setting(key: str, *values: Any, file: str = "config.json") -> Change:
    """Return a change that sets a key to one of some values, wherever the key stands."""

    def edit(content: dict[str, Any], rng: random.Random) -> None:
        content[key] = rng.choice(values)

    return edited(file, edit)


def one_of(keys: tuple[str, ...], values: tuple[Any, ...], file: str = "config.json") -> Change:
    """Return a change that sets one of the keys that are there to one of some values."""

    def edit(content: dict[str, Any], rng: random.Random) -> None:
        there = [key for key in keys if key in content] or [keys[0]]
        content[rng.choice(there)] = rng.choice(values)

    return edited(file, edit)


WRONG: tuple[Any, ...] = ("text", [], [1, "a"], {}, {"a": {"b": 1}}, [[]], "9" * 300, {"": None})


def wrong_type(file: str) -> Change:
    """Return a change that puts a value of another type somewhere into a file of JSON."""

    def edit(content: dict[str, Any], rng: random.Random) -> None:
        at: Any = content
        while True:
            keys = list(at) if isinstance(at, dict) else list(range(min(len(at), 50)))
            key = rng.choice(keys)
            inner = at[key]
            if isinstance(inner, dict | list) and inner and rng.random() < 0.7:
                at = inner
                continue
            at[key] = rng.choice([one for one in WRONG if type(one) is not type(inner)])
            return

    return edited(file, edit)


def raw(name: str) -> Change:
    """Return a change that damages a text file as a whole."""

    def change(folder: Path, rng: random.Random) -> None:
        path = folder / name
        content = path.read_bytes() if path.is_file() else b"{}"
        deep = rng.choice([100, 900, 20_000, 200_000])
        path.write_bytes(
            rng.choice(
                [
                    content[: rng.randrange(1, max(2, len(content) - 1))],
                    b'{"a": ' * deep + b"1" + b"}" * deep,
                    b"[" * deep + b"]" * deep,
                    b'{"model_type": "gpt2", "n": ' + b"9" * 5000 + b"}",
                    b"\xff\xfe" + content,
                    b"[1, 2]",
                    b"null",
                    b'"text"',
                    rng.randbytes(400),
                    bytes(len(content)),
                    b"{" + b" " * 200 * 2**20 + b"}",
                ]
            )
        )

    return change


def odd_file(*names: str) -> Change:
    """Return a change that puts something else than a file into a file's place."""

    def change(folder: Path, rng: random.Random) -> None:
        path = folder / rng.choice(names)
        path.unlink(missing_ok=True)
        what = rng.choice(["pipe", "zero", "random", "itself", "nowhere", "outside", "up"])
        if what == "pipe":
            os.mkfifo(path)
        elif what == "outside":
            outside = folder.parent / f"outside-{path.name}"
            shutil.copy(folder.parent / "twin" / path.name, outside)
            path.symlink_to(outside)
        else:
            target = {
                "zero": "/dev/zero",
                "random": "/dev/random",
                "itself": path.name,
                "nowhere": "nothing.json",
                "up": "../../../../../../../../etc/passwd",
            }[what]
            path.symlink_to(target)

    return change


BOMBS = (2**20 + 1, 2**24, 2**26, 2**31, 2**40, 2**63, 2**64, 10**30, 10**400, -5, 0)
LAYERS = ("n_layer", "num_hidden_layers")
SIZES = (
    *("vocab_size", "n_embd", "hidden_size", "intermediate_size", "n_inner"),
    *("num_hidden_layers", "n_layer"),
)
IDS = ("bos_token_id", "eos_token_id", "pad_token_id")
FAR_IDS = (10**6, 2**26, 2**40, 2**70, -7, "2", [10**6], [3, "a"], 1.5, {"a": 1}, True)
KERNELS = ("hostile/kernel", "kernels-community/flash-attn", "hostile/kernel@main:f", "flash_a", {})
QUANTISED: tuple[Any, ...] = (
    {"quant_method": "bitsandbytes", "load_in_4bit": True},
    {"quant_method": "gptq", "bits": 4},
    {"quant_method": "awq", "bits": 4},
    {"quant_method": "nothing"},
    {"bits": 4},
    {"quant_method": ["a"]},
    "text",
    [1],
)


def _auto_map(content: dict[str, Any], rng: random.Random) -> None:
    content["model_type"] = "hostile"
    content["auto_map"] = {
        "AutoConfig": "modeling_hostile.Config",
        "AutoModelForCausalLM": "modeling_hostile.Model",
        "AutoModelForMaskedLM": "modeling_hostile.Model",
    }


def _known_auto_map(content: dict[str, Any], rng: random.Random) -> None:
    content["auto_map"] = {
        "AutoConfig": rng.choice(["modeling_hostile.Config", "other/repo--modeling.Config"]),
        "AutoModelForCausalLM": "modeling_hostile.Model",
    }


def _tokenizer_auto_map(content: dict[str, Any], rng: random.Random) -> None:
    content["auto_map"] = {"AutoTokenizer": ["modeling_hostile.Tokenizer"] * 2}
    content["tokenizer_class"] = "HostileTokenizer"


CONFIG_CASES = (
    Case("config: size", one_of(SIZES, BOMBS), WHOLE),
    Case("config: size", one_of(SIZES, BOMBS), WHOLE),
    Case("config: layers", one_of(LAYERS, (10**3, 10**4, 10**6, 10**9, 2**40)), WHOLE),
    Case("config: fewer layers", one_of(LAYERS, (1, 0, -1)), WHOLE),
    Case("config: wrong type", wrong_type("config.json"), WHOLE),
    Case("config: wrong type", wrong_type("config.json"), WHOLE),
    Case("config: damaged", raw("config.json"), WHOLE),
    Case("config: odd file", odd_file("config.json"), WHOLE),
    Case("config: ids", one_of(IDS, FAR_IDS), WHOLE),
    Case("config: model type", setting("model_type", "hostile", 5, [], None, "../x", ""), WHOLE),
    Case(
        "config: kernel",
        one_of(("attn_implementation", "_attn_implementation"), (*KERNELS[:4], {"": KERNELS[0]})),
        WHOLE,
    ),
    Case("config: experts", setting("_experts_implementation", *KERNELS[:4]), WHOLE),
    Case("config: own code", edited("config.json", _auto_map), WHOLE),
    Case("config: code not needed", edited("config.json", _known_auto_map), WHOLE, True),
    Case("config: quantised", setting("quantization_config", *QUANTISED), WHOLE),
    Case(
        "config: weights elsewhere",
        setting(
            "transformers_weights",
            *("../twin/model.safetensors", "/etc/passwd", "pytorch_model.bin", 5, ["a"]),
            *("adapter_model.bin", "nothing.safetensors"),
        ),
        WHOLE,
    ),
    Case("config: labels", setting("num_labels", 10**7, 2**31, 2**40, -1, "many", [2]), WHOLE),
    Case("config: dtype", setting("dtype", "system", 5, ["float32"], "float32; import os"), WHOLE),
    Case(
        "config: no number",
        one_of(("layer_norm_epsilon", "rms_norm_eps", "layer_norm_eps"), (float("nan"), -1e9)),
        WHOLE,
    ),
    Case("config: unknown settings", setting("fingers", 5, "ten", [1], None), WHOLE, True),
    Case(
        "generation: ids",
        one_of(IDS, FAR_IDS, "generation_config.json"),
        ("gpt2", "llama", "sharded"),
    ),
    Case("generation: damaged", raw("generation_config.json"), ("gpt2", "llama", "sharded")),
    Case("generation: odd file", odd_file("generation_config.json"), ("gpt2", "llama")),
    Case(
        "generation: suppressed",
        setting("suppress_tokens", [10**6], [2**70], ["a"], file="generation_config.json"),
        ("gpt2", "llama"),
    ),
)


# --- the tokenizer


def _far_id(content: dict[str, Any], rng: random.Random) -> None:
    number = rng.choice([2**21, 2**26, 2**31, 2**40, -1])
    if rng.random() < 0.5:
        content["added_tokens"].append(
            {**content["added_tokens"][0], "content": "<far>", "id": number}
        )
    else:
        vocabulary = content["model"]["vocab"]
        vocabulary[rng.choice(list(vocabulary))] = number


def _slow_pattern(content: dict[str, Any], rng: random.Random) -> None:
    pattern = rng.choice(["(a+)+$", "(a|a)*b", "([a-z]+)*\\d", "(\\w+\\s?)+!", "(1*)*x", "("])
    split = {
        "type": "Split",
        "pattern": {"Regex": pattern},
        "behavior": "Isolated",
        "invert": False,
    }
    steps = [split, content["pre_tokenizer"]]
    content["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": steps}


def _slow_normalizer(content: dict[str, Any], rng: random.Random) -> None:
    pattern = rng.choice(["(a+)+$", "(a|aa)+\\d", "(.*)*x"])
    content["normalizer"] = {"type": "Replace", "pattern": {"Regex": pattern}, "content": "b"}


def _growth(content: dict[str, Any], rng: random.Random) -> None:
    times, rounds = rng.choice([(10**6, 1), (100, 9), (10, 30)])
    replace = {"type": "Replace", "pattern": {"String": "e"}, "content": "e" * times}
    content["normalizer"] = {"type": "Sequence", "normalizers": [replace] * rounds}


def _padding(content: dict[str, Any], rng: random.Random) -> None:
    content["padding"] = {
        **{"strategy": {"Fixed": 2**40}, "direction": "Right", "pad_to_multiple_of": None},
        **{"pad_id": 0, "pad_type_id": 0, "pad_token": "x"},
    }


def _template_ids(content: dict[str, Any], rng: random.Random) -> None:
    number = rng.choice([9999, 2**22, 2**31])
    content["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [
            {"SpecialToken": {"id": "<x>", "type_id": 0}},
            {"Sequence": {"id": "A", "type_id": 0}},
        ],
        "pair": [
            {"Sequence": {"id": "A", "type_id": 0}},
            {"Sequence": {"id": "B", "type_id": 0}},
        ],
        "special_tokens": {"<x>": {"id": "<x>", "ids": [number], "tokens": ["<x>"]}},
    }


def _no_vocabulary(content: dict[str, Any], rng: random.Random) -> None:
    content["model"]["vocab"] = rng.choice([{}, [], "a", {"a": 0}, {"a": "b"}])


FAST = "tokenizer.json"
TOKENIZER_CASES = (
    Case("tokenizer: far id", edited(FAST, _far_id), ALL),
    Case("tokenizer: far id", edited(FAST, _far_id), ALL),
    Case("tokenizer: slow pattern", edited(FAST, _slow_pattern), ALL),
    Case("tokenizer: slow normaliser", edited(FAST, _slow_normalizer), ALL),
    Case("tokenizer: growth", edited(FAST, _growth), ALL),
    Case("tokenizer: padding", edited(FAST, _padding), ALL),
    Case("tokenizer: ids of a template", edited(FAST, _template_ids), ALL),
    Case("tokenizer: no vocabulary", edited(FAST, _no_vocabulary), ALL),
    Case("tokenizer: damaged", raw(FAST), ALL),
    Case("tokenizer: odd file", odd_file(FAST, "tokenizer_config.json"), ALL),
    Case(
        "tokenizer: model",
        edited(FAST, lambda content, rng: content["model"].update(type=rng.choice(["X", 5, []]))),
        ALL,
    ),
    Case(
        "tokenizer: wrong merges",
        edited(
            FAST,
            lambda content, rng: content["model"].update(
                merges=rng.choice([["zz qq"], [5], "a", [["a"]], [["zzz", "qqq"]]])
            ),
        ),
        ("gpt2", "llama", "roberta", "sharded", "lora"),
    ),
    Case("tokenizer: settings damaged", raw("tokenizer_config.json"), ALL),
    Case("tokenizer: settings", wrong_type("tokenizer_config.json"), ALL),
    Case("tokenizer: own code", edited("tokenizer_config.json", _tokenizer_auto_map), ALL),
    Case(
        "tokenizer: class",
        setting(
            "tokenizer_class",
            *("os.system", "PreTrainedModel", 5, [], "GPT2LMHeadModel"),
            file="tokenizer_config.json",
        ),
        ALL,
    ),
    Case(
        "tokenizer: template",
        setting("chat_template", TEMPLATE, "{% for", file="tokenizer_config.json"),
        ALL,
        True,
    ),
    Case(
        "tokenizer: decoder of ids",
        setting(
            "added_tokens_decoder",
            *({str(2**40): {"content": "<far>"}}, {"a": {}}, {"5": 5}, [1]),
            file="tokenizer_config.json",
        ),
        ALL,
    ),
)


# --- the weights


def header(edit: Callable[[dict[str, Any], random.Random], None]) -> Change:
    """Return a change of the header of weights, the rest of the file staying as it is."""

    def change(folder: Path, rng: random.Random) -> None:
        path = sorted(folder.glob("*.safetensors"))[0]
        content = path.read_bytes()
        (length,) = struct.unpack("<Q", content[:8])
        names = json.loads(content[8 : 8 + length])
        edit(names, rng)
        text = json.dumps(names).encode()
        path.write_bytes(struct.pack("<Q", len(text)) + text + content[8 + length :])

    return change


def _tensor(names: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    found: dict[str, Any] = names[rng.choice([key for key in names if key != "__metadata__"])]
    return found


def _shape(names: dict[str, Any], rng: random.Random) -> None:
    one = _tensor(names, rng)
    one["shape"] = rng.choice(
        [[2**40], [2**31, 2**31], [2**63, 2], [], [-1], "a", one["shape"] * 2]
    )


def _offsets(names: dict[str, Any], rng: random.Random) -> None:
    one = _tensor(names, rng)
    start, end = one["data_offsets"]
    one["data_offsets"] = rng.choice(
        [[0, end - start], [start + 2**40, end + 2**40], [end, start], [start], [-1, 5], "a"]
    )


def _dtype(names: dict[str, Any], rng: random.Random) -> None:
    _tensor(names, rng)["dtype"] = rng.choice(["I32", "U32", "F64", "BF16", "X", 5, "F8_E4M3"])


def _rename(names: dict[str, Any], rng: random.Random) -> None:
    name = rng.choice([key for key in names if key != "__metadata__"])
    names[f"other.{name}"] = names.pop(name)


def _foreign(names: dict[str, Any], rng: random.Random) -> None:
    names["__metadata__"] = rng.choice([{"format": "tf"}, {"format": 5}, 5, ["a"], {"format": "x"}])


def whole_file(folder: Path, rng: random.Random) -> None:
    """Damage the bytes of a file of weights."""
    path = sorted(folder.glob("*.safetensors"))[0]
    content = path.read_bytes()
    longest = struct.pack("<Q", 2 ** rng.choice([20, 27, 31, 40, 63]))
    path.write_bytes(
        rng.choice(
            [
                longest + content[8:],
                content[: rng.randrange(len(content))],
                content[:4],
                content + bytes(1000),
                bytes(len(content)),
                struct.pack("<Q", 2) + b"{}",
                rng.randbytes(3000),
                pickle.dumps(Pickle("weights")),
            ]
        )
    )


def no_number(folder: Path, rng: random.Random) -> None:
    """Put NaN or infinity into a weight."""
    from safetensors.torch import load_file, save_file

    path = sorted(folder.glob("*.safetensors"))[0]
    weights = load_file(path)
    one = weights[rng.choice(sorted(weights))]
    one.view(-1)[rng.randrange(one.numel())] = rng.choice([float("nan"), float("inf")])
    save_file(weights, path, metadata={"format": "pt"})


def distributed(folder: Path, rng: random.Random) -> None:
    """Add what transformers takes for weights that many processes wrote."""
    path = sorted(folder.glob("*.safetensors"))[0]
    shutil.copy(path, folder / "shard-00000-model-00001-of-00001.safetensors")


WEIGHT_CASES = (
    Case("header: shape", header(_shape), ALL),
    Case("header: offsets", header(_offsets), ALL),
    Case("header: dtype", header(_dtype), ALL),
    Case("header: name", header(_rename), ALL),
    Case("header: metadata", header(_foreign), ALL),
    Case("weights: damaged", whole_file, ALL),
    Case("weights: no number", no_number, ALL),
    Case("weights: odd file", odd_file("model.safetensors"), SINGLE),
    Case("weights: distributed", distributed, WHOLE),
)


# --- the index of several files


def _other_place(content: dict[str, Any], rng: random.Random) -> None:
    places = content["weight_map"]
    name = rng.choice(sorted(places))
    places[name] = rng.choice(
        [
            *("pytorch_model.bin", "training_args.bin", "../twin/model.safetensors"),
            *("/etc/passwd", "/dev/zero", "nothing.safetensors", 5, None, ["a"], ""),
            *("modeling_hostile.py", "../../../x.safetensors", "custom_generate"),
        ]
    )


def _all_pickles(content: dict[str, Any], rng: random.Random) -> None:
    content["weight_map"] = dict.fromkeys(content["weight_map"], "pytorch_model.bin")


def odd_shard(folder: Path, rng: random.Random) -> None:
    """Put something else into the place of one of several files of weights."""
    name = sorted(path.name for path in folder.glob("*.safetensors"))[0]
    path = folder / name
    (folder.parent / name).write_bytes(path.read_bytes())
    path.unlink()
    if rng.random() < 0.5:
        os.mkfifo(path)
    else:
        path.symlink_to(rng.choice([f"../{name}", "/dev/zero", name, "/etc/passwd"]))


INDEX = "model.safetensors.index.json"
INDEX_CASES = (
    Case("index: another place", edited(INDEX, _other_place), ("sharded",)),
    Case("index: another place", edited(INDEX, _other_place), ("sharded",)),
    Case("index: pickles", edited(INDEX, _all_pickles), ("sharded",)),
    Case("index: damaged", raw(INDEX), ("sharded",)),
    Case("index: wrong type", wrong_type(INDEX), ("sharded",)),
    Case("index: odd file", odd_file(INDEX), ("sharded",)),
    Case("index: odd shard", odd_shard, ("sharded",)),
    Case(
        "index: no weights",
        setting("weight_map", {}, [], None, 5, {"a": {}}, file=INDEX),
        ("sharded",),
    ),
)


# --- adapters

ADAPTER = "adapter_config.json"
SLOW_NAMES = ("(\\w+\\.?)+X", "((a|t|r|n|s)+\\.?)*(\\w+)*!", "(.*\\.?)+(.*\\w)+X$", "(")


def base_in_a_circle(folder: Path, rng: random.Random) -> None:
    """Make adapters that are for one another."""
    other = folder.parent / "other"
    shutil.copytree(folder, other)
    target = rng.choice([folder, other])
    setting("base_model_name_or_path", str(target), file=ADAPTER)(folder, rng)
    setting("base_model_name_or_path", str(folder), file=ADAPTER)(other, rng)


def hostile_base(folder: Path, rng: random.Random) -> None:
    """Make an adapter for a hostile model."""
    base = folder.parent / "base"
    shutil.copytree(folder.parent / "twin-base", base)
    plant(base)
    choice = rng.choice([edited("config.json", _auto_map), whole_file, raw("config.json")])
    choice(base, rng)
    setting("base_model_name_or_path", str(base), file=ADAPTER)(folder, rng)


def pickled_adapter(folder: Path, rng: random.Random) -> None:
    """Leave an adapter's weights as a pickle alone, or in parts."""
    path = folder / "adapter_model.safetensors"
    if rng.random() < 0.5:
        content = {"metadata": {}, "weight_map": {"a": "adapter_model.bin"}}
        (folder / "adapter_model.safetensors.index.json").write_text(json.dumps(content))
    path.unlink()


LORA = ("lora",)
ADAPTER_CASES = (
    Case(
        "adapter: base",
        setting(
            "base_model_name_or_path",
            *("https://example.com/m", "s3://key:secret@host/m", "../../..", "/etc", None, 5, []),
            *("", ".", "scratch:gpt2", "live:x", "file:///etc/passwd", "x" * 5000, "a\0b"),
            file=ADAPTER,
        ),
        LORA,
    ),
    Case("adapter: circle", base_in_a_circle, LORA),
    Case("adapter: hostile base", hostile_base, LORA),
    Case("adapter: pickle", pickled_adapter, LORA),
    Case("adapter: rank", setting("r", 2**20, 2**26, 2**40, 0, -1, "a", [8], file=ADAPTER), LORA),
    Case(
        "adapter: rank by pattern",
        setting("rank_pattern", {"c_attn": 2**30}, {SLOW_NAMES[0]: 8}, [1], "a", file=ADAPTER),
        LORA,
    ),
    Case("adapter: slow pattern", setting("target_modules", *SLOW_NAMES, file=ADAPTER), LORA),
    Case(
        "adapter: slow pattern of layers",
        edited(
            ADAPTER,
            lambda content, rng: content.update(
                layers_to_transform=[0], layers_pattern=rng.choice(SLOW_NAMES)
            ),
        ),
        LORA,
    ),
    Case(
        "adapter: slow modules to save",
        setting("modules_to_save", [SLOW_NAMES[0]], 5, {"a": 1}, file=ADAPTER),
        LORA,
    ),
    Case(
        "adapter: kind",
        setting("peft_type", "XLORA", "PROMPT_TUNING", "x", 5, [], None, file=ADAPTER),
        LORA,
    ),
    Case(
        "adapter: import",
        edited(
            ADAPTER,
            lambda content, rng: content.update(
                megatron_config={"a": 1}, megatron_core="hostile_core"
            ),
        ),
        LORA,
    ),
    Case(
        "adapter: copies of layers",
        setting("layer_replication", [[0, 10**9]], [[0, 2]] * 999, "a", file=ADAPTER),
        LORA,
    ),
    Case(
        "adapter: cache",
        setting("lora_ga_config", {"cache_file": "adapter_model.bin"}, file=ADAPTER),
        LORA,
    ),
    Case("adapter: wrong type", wrong_type(ADAPTER), LORA),
    Case("adapter: damaged", raw(ADAPTER), LORA),
    Case("adapter: odd file", odd_file(ADAPTER, "adapter_model.safetensors"), LORA),
    Case("adapter: alpha", setting("lora_alpha", "a", [1], {}, float("nan"), file=ADAPTER), LORA),
)

CASES = (*CONFIG_CASES, *TOKENIZER_CASES, *WEIGHT_CASES, *INDEX_CASES, *ADAPTER_CASES)
