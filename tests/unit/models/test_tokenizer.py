"""Tokenizers of files without a tokenizer.json give the tokens that those files say, or none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import (
    AlbertConfig,
    AutoTokenizer,
    BertConfig,
    CTRLConfig,
    DistilBertConfig,
    ElectraConfig,
    EsmConfig,
    GPT2Config,
    LlamaConfig,
    OPTConfig,
    PreTrainedConfig,
    RobertaConfig,
    RoFormerConfig,
)

from nextfill.config import ModelConfig
from nextfill.core.errors import ModelError
from nextfill.models.tokenizer import load_tokenizer, load_tokenizer_facts

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = "the river past old stone ##s ##ing café cafe 12 3 . , ' isn t"
SMALL = [*SPECIAL, *WORDS.split()]
CAPITALS = [*SMALL, "The", "River", "O", "##LD"]
TEXT = "The River passing OLD stones, past café 12. Isn't it old?"


def load(folder: Path) -> Any:
    return load_tokenizer(ModelConfig(name=str(folder)))


def fail(folder: Path) -> str:
    with pytest.raises(ModelError) as caught:
        load(folder)
    return str(caught.value)


def write(folder: Path, config: PreTrainedConfig | None, **files: str) -> Path:
    folder.mkdir(exist_ok=True)
    if config is not None:
        config.save_pretrained(folder)
    for name, content in files.items():
        (folder / name.replace("_txt", ".txt").replace("_json", ".json")).write_text(content)
    return folder


def wordpiece(words: list[str], *, lower: bool) -> Tokenizer:
    """Return BERT's tokenizer, built of its parts."""
    made = Tokenizer(models.WordPiece({w: n for n, w in enumerate(words)}, unk_token=SPECIAL[1]))
    made.normalizer = normalizers.BertNormalizer(lowercase=lower)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    ends = [("[CLS]", words.index("[CLS]")), ("[SEP]", words.index("[SEP]"))]
    made.post_processor = processors.BertProcessing(ends[1], ends[0])
    return made


@pytest.mark.parametrize("config", [BertConfig(), DistilBertConfig(), ElectraConfig()])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("capitals", [False, True])
def test_a_vocab_txt_alone(
    config: PreTrainedConfig, end: str, capitals: bool, tmp_path: Path
) -> None:
    words = CAPITALS if capitals else SMALL
    folder = write(tmp_path / "old", config, vocab_txt="".join(f"{word}{end}" for word in words))
    truth = wordpiece(words, lower=not capitals)
    found = load(folder)
    assert found(TEXT)["input_ids"] == truth.encode(TEXT).ids
    assert found.unk_token_id not in found("The River" if capitals else "the river")["input_ids"]
    # What is known of it in the cache is the same, and so is what is saved beside a trained model.
    known = load_tokenizer_facts(ModelConfig(name=str(folder)), tmp_path / "cache")
    assert known(TEXT)["input_ids"] == truth.encode(TEXT).ids
    found.save_pretrained(tmp_path / "new")
    assert load(tmp_path / "new")(TEXT)["input_ids"] == truth.encode(TEXT).ids


@pytest.mark.parametrize("lower", [True, False])
def test_a_setting_says_the_case(lower: bool, tmp_path: Path) -> None:
    setting = json.dumps({"do_lower_case": lower})
    folder = write(
        tmp_path / "old",
        BertConfig(),
        vocab_txt="\n".join(CAPITALS),
        tokenizer_config_json=setting,
    )
    assert load(folder)(TEXT)["input_ids"] == wordpiece(CAPITALS, lower=lower).encode(TEXT).ids


@pytest.mark.parametrize("config", [GPT2Config(), RobertaConfig(), OPTConfig()])
def test_vocab_json_and_merges_txt_alone(
    config: PreTrainedConfig, tiny_tokenizer: Path, tmp_path: Path
) -> None:
    core = json.loads((tiny_tokenizer / "tokenizer.json").read_text())["model"]
    merges = ["#version: 0.2", *(" ".join(pair) for pair in core["merges"])]
    vocabulary = json.dumps(core["vocab"])
    folder = write(tmp_path / "old", config, vocab_json=vocabulary, merges_txt="\n".join(merges))
    truth = AutoTokenizer.from_pretrained(tiny_tokenizer)
    ids = load(folder)(TEXT, add_special_tokens=False)["input_ids"]
    assert ids == truth(TEXT)["input_ids"]
    assert len(ids) > 20
    (folder / "merges.txt").unlink()
    assert "vocab.json with that and merges.txt" in fail(folder)


@pytest.mark.parametrize("name", ["BertTokenizer", "GPT2Tokenizer", "LlamaTokenizer"])
def test_a_tokenizer_without_its_vocabulary_has_no_tokens(name: str, tmp_path: Path) -> None:
    setting = json.dumps({"tokenizer_class": name})
    folder = write(tmp_path / "old", LlamaConfig(), tokenizer_config_json=setting)
    assert "holds no vocabulary" in fail(folder)


@pytest.mark.parametrize(
    ("config", "name", "found"),
    [
        (LlamaConfig(), "tokenizer.model", "Found tokenizer.model"),
        (AlbertConfig(), "spiece.model", "Found spiece.model"),
        (RoFormerConfig(), "vocab.txt", "rjieba"),
        (EsmConfig(vocab_size=20), "vocab.txt", "has no tokenizer.json"),
        (CTRLConfig(), "vocab.json", "Found vocab.json"),
        (None, "vocab.txt", "vocab.txt is read with the config.json"),
        (BertConfig(), "vocab.json", ""),
    ],
)
def test_other_kinds_are_refused_by_name(
    config: PreTrainedConfig | None, name: str, found: str, tmp_path: Path
) -> None:
    folder = write(tmp_path / "old", config)
    ids = {word: number for number, word in enumerate(SMALL)}
    (folder / name).write_text(json.dumps(ids) if name == "vocab.json" else "\n".join(SMALL))
    assert found in fail(folder)
