"""Which models an evaluation loads: each once, and none whose figures a run has recorded."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
import transformers
from safetensors.torch import load_file, save_file

import nextfill
from nextfill.core.errors import RunError
from nextfill.core.progress import Silent
from tests.cli.evaluated.asking import QUICK, command, trained
from tests.cli.figures import figures


@pytest.fixture
def loads(monkeypatch):
    """The folders that weights are read from, in order."""
    found: list[str] = []
    read = transformers.PreTrainedModel.from_pretrained.__func__

    def counted(kind, folder, *args, **keywords):
        if folder is not None:  # else it is loaded without its weights
            found.append(str(folder))
        return read(kind, folder, *args, **keywords)

    monkeypatch.setattr(transformers.PreTrainedModel, "from_pretrained", classmethod(counted))
    return found


def check_loads(loads, *models):
    expected = [
        str(Path(one, "model") if Path(one, "config.toml").is_file() else one) for one in models
    ]
    assert loads == expected
    loads.clear()


@pytest.fixture(scope="module")
def further(paragraphs, tmp_path_factory):
    """Two more texts to evaluate on."""
    folder = tmp_path_factory.mktemp("further")
    for number, name in enumerate(("general", "domain")):
        (folder / f"{name}.txt").write_text("\n\n".join(paragraphs(9, seed=20 + number)), "utf-8")
    return folder


@pytest.fixture(scope="module", params=["no further set", "one", "two"])
def recorded(request, tiny_model, data, further, tmp_path_factory):
    """Runs with further evaluation sets and without."""
    number = {"no further set": 0, "one": 1, "two": 2}[request.param]
    sets = {name: str(further / f"{name}.txt") for name in ("general", "domain")[:number]}
    return trained(
        tiny_model, data, tmp_path_factory.mktemp("runs") / "run", evaluation=sets, precision="fp32"
    )


def test_what_a_run_recorded_of_its_base_is_used(recorded, tiny_model, loads):
    first = json.loads((recorded / "events.jsonl").read_text("utf-8").splitlines()[0])
    for settings in ({}, {"eval_batch_size": 3}, {"by": "kind"}, {"verify": True}, {"show": 2}):
        found = nextfill.evaluate(recorded, **settings)
        check_loads(loads, recorded)
        assert found.base.evaluation.nats == first["nats"]
    found = nextfill.evaluate(recorded, trust_remote_code=True)
    check_loads(loads, recorded)
    assert found.base.name == str(tiny_model)


@pytest.mark.parametrize(
    "settings",
    [
        {"stride": 7},
        {"block_size": 32},
        {"start_token": False},
        {"seed": 3},
        {"test_size": 0.3},
        {"split": "train[:30]"},
        {"precision": "bf16"},
    ],
    ids=lambda settings: next(iter(settings)),
)
def test_other_settings_score_the_base_anew(run, tiny_model, data, loads, settings):
    found = nextfill.evaluate(run, **settings)
    check_loads(loads, tiny_model, run)
    asked = {"data": data, "text_field": "text", "test_size": 0.1, **settings}
    if "block_size" not in settings:
        asked["block_size"] = QUICK["block_size"]
    alone = nextfill.evaluate(tiny_model, **asked)
    assert figures(found.base.evaluation.to_json()) == figures(alone.to_json())


def test_other_masks_score_the_base_anew(tiny_masked, data, loads, tmp_path):
    run = trained(tiny_masked, data, tmp_path / "run")
    loads.clear()
    before = nextfill.evaluate(run)
    check_loads(loads, run)
    for settings in ({"mask_seed": 1}, {"mask_rate": 0.3}, {"pseudo": True}):
        found = nextfill.evaluate(run, **settings)
        check_loads(loads, tiny_masked, run)
        assert found.base.evaluation.nats != before.base.evaluation.nats


def test_a_tokenizer_given_scores_the_base_anew(run, tiny_model, tiny_tokenizer, loads):
    nextfill.evaluate(run, tokenizer=str(tiny_tokenizer))
    check_loads(loads, tiny_model, run)


def test_another_program_scores_the_base_anew(run, tiny_model, loads, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    measured = json.loads((copy / "measured.json").read_text("utf-8"))
    for name in ("nextfill", "transformers", "tokenizers"):
        changed = {**measured, "versions": {**measured["versions"], name: "0.0.1"}}
        (copy / "measured.json").write_text(json.dumps(changed), "utf-8")
        nextfill.evaluate(copy)
        check_loads(loads, tiny_model, copy)
    (copy / "measured.json").write_text("{", "utf-8")
    nextfill.evaluate(copy)
    check_loads(loads, tiny_model, copy)


def test_settings_changed_by_hand_score_the_base_anew(run, tiny_model, loads, tmp_path):
    """What was recorded is over other documents than those that are held out now."""
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    text = (copy / "config.toml").read_text("utf-8")
    (copy / "config.toml").write_text(re.sub(r"(?m)^seed = 0$", "seed = 9", text), "utf-8")
    with pytest.raises(RunError, match="seed was 0 and is 9"):
        nextfill.evaluate(copy)
    (copy / "checksums.json").unlink()  # as of a run from before there were any
    shutil.rmtree(copy / "checkpoints")
    found = nextfill.evaluate(copy)
    check_loads(loads, copy, tiny_model)
    assert found.base.evaluation.documents == found.documents


def test_damaged_records_score_the_base_anew(run, tiny_model, loads, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    file = copy / "evaluations" / "step-00000000.npz"
    file.write_bytes(file.read_bytes()[:-30])
    nextfill.evaluate(copy)
    check_loads(loads, tiny_model, copy)


def test_leaks_that_are_left_out_are_left_out_of_what_was_recorded(
    tiny_model, loads, tmp_path, paragraphs
):
    texts = paragraphs(40, seed=8)
    similar = [f"{text} And so on." for text in texts[:20]]
    path = tmp_path / "texts.jsonl"
    lines = [json.dumps({"text": text}) + "\n" for text in texts + similar]
    path.write_text("".join(lines), "utf-8")
    run = trained(tiny_model, path, tmp_path / "run", test_size=0.5)
    loads.clear()
    plain, without = nextfill.evaluate(run), nextfill.evaluate(run, drop_leaks=True)
    check_loads(loads, run, run)
    assert 0 < without.documents < plain.documents
    assert without.base.evaluation.documents == without.documents
    assert without.base.evaluation.nats < plain.base.evaluation.nats


class Notes(Silent):
    """Keeps what is told."""

    def __init__(self):
        self.notes = []

    def on_note(self, text):
        self.notes.append(text)


def test_another_seed_holds_out_what_the_run_was_trained_on(tiny_model, tmp_path, paragraphs):
    path = tmp_path / "texts.jsonl"
    lines = [json.dumps({"text": text}) + "\n" for text in paragraphs(60, seed=8)]
    path.write_text("".join(lines), "utf-8")
    run = trained(tiny_model, path, tmp_path / "run")
    notes = Notes()
    own = nextfill.evaluate(run, observer=notes)
    assert "that it held out" in " ".join(notes.notes)
    assert own.leaks["exact"] == 0
    notes = Notes()
    other = nextfill.evaluate(run, seed=1, observer=notes)
    told = " ".join(notes.notes)
    assert "that it held out of" not in told
    assert "the figures flatter it" in told
    assert other.leaks["exact"] > other.documents / 2


def test_each_of_several_models_is_loaded_once(tiny_model, run, other_tokens, data, loads):
    words = {"data": data, "text_field": "text", "block_size": 64}
    nextfill.evaluate(tiny_model, run, **words)
    check_loads(loads, tiny_model, run)
    nextfill.evaluate(tiny_model, run, other_tokens, show=2, **words)
    check_loads(loads, tiny_model, run, other_tokens)
    nextfill.evaluate(run, **words, base=False)
    check_loads(loads, run)
    nextfill.evaluate(tiny_model, show=1, **words)
    check_loads(loads, tiny_model)


def test_masked_models_are_loaded_once(tiny_masked, data, loads, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(tiny_masked, copy)
    words = {"data": data, "text_field": "text", "block_size": 64}
    for settings in ({}, {"pseudo": True, "show": 1}):
        nextfill.evaluate(tiny_masked, copy, **words, **settings)
        check_loads(loads, tiny_masked, copy)


def test_an_adapter_and_its_base_are_loaded_once_each(tiny_model, data, loads, tmp_path):
    run = trained(tiny_model, data, tmp_path / "run", lora_rank=2)
    loads.clear()
    nextfill.evaluate(run)
    check_loads(loads, tiny_model)  # the adapter goes on it; its own figures are recorded
    nextfill.evaluate(tiny_model, run, data=data, text_field="text")
    check_loads(loads, tiny_model, tiny_model)


def test_live_models_are_not_loaded(tiny_model, data, loads):
    model = transformers.AutoModelForCausalLM.from_pretrained(tiny_model, dtype="float32")
    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny_model)
    loads.clear()
    words = {"data": data, "text_field": "text", "tokenizer": tokenizer, "block_size": 64}
    nextfill.evaluate(model, **words)
    assert loads == []


def test_what_is_wrong_with_any_model_is_told_before_one_is_loaded(
    tiny_model, tiny_masked, data, loads, tmp_path
):
    words = ["--data", data, "--text-field", "text"]
    broken = tmp_path / "broken"
    shutil.copytree(tiny_model, broken)
    (broken / "model.safetensors").write_bytes(b"no weights")
    few = tmp_path / "few"
    shutil.copytree(tiny_model, few)
    shape = json.loads((few / "config.json").read_text("utf-8"))
    (few / "config.json").write_text(json.dumps({**shape, "vocab_size": 20}), "utf-8")
    for other, told in (
        (broken, "is damaged"),
        (tiny_masked, "is causal and"),
        (few, "of another shape (transformer.wte.weight)"),
        (tmp_path / "none", "There is no model folder"),
    ):
        status, _, err = command("evaluate", tiny_model, other, *words)
        assert status == 2
        assert told in err
        assert loads == []
    status, _, err = command(
        "evaluate", tiny_model, run_of_64(few, tiny_model), *words, "--block-size", "100"
    )
    assert status == 2
    assert "above the 64 positions" in err
    assert loads == []


def run_of_64(folder, tiny_model):
    """Return a model of 64 positions."""
    shutil.copyfile(tiny_model / "config.json", folder / "config.json")
    shape = json.loads((folder / "config.json").read_text("utf-8"))
    (folder / "config.json").write_text(json.dumps({**shape, "n_positions": 64}), "utf-8")
    weights = load_file(tiny_model / "model.safetensors")
    weights["transformer.wpe.weight"] = weights["transformer.wpe.weight"][:64].clone()
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    return folder
