"""Compiled layers compute what the others do; where they cannot be made, this is said."""

import tomllib
from functools import partial

import pytest
import torch
from torch import nn

from nextfill.cli.main import main
from nextfill.core.errors import ConfigError
from nextfill.data.packing.block_reader import NO_TARGET
from nextfill.models.compilation import CompiledLayers, check_compiler, compile_problem
from nextfill.models.documents.isolation import padding_isolation
from nextfill.models.last_layer import LastLayer
from nextfill.models.step import StepModule
from nextfill.runs.directory import RunDirectory

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning:torch"),
    # Where the compiler breaks a graph, it reads the gradients of what goes over, and hides this
    # warning where warnings are shown, which is too late where they are errors.
    pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf"),
]


def words_of(model, data, out):
    words = ["train", "--model", model, "--data", data, "--out", out, "--max-steps", 4]
    words += ["--block-size", 32, "--batch-size", 4, "--precision", "fp32", "--quiet"]
    return [*map(str, words), "--save-every", "2", "--set", "model.config.n_layer=1"]


@pytest.mark.trial
def test_a_compiled_run_has_the_losses_of_the_plain_one_and_goes_on(
    tiny_tokenizer, text_file, tmp_path, monkeypatch
):
    losses, used = [], []
    real = CompiledLayers.in_use
    monkeypatch.setattr(CompiledLayers, "in_use", lambda own: used.append(own) or real(own))
    for compiled in (True, False):
        run = tmp_path / str(compiled)
        words = words_of("scratch:gpt2", text_file, run)
        words += ["--tokenizer", str(tiny_tokenizer), "--dropout", "0"]
        for key, value in {"n_embd": 16, "n_head": 2, "n_positions": 32}.items():
            words += ["--set", f"model.config.{key}={value}"]
        assert main([*words, *(["--compile"] if compiled else [])]) == 0
        settings = tomllib.loads((run / "config.toml").read_text("utf-8"))
        assert settings["training"]["compile"] == compiled
        losses.append([one["loss"] for one in RunDirectory(run).read_events("step")])
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    assert len(used) == 1 + 4  # a trial, and a step each
    run = tmp_path / "True"
    weights = (run / "model/model.safetensors").read_bytes()
    for name in ("model", "checkpoints/step-00000004"):
        (run / name).rename(tmp_path / name.replace("/", "-"))
    assert main(["train", "--out", str(run), "--resume", "--quiet"]) == 0
    assert (run / "model/model.safetensors").read_bytes() == weights


def test_layers_are_plain_outside_of_a_step():
    layer = nn.Linear(2, 2)
    compiled = CompiledLayers(layer)
    plain = layer.forward
    with compiled.in_use():
        assert layer.forward is not plain
    assert layer.forward == plain
    assert "forward" not in vars(layer)


def test_without_a_compiler_it_says_what_to_install(monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(ConfigError, match=r"needs a C\+\+ compiler \(CXX=no-such-compiler"):
        check_compiler(torch.device("cpu"))
    check_compiler(torch.device("cuda"))
    monkeypatch.delenv("CXX")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ConfigError, match="install one, such as by"):
        check_compiler(torch.device("cpu"))


def test_a_model_that_cannot_be_compiled_is_told(tiny_model):
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(tiny_model)

    class Step(nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, *batch):
            raise RuntimeError("no such kernel")

    assert compile_problem(Step(), model, CompiledLayers(model), 1, 4) == (
        "RuntimeError: no such kernel"
    )
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize("graph", ["whole", "broken"])
def test_compiled_layers_get_no_hook_in_a_step(graph, tiny_masked, monkeypatch):
    from transformers import AutoModelForMaskedLM
    from transformers.models.roberta import modeling_roberta

    torch._dynamo.reset()
    if graph == "broken":
        inner = modeling_roberta.create_bidirectional_mask
        monkeypatch.setattr(
            modeling_roberta,
            "create_bidirectional_mask",
            lambda **named: torch._dynamo.graph_break() or inner(**named),
        )
    real, began = torch.compile, []
    eager = partial(real, backend="eager")
    monkeypatch.setattr(torch, "compile", lambda forward, dynamic, options: eager(forward))
    own = LastLayer.at
    monkeypatch.setattr(LastLayer, "at", lambda *of: began.append(1) or own(*of))
    model = AutoModelForMaskedLM.from_pretrained(tiny_masked)
    module = StepModule(model, padding_isolation(model, "masked")).eval()
    ids = torch.randint(5, 50, (2, 12), generator=torch.Generator().manual_seed(0))
    labels = torch.full_like(ids, NO_TARGET)
    labels[:, 3] = ids[:, 3]
    batch = ids, labels, torch.arange(12).expand(2, 12), torch.zeros_like(ids)
    began.clear()  # of the trials of how the last layer can be left out
    before = module(*batch)
    assert len(began) == 1
    layers = module.compile_layers()
    with module.in_training():
        assert layers.are_in_use
        torch.testing.assert_close(module(*batch), before)
    assert len(began) == 1
    assert not layers.are_in_use
    module(*batch)
    assert len(began) == 2
