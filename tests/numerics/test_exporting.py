"""Exported models, read back by their own programs, beside the model that they were made from."""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import nextfill
from nextfill.cli.main import main
from nextfill.config import ModelConfig
from nextfill.core.checksums import file_problem
from nextfill.core.errors import ConfigError, ModelError
from nextfill.exporting import comparison, comparison_text, gguf_tensors
from nextfill.models.load import load_model
from tests.tiny_exports import CAUSAL, give_sentencepiece, make_tiny

CASES = [
    pytest.param("ctranslate2", "gpt2", marks=pytest.mark.trial),  # an engine, which has tests
    pytest.param("onnx", "llama", marks=pytest.mark.trial),  # a masked one is always tried
    ("gguf", "llama"),
]


@pytest.fixture(autouse=True)
def few_texts(monkeypatch):
    """The trials take as many as a command does."""
    monkeypatch.setattr(comparison_text, "NUM_ROWS", 2)
    monkeypatch.setattr(comparison_text, "NUM_PROMPTS", 4)
    monkeypatch.setattr(comparison, "NEW_TOKENS", 4)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """Return a function that makes a tiny random model of a family once, and names its folder."""
    root = tmp_path_factory.mktemp("tiny", numbered=False)

    def made(name: str) -> str:
        if not (root / name).is_dir():
            make_tiny(name, root / name)
        return str(root / name)

    return made


def by_numpy(to: str, folder: Path, ids: list[list[int]]) -> np.ndarray:
    """Return the logits that a program gives for texts of one length, used as its guide has it."""
    if to == "onnx":
        runtime = pytest.importorskip("onnxruntime")
        session = runtime.InferenceSession(str(folder / "model.onnx"))
        given = {"input_ids": np.array(ids), "attention_mask": np.ones_like(ids)}
        taken = {one.name: given[one.name] for one in session.get_inputs()}
        return session.run(None, taken)[0]
    library = pytest.importorskip("ctranslate2")
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokens = [tokenizer.convert_ids_to_tokens(row) for row in ids]
    return np.array(library.Generator(str(folder)).forward_batch(tokens))


@pytest.mark.parametrize(("to", "name"), CASES)
def test_what_is_exported_is_read_back_and_recorded(to, name, tiny, tmp_path):
    pytest.importorskip(to)
    made = nextfill.export(tiny(name), to=to, out=tmp_path / "out")
    found = made.comparison
    assert abs(found.relative_difference) < 1e-4
    assert found.equal_texts + found.tied_texts == found.texts == 4
    assert found.nats == pytest.approx(found.nats_of_model, rel=1e-4)
    record = json.loads((tmp_path / "out" / "export.json").read_text())
    assert record == json.loads(json.dumps(made.record()))
    assert all(file_problem(made.path / one, told) is None for one, told in made.written.items())
    assert {*made.files} == {*made.written}
    assert [one.name for one in tmp_path.iterdir()] == ["out"]
    assert to in record["versions"]
    assert "base/model.safetensors" in record["checksums"]
    if to != "gguf":
        ids = [[5, 9, 700, 0, 33], [4000, 3, 2, 8, 6]]
        loaded = load_model(ModelConfig(name=tiny(name)))
        expected = loaded.model(torch.tensor(ids)).logits.detach().numpy()
        assert by_numpy(to, made.path, ids) == pytest.approx(expected, abs=1e-4)


@pytest.mark.trial
def test_a_masked_model_in_onnx_heeds_the_padding(tiny, tmp_path):
    runtime = pytest.importorskip("onnxruntime")
    nextfill.export(tiny("roberta"), to="onnx", out=tmp_path / "out", quiet=True)
    loaded = load_model(ModelConfig(name=tiny("roberta")))
    session = runtime.InferenceSession(str(tmp_path / "out" / "model.onnx"))
    pad = loaded.tokenizer.pad_token_id
    ids = np.array([[7, 8, 9, 10, 11, 12, 13], [7, 8, 9, pad, pad, pad, pad]])
    mask = (np.arange(7) < np.array([[7], [3]])).astype(np.int64)
    [logits] = session.run(None, {"input_ids": ids, "attention_mask": mask})
    [alone] = session.run(None, {"input_ids": ids[1:, :3], "attention_mask": mask[1:, :3]})
    assert logits[1, :3] == pytest.approx(alone[0], abs=1e-4)
    expected = loaded.model(torch.tensor(ids[1:, :3])).logits.detach().numpy()
    assert alone == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    "name", [pytest.param(one, marks=pytest.mark.trial) for one in ("llama3", "llama", "qwen3")]
)
def test_gguf_is_read_by_its_library_where_llama_cpp_is_missing(name, tiny, tmp_path, monkeypatch):
    pytest.importorskip("gguf")
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    made = nextfill.export(tiny(name), to="gguf", out=tmp_path / "out")
    assert made.comparison.largest_difference == 0.0
    assert re.match(r"gguf [\d.]+, in PyTorch", made.comparison.runtime)
    rounded = nextfill.export(tiny(name), to="gguf", out=tmp_path / "q8", quantization="q8_0")
    assert 0 < rounded.comparison.largest_difference < 2
    assert abs(rounded.comparison.relative_difference) < 0.01
    assert rounded.files["model.gguf"] < 0.6 * made.files["model.gguf"]
    assert rounded.comparison_in_full.largest_difference == 0.0


@pytest.mark.trial
@pytest.mark.parametrize("prefix", ["prepend", "first", "never"])
def test_a_tokenizer_of_sentencepiece_is_there(prefix, tiny, tmp_path):
    library = pytest.importorskip("gguf")
    pytest.importorskip("xllamacpp")
    shutil.copytree(tiny("llama"), tmp_path / "model")
    give_sentencepiece(tmp_path / "model", prefix=prefix)
    notes = []

    class Notes(nextfill.Observer):
        def on_note(self, text):
            notes.append(text)

    out = tmp_path / "out"
    made = nextfill.export(tmp_path / "model", to="gguf", out=out, observer=Notes())
    assert abs(made.comparison.relative_difference) < 1e-4
    assert any("begins with a space" in note for note in notes) == (prefix == "first")
    fields = library.GGUFReader(made.path / "model.gguf").fields
    assert fields["tokenizer.ggml.model"].contents() == "llama"
    assert fields["tokenizer.ggml.add_space_prefix"].contents() == (prefix != "never")


def test_merges_that_scores_cannot_tell_are_refused(tiny, tmp_path):
    shutil.copytree(tiny("llama"), tmp_path / "model")
    give_sentencepiece(tmp_path / "model")
    path = tmp_path / "model" / "tokenizer.json"
    parts = json.loads(path.read_text("utf-8"))
    merges = parts["model"]["merges"]
    for kept in (merges[1:], [*merges[::2], *merges[1::2]]):
        parts["model"]["merges"] = kept
        path.write_text(json.dumps(parts), "utf-8")
        assert "with all of its merges" in refusal(
            tmp_path / "model", to="gguf", out=tmp_path / "out"
        )


@pytest.mark.filterwarnings("ignore")  # of PEFT, on its use by hand
def test_an_adapter_is_merged_and_new_tokens_are_there(tiny, tmp_path, monkeypatch):
    peft = pytest.importorskip("peft")
    library = pytest.importorskip("gguf")
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    loaded = load_model(ModelConfig(name=tiny("llama")))
    loaded.tokenizer.add_tokens(["<kraken>"])
    loaded.model.resize_token_embeddings(len(loaded.tokenizer) + 3, mean_resizing=False)
    adapter = peft.get_peft_model(loaded.model, peft.LoraConfig(target_modules=["q_proj"]))
    for name, one in adapter.named_parameters():
        if "lora_" in name:
            one.data = torch.randn(one.shape, generator=torch.Generator().manual_seed(1))
    before = {name: one.clone() for name, one in adapter.state_dict().items()}
    made = nextfill.export(adapter, tokenizer=loaded.tokenizer, to="gguf", out=tmp_path / "out")
    assert made.comparison.largest_difference < 1e-4
    reader = library.GGUFReader(made.path / "model.gguf")
    tokens = reader.fields["tokenizer.ggml.tokens"].contents()
    assert tokens[-4:] == ["<kraken>", *(f"[PAD{len(loaded.tokenizer) + at}]" for at in range(3))]
    assert all(torch.equal(one, before[name]) for name, one in adapter.state_dict().items())


def test_a_wrong_layout_is_refused_and_nothing_is_left(tiny, tmp_path, monkeypatch):
    pytest.importorskip("gguf")
    wrong = gguf_tensors.LAYOUTS["Qwen2ForCausalLM"].tensors  # without pairs abreast
    layout = gguf_tensors.Layout("llama", lambda config: [], LLAMA.sizes, wrong)
    monkeypatch.setitem(gguf_tensors.LAYOUTS, "LlamaForCausalLM", layout)
    pytest.importorskip("xllamacpp")
    with pytest.raises(ModelError, match="computes something else") as caught:
        nextfill.export(tiny("llama"), to="gguf", out=tmp_path / "out")
    assert "Nothing was written" in str(caught.value)
    assert not [*tmp_path.iterdir()]


LLAMA = gguf_tensors.LAYOUTS["LlamaForCausalLM"]


def test_an_interrupted_export_leaves_nothing(tiny, tmp_path, monkeypatch):
    pytest.importorskip("gguf")

    def interrupted(*words, **keywords):
        raise KeyboardInterrupt

    monkeypatch.setattr(comparison.Comparison, "compare", interrupted)
    with pytest.raises(KeyboardInterrupt, match="nothing was written"):
        nextfill.export(tiny("llama"), to="gguf", out=tmp_path / "out")
    assert not [*tmp_path.iterdir()]


def refusal(model, **settings) -> str:
    with pytest.raises(ConfigError) as caught:
        nextfill.export(model, **settings)
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "to", "telling"),
    [
        ("roberta", "gguf", "RobertaForMaskedLM, and the head for hidden tokens"),
        ("roberta", "ctranslate2", "RobertaForMaskedLM, whose head"),
        ("gpt_neo", "gguf", "GPTNeoForCausalLM, and the layers"),
        ("mistral_window", "gguf", "sliding_window=16"),
        ("gpt_neo", "ctranslate2", "cannot read"),
    ],
)
def test_what_has_no_place_is_refused_by_name(name, to, telling, tiny, tmp_path):
    pytest.importorskip(to)
    message = refusal(tiny(name), to=to, out=tmp_path / "out")
    assert telling in message
    assert message.endswith('give to="onnx".')
    assert not [*tmp_path.iterdir()]


def test_what_its_program_fails_at_is_refused(tiny, tmp_path):
    pytest.importorskip("ctranslate2")
    with pytest.raises(ModelError, match="MistralForCausalLM, cannot be read back: ValueError"):
        nextfill.export(tiny("mistral_window"), to="ctranslate2", out=tmp_path / "out")
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize(
    ("to", "module"), [("onnx", "onnx_format"), ("openvino", "openvino_format")]
)
def test_a_damaged_file_is_told_without_a_traceback(to, module, tmp_path, capsys, monkeypatch):
    pytest.importorskip(to)

    def damaged(loaded, path, flag):
        path.write_bytes(b"no model")

    monkeypatch.setattr(f"nextfill.exporting.{module}.write_onnx", damaged)
    words = ["export", "builtin:base-masked", "--to", to, "--out", str(tmp_path / "out")]
    assert main([*words, "--quiet"]) == 2
    printed = capsys.readouterr().err
    assert f"--to {to}" in printed
    assert "Traceback" not in printed
    assert not [*tmp_path.iterdir()]


def test_settings_are_refused_together():
    message = refusal("builtin:base-causal", quantization="q4_0")
    assert "give to=" in message
    assert "out=" in message
    for to, telling in (("onnx", "'int8'"), ("openvino", "leave it out")):
        assert re.search(
            "has no such weights",
            refusal("builtin:base-causal", to=to, out="x", quantization="q4_0"),
        ), telling


@pytest.mark.parametrize("to", ["ctranslate2", "gguf", "onnx", "openvino"])
def test_a_missing_library_comes_with_what_installs_it(to, monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(sys.modules, to, None)
    out = str(tmp_path / "out")
    assert main(["export", "builtin:base-causal", "--to", to, "--out", out]) == 2
    assert capsys.readouterr().err.rstrip().endswith(f"pip install 'nextfill[{to}]'")


def test_a_folder_with_files_is_left_alone(tmp_path, capsys):
    pytest.importorskip("gguf")
    (tmp_path / "note").write_text("mine")
    words = ["export", "builtin:base-causal", "--to", "gguf", "--out", str(tmp_path)]
    assert main(words) == 2
    assert "is not empty" in capsys.readouterr().err
    assert [one.name for one in tmp_path.iterdir()] == ["note"]


def test_the_command_prints_the_record(tiny, tmp_path, capsys, monkeypatch):
    pytest.importorskip("gguf")
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    out = str(tmp_path / "out")
    assert main(["export", tiny("gpt2"), "--to", "gguf", "--out", out, "--json", "--quiet"]) == 0
    printed = json.loads(capsys.readouterr().out)
    record = json.loads((tmp_path / "out" / "export.json").read_text())
    assert {**record, "path": out, "usage": printed["usage"]} == printed


def test_the_families_are_those_of_the_layouts():
    assert {"llama", "gpt2", "mistral", "qwen2", "qwen3"} <= {*CAUSAL}
