"""Adapters at the command line and from Python: resumed, merged, shared, and refused with words."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

import nextfill
from nextfill.cli.main import main
from nextfill.config.resumption import further_run
from nextfill.runs.reader import train_result
from tests.representative import often

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing"),
    # By PEFT alone, of what it reads.
    pytest.mark.filterwarnings("ignore:Model has `tie_word_embeddings=True`"),
    pytest.mark.filterwarnings("ignore:fan_in_fan_out is set"),
]

JOB = {"max_steps": 4, "block_size": 32, "quiet": True, "device": "cpu", "precision": "fp32"}
JOB |= {"test_size": 0.1, "learning_rate": 1e-2}
KINDS = {
    "pissa": {"lora_init": "pissa"},
    "olora": {"lora_init": "olora", "lora_scaling": "rank-stabilised"},
    "dora": {"lora_dora": True},
    "eva": {"lora_init": "eva", "lora_head": True},
    "norms": {"lora_norms": True},
}


@pytest.fixture
def job(tiny_model, text_file):
    return {"model": str(tiny_model), "data": str(text_file), "lora_rank": 4, **JOB}


@pytest.mark.parametrize("kind", often(KINDS, ["pissa", "dora"]))
def test_a_run_that_was_cut_off_ends_with_the_same_bytes(job, kind, tmp_path):
    settings = {**job, **KINDS[kind], "save_every": 2}
    whole = nextfill.train(out=tmp_path / "whole", **settings)
    nextfill.train(out=tmp_path / "run", **settings)
    shutil.rmtree(tmp_path / "run" / "checkpoints" / "step-00000004")
    shutil.rmtree(tmp_path / "run" / "model")
    again = nextfill.train(out=tmp_path / "run", resume=True)
    assert again.after == whole.after
    for name in ("adapter_model.safetensors", "adapter_config.json"):
        one, other = (tmp_path / run / "model" / name for run in ("whole", "run"))
        assert one.read_bytes() == other.read_bytes()


@pytest.mark.parametrize("kind", often(KINDS, ["pissa", "dora"]))
def test_a_saved_adapter_is_the_model_that_was_trained(job, kind, tmp_path, tiny_model):
    import peft

    settings = {**job, **KINDS[kind]}
    alone = nextfill.train(out=tmp_path / "alone", **settings)
    merged = nextfill.train(out=tmp_path / "merged", lora_merge=True, **settings)
    assert alone.after.nats < alone.before.nats
    assert nextfill.evaluate(alone.run).nats == alone.after.nats
    assert nextfill.evaluate(merged.run).nats == pytest.approx(alone.after.nats, rel=1e-5)

    ids = torch.arange(20)[None]
    base = AutoModelForCausalLM.from_pretrained(tiny_model)
    plain = AutoModelForCausalLM.from_pretrained(Path(merged.run) / "model")
    with torch.no_grad():
        one = peft.PeftModel.from_pretrained(base, Path(alone.run) / "model")(ids).logits
        other = plain(ids).logits
    assert float((one - other).abs().max() / other.abs().max()) < 1e-5

    further = nextfill.train(
        **{**job, "model": alone.run, "lora_rank": None}, out=tmp_path / "more"
    )
    assert further.before.nats == pytest.approx(alone.after.nats, rel=1e-5)


def test_what_is_bundled_is_the_trained_model(job, tmp_path):
    import zipfile

    run = nextfill.train(out=tmp_path / "run", lora_init="pissa", **job)
    nextfill.bundle(run.run, out=tmp_path / "one.zip")
    with zipfile.ZipFile(tmp_path / "one.zip") as archive:
        archive.extractall(tmp_path / "open")
    [config] = (tmp_path / "open").rglob("config.json")
    scored = nextfill.evaluate(config.parent, data=job["data"], block_size=32)
    here = nextfill.evaluate(run.run, data=job["data"], block_size=32)
    assert scored.nats == pytest.approx(here.nats, rel=1e-5)


def test_the_saved_settings_are_those_of_a_plain_adapter(job, tmp_path):
    run = nextfill.train(out=tmp_path / "run", lora_init="pissa", **job)
    saved = json.loads((Path(run.model) / "adapter_config.json").read_text())
    assert (saved["r"], saved["lora_alpha"], saved["init_lora_weights"]) == (8, 16, True)
    shapes = {
        n: t.shape for n, t in load_file(Path(run.model) / "adapter_model.safetensors").items()
    }
    assert all(8 in shape for shape in shapes.values())


@pytest.fixture
def mixture(tmp_path, tiny_tokenizer):
    """Folder of a tiny Mixtral, whose experts share one weight."""
    from transformers import AutoTokenizer, MixtralConfig, MixtralForCausalLM

    tokenizer = AutoTokenizer.from_pretrained(tiny_tokenizer)
    shape = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2}
    shape |= {"num_attention_heads": 2, "num_key_value_heads": 1, "num_local_experts": 4}
    ids = {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("bos", "eos")}
    torch.manual_seed(0)
    config = MixtralConfig(vocab_size=len(tokenizer), max_position_embeddings=128, **shape, **ids)
    MixtralForCausalLM(config).save_pretrained(tmp_path / "mixture")
    tokenizer.save_pretrained(tmp_path / "mixture")
    return tmp_path / "mixture"


def test_a_mixture_is_trained_resumed_and_merged(job, mixture, tmp_path):
    settings = {**job, "model": str(mixture), "save_every": 2}
    whole = nextfill.train(out=tmp_path / "whole", **settings)
    merged = nextfill.train(
        out=tmp_path / "run", lora_merge=True, gradient_checkpointing=True, **settings
    )
    assert whole.after.nats < whole.before.nats
    assert merged.after.nats == pytest.approx(whole.after.nats, rel=1e-6)
    for run in (whole, merged):
        assert nextfill.evaluate(run.run).nats == pytest.approx(whole.after.nats, rel=1e-6)
    saved = (Path(whole.model) / "adapter_model.safetensors").read_bytes()
    shutil.rmtree(tmp_path / "whole" / "checkpoints" / "step-00000004")
    shutil.rmtree(tmp_path / "whole" / "model")
    again = nextfill.train(out=tmp_path / "whole", resume=True)
    assert again.after == whole.after
    assert (Path(again.model) / "adapter_model.safetensors").read_bytes() == saved
    assert nextfill.generate(again.run, "Leaf", max_new_tokens=3, seed=0)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--lora-dora", "--lora-dora needs --lora-rank."),
        ("--lora-init pissa --lora-merge", "--lora-init and --lora-merge need --lora-rank."),
        ("--lora-rank 2 --lora-targets experts", "Type: --lora-targets c_attn,c_fc,c_proj"),
        ("--lora-rank 2 --lora-targets c_atn", "no linear layer 'c_atn'. Did you mean 'c_attn'?"),
        ("--lora-rank 2 --lora-init psisa", "zero"),
        ("--lora-rank 2 --lora-scaling rank-stabilized", "Give rank-stabilised."),
    ],
)
def test_mistakes_are_told(fails, tiny_model, text_file, words, said):
    assert said in fails("train", "--model", tiny_model, "--data", text_file, *words.split())


def test_an_adapter_that_is_there_keeps_its_settings(job, fails, tmp_path, text_file):
    run = nextfill.train(out=tmp_path / "run", **job)
    said = fails("train", "--model", run.run, "--data", text_file, "--lora-alpha", "3")
    assert "--lora-alpha: " in said
    assert "has an adapter already" in said


@pytest.mark.parametrize("kind", often(KINDS, ["dora", "olora", "eva"]))
def test_the_command_that_trains_a_run_further_goes_on_with_its_adapter(
    job, kind, fails, tmp_path, capsys
):
    run = nextfill.train(out=tmp_path / "run", **{**job, **KINDS[kind]})
    command = shlex.split(further_run(Path(run.run)))
    words = command[command.index("train") + 1 :]
    out = tmp_path / "further"
    assert main(["train", *words, "--out", str(out), "--quiet"]) == 0
    further = train_result(out)
    assert further.before.nats == pytest.approx(run.after.nats, rel=1e-6)
    assert nextfill.train(out=out, resume=True).after == further.after
    capsys.readouterr()
    for other in (["--lora-rank", "9"], ["--lora-alpha", "3"], ["--lora-targets", "c_fc,wte"]):
        assert "has an adapter already" in fails("train", *words, *other)


def test_an_adapter_without_its_base_is_told(job, fails, tmp_path, text_file, tiny_model):
    base = tmp_path / "base"
    shutil.copytree(tiny_model, base)
    run = nextfill.train(**{**job, "model": str(base)}, out=tmp_path / "run")
    shutil.rmtree(base)
    for words in (["evaluate", run.run], ["train", "--model", run.run, "--data", text_file]):
        said = fails(*words)
        assert "is an adapter for" in said
        assert str(base) in said


def test_a_quantised_model_where_it_cannot_be_read_is_told(fails, tmp_path, tiny_model, text_file):
    folder = tmp_path / "quantised"
    shutil.copytree(tiny_model, folder)
    config = json.loads((folder / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "bitsandbytes", "load_in_4bit": True}
    (folder / "config.json").write_text(json.dumps(config))
    words = ["train", "--model", folder, "--data", text_file, "--lora-rank", "2"]
    said = fails(*words)
    assert "Its weights are quantized (bitsandbytes)" in said
    assert said.endswith("name the model that it was made from.")
