"""Adapters over a base in 4 bits: trained, recorded, resumed, read everywhere, and refused."""

from __future__ import annotations

import json
import logging
import re
import shutil
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

import nextfill
from nextfill.cli.main import main
from nextfill.core.errors import ConfigError
from nextfill.hub.model_card import make_card, with_place
from nextfill.hub.upload import READ_INSTEAD, is_sent
from nextfill.models.adapters.quantization import QUANTIZATION_FILE
from nextfill.models.libraries import quiet_bitsandbytes
from nextfill.runs.reader import read_run

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing"),
    # By PEFT alone, of what it reads.
    pytest.mark.filterwarnings("ignore:Model has `tie_word_embeddings=True`"),
    pytest.mark.filterwarnings("ignore:fan_in_fan_out is set"),
]

JOB = {"max_steps": 4, "block_size": 32, "quiet": True, "device": "cpu", "precision": "fp32"}
JOB |= {"test_size": 0.1, "learning_rate": 1e-2, "lora_rank": 4, "lora_quantization": "nf4"}


@pytest.fixture(scope="module")
def wide_model(tmp_path_factory, tiny_tokenizer):
    """Folder of a GPT-2 of width 64, whose rows are whole blocks, with large weights."""
    import torch
    from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel

    tokenizer = AutoTokenizer.from_pretrained(tiny_tokenizer)
    shape = {"n_embd": 64, "n_layer": 2, "n_head": 2, "n_positions": 128}
    ids = {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("bos", "eos")}
    folder = tmp_path_factory.mktemp("wide")
    torch.manual_seed(0)
    model = GPT2LMHeadModel(GPT2Config(vocab_size=len(tokenizer), **shape, **ids))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(4)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def job(wide_model, text_file):
    return {"model": str(wide_model), "data": str(text_file), **JOB}


@pytest.fixture(scope="module")
def done(tmp_path_factory, wide_model, text_file):
    """A run, which is not to be changed."""
    out = tmp_path_factory.mktemp("done") / "run"
    return nextfill.train(out=out, model=str(wide_model), data=str(text_file), **JOB)


def test_before_and_after_are_of_the_same_weights_and_the_cost_is_told(done, job, tmp_path):
    whole = nextfill.train(out=tmp_path / "whole", **{**job, "lora_quantization": "none"})
    base = done.quantized_base
    assert base.without.nats == pytest.approx(whole.before.nats, rel=1e-9)
    assert done.before.nats != pytest.approx(whole.before.nats, rel=1e-4)
    assert done.after.nats < done.before.nats
    assert (base.type, base.layers, base.weights) == ("nf4", 8, 2 * 12 * 64 * 64)
    assert base.bytes_now < 0.14 * base.bytes_before
    assert base.left == ("lm_head",)
    cost = f"{done.before.perplexity / whole.before.perplexity - 1:+.2%}"
    assert f"with whole weights ({cost})" in repr(done)
    for page in (Path(done.run) / "report.html", Path(done.model) / "README.md"):
        text = page.read_text("utf-8")
        assert "are held in 4 bits (nf4)" in text
        assert f"with whole weights ({cost})" in text.replace("\\", "")
    plain = json.loads(json.dumps(done.to_json()))["quantized_base"]
    assert plain["without"]["nats"] == base.without.nats
    assert whole.quantized_base is None
    assert "quantized_base" not in whole.to_json()


def test_every_command_reads_the_base_in_4_bits(done, job, tmp_path):
    evaluated = nextfill.evaluate(done.run)
    assert evaluated.nats == done.after.nats
    assert evaluated.base.evaluation.nats == done.before.nats
    moved = tmp_path / "moved"
    shutil.copytree(done.run, moved)
    assert nextfill.evaluate(moved).nats == done.after.nats
    compared = nextfill.evaluate(done.run, str(moved))
    assert {one.nats for one in compared.evaluations.values()} == {done.after.nats}
    # On other documents nothing is on record, and the base is held in 4 bits anew.
    other = tmp_path / "other.txt"
    other.write_text("\n\n".join(Path(job["data"]).read_text().split("\n\n")[:9]))
    run, alone, whole = (
        nextfill.evaluate(one, data=str(other), block_size=32)
        for one in (done.run, done.model, job["model"])
    )
    assert run.nats == alone.nats
    assert run.base.evaluation.nats == alone.base.evaluation.nats
    assert run.base.evaluation.nats != pytest.approx(whole.nats, rel=1e-4)
    sample = nextfill.generate(done.run, "Leaf", max_new_tokens=8, seed=0)
    again = nextfill.generate(Path(done.model), "Leaf", max_new_tokens=8, seed=0)
    assert str(sample) == str(again)


def test_a_run_trained_further_is_over_the_same_weights(done, job, tmp_path):
    settings = {**job, "model": done.run}
    del settings["lora_rank"], settings["lora_quantization"]
    more = nextfill.train(out=tmp_path / "more", **settings)
    assert more.before.nats == pytest.approx(done.after.nats, rel=1e-9)
    assert more.quantized_base.without is None
    assert more.quantized_base.weights == done.quantized_base.weights
    records = [Path(one.model) / QUANTIZATION_FILE for one in (done, more)]
    assert records[0].read_bytes() == records[1].read_bytes()
    assert nextfill.evaluate(more.run).nats == more.after.nats


def test_a_run_that_was_cut_off_ends_with_the_same_bytes(job, tmp_path):
    settings = {**job, "save_every": 2, "lora_dora": True}
    whole = nextfill.train(out=tmp_path / "run", **settings)
    names = ("adapter_model.safetensors", "adapter_config.json", QUANTIZATION_FILE)
    saved = [(Path(whole.model) / name).read_bytes() for name in names]
    shutil.rmtree(tmp_path / "run" / "checkpoints" / "step-00000004")
    shutil.rmtree(tmp_path / "run" / "model")
    again = nextfill.train(out=tmp_path / "run", resume=True)
    assert again.after == whole.after
    assert [(Path(whole.model) / name).read_bytes() for name in names] == saved
    assert again.quantized_base == whole.quantized_base


def test_what_is_merged_or_bundled_is_the_model_that_was_trained(done, job, tmp_path):
    merged = nextfill.train(out=tmp_path / "merged", lora_merge=True, **job)
    assert merged.after.nats == done.after.nats
    assert not (Path(merged.model) / QUANTIZATION_FILE).exists()
    assert nextfill.evaluate(merged.run).nats == pytest.approx(done.after.nats, rel=1e-5)
    nextfill.bundle(done.run, out=tmp_path / "one.zip")
    with zipfile.ZipFile(tmp_path / "one.zip") as archive:
        archive.extractall(tmp_path / "open")
    [config] = (tmp_path / "open").rglob("config.json")
    scored = nextfill.evaluate(config.parent, data=job["data"], block_size=32)
    here = nextfill.evaluate(done.run, data=job["data"], block_size=32)
    assert scored.nats == pytest.approx(here.nats, rel=1e-5)


def test_the_record_is_shared_and_replaced_with_the_adapter():
    assert is_sent(QUANTIZATION_FILE)
    assert QUANTIZATION_FILE in READ_INSTEAD


@pytest.mark.trial
def test_an_adapter_is_shared_with_its_record(tmp_path, text_file):
    run = nextfill.train(
        model="builtin:base-causal", data=str(text_file), out=tmp_path / "run", **JOB
    )
    nextfill.bundle(run.run, out=tmp_path / "one.zip", adapter=True)
    with zipfile.ZipFile(tmp_path / "one.zip") as archive:
        archive.extractall(tmp_path / "open")
    [record] = (tmp_path / "open").rglob(QUANTIZATION_FILE)
    scored = nextfill.evaluate(record.parent, data=str(text_file), block_size=32)
    assert scored.nats == nextfill.evaluate(run.run, data=str(text_file), block_size=32).nats


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--lora-quantization nf4", "--lora-quantization needs --lora-rank."),
        ("--lora-rank 2 --lora-quantization nf4 --lora-init pissa", "(--lora-init pissa) changes"),
        ("--lora-rank 2 --lora-quantization nf4 --lora-init olora", "or give --lora-init eva."),
        ("--lora-rank 2 --lora-quantization int8", "none"),
        ("--lora-rank 2 --lora-quantization nf4 --backend keras", "trains whole models"),
    ],
)
def test_mistakes_are_told(fails, wide_model, text_file, words, said):
    assert said in fails("train", "--model", wide_model, "--data", text_file, *words.split())


def test_an_adapter_that_is_there_keeps_its_base(done, fails, text_file):
    words = ["--lora-quantization", "nf4"]
    said = fails("train", "--model", done.run, "--data", text_file, *words)
    assert "--lora-quantization: " in said
    assert "has an adapter already" in said


def test_a_live_model_keeps_its_weights(wide_model, job, tmp_path):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    live = {
        "model": AutoModelForCausalLM.from_pretrained(wide_model),
        "tokenizer": AutoTokenizer.from_pretrained(wide_model),
    }
    with pytest.raises(ConfigError, match="a live one is yours: give the name or the folder"):
        nextfill.train(out=tmp_path / "run", **{**job, **live})


def test_without_bitsandbytes_the_command_to_install_it_is_told(done, job, fails, monkeypatch):
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)  # by which Python finds none
    install = "is not installed. Type: pip install 'nextfill[quantization]'"
    train = ["train", "--model", job["model"], "--data", job["data"], "--lora-rank", "2"]
    said = fails(*train, "--lora-quantization", "nf4")
    assert f"--lora-quantization nf4 needs bitsandbytes, which {install}" in said
    for words in (["generate", done.run, "Leaf"], ["evaluate", done.run], ["bundle", done.run]):
        said = fails(*words)
        assert f"an adapter over weights of 4 bits, needs bitsandbytes, which {install}" in said


def test_what_bitsandbytes_tells_of_itself_is_not_shown(caplog):
    quiet_bitsandbytes()
    logger = logging.getLogger("bitsandbytes.backends.cpu.ops")
    logger.warning("Failed to load CPU gemm_4bit_forward from kernels-community: %s.", "none")
    logger.warning("Something else")
    assert [record.getMessage() for record in caplog.records] == ["Something else"]


@pytest.mark.trial
def test_nothing_of_bitsandbytes_own_is_shown(done, tmp_path):
    """It tells of a kernel that it lacks as it is imported, which PEFT does for any adapter."""
    words = ["generate", done.run, "Leaf", "--max-new-tokens", "2"]
    ran = subprocess.run(
        [sys.executable, "-m", "nextfill", *words], capture_output=True, text=True, check=True
    )
    assert "kernel" not in ran.stderr
    assert "warn" not in ran.stderr.lower()


def test_the_card_says_how_to_have_the_base_in_4_bits_elsewhere(done):
    facts = read_run(done.run)
    assert "BitsAndBytesConfig" not in make_card(facts, is_adapter=True)  # of no use elsewhere
    facts = replace(facts, config={**facts.config, "model": {"name": "me/base"}})
    assert "BitsAndBytesConfig" not in make_card(facts, is_adapter=False)
    card = with_place(make_card(facts, is_adapter=True), "me/mine")
    assert "In training its base was held in 4 bits" in card
    [code] = [one for one in re.findall("```python\n(.*?)```", card, re.DOTALL) if "in_4" in one]
    compile(code, "card", "exec")
    assert 'llm_int8_skip_modules=["lm_head"]' in code
    assert 'AutoModelForCausalLM.from_pretrained("me/base"' in code
    assert 'PeftModel.from_pretrained(base, "me/mine")' in code


def test_what_is_held_and_what_stays_whole_is_noted(job, capsys, tmp_path):
    words = ["train", "--model", job["model"], "--data", job["data"], "--max-steps", "1"]
    words += ["--block-size", "32", "--lora-rank", "2", "--lora-head", "--out", str(tmp_path / "a")]
    assert main([*words, "--lora-quantization", "nf4", "--device", "cpu"]) == 0
    said = " ".join(capsys.readouterr().err.split())
    assert "8 linear layers held in 4 bits: 0.1 MB in place of 0.4 MB; lm_head stays whole" in said
    assert "cost of the 4 bits: perplexity" in said
