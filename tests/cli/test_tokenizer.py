"""`nextfill tokenizer train` and `inspect` as a user types them, to a model that speaks."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from transformers import AutoTokenizer

from nextfill.cli.main import main
from nextfill.data.store.encoder import Encoder

SMALL = ["hidden_size=32", "num_hidden_layers=1", "num_attention_heads=2"]
SMALL += ["num_key_value_heads=2", "intermediate_size=48", "max_position_embeddings=64"]


pytestmark = pytest.mark.usefixtures("here")


@pytest.fixture
def notes(here, paragraphs):
    """A file of 60 paragraphs."""
    path = here / "notes.txt"
    path.write_text("\n\n".join(paragraphs(60)), encoding="utf-8")
    return path


@pytest.fixture
def nextfill_json(capsys):
    def run(*words: object):
        assert main([*map(str, words), "--quiet", "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    return run


@pytest.mark.parametrize("kind", ["bpe", "wordpiece"])
def test_a_tokenizer_of_ones_own_from_training_to_text(kind, nextfill_json, notes, capsys):
    train = ["tokenizer", "train", "--data", notes, "--kind", kind, "--vocab-size", 400]
    made = nextfill_json(*train, "--out", "words")
    assert made["documents"] + made["left_out"] == 60
    assert made["left_out"] == made["held_out"] == 6
    assert 150 < made["vocab_size"] <= 400
    assert made["bytes_per_token"] > 1.5

    tokenizer = AutoTokenizer.from_pretrained("words")
    texts = notes.read_text("utf-8").split("\n\n")
    ids, lengths = Encoder(tokenizer).encode(texts)
    each = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
    assert ids.tolist() == [token for row in each for token in row]
    assert np.array_equal(lengths, [len(row) for row in each])
    assert tokenizer.unk_token_id is None or tokenizer.unk_token_id not in ids
    for role in ("bos", "eos", "pad", "mask", "cls", "sep"):
        assert getattr(tokenizer, f"{role}_token_id") is not None
    assert set(tokenizer("a")) == {"input_ids", "attention_mask"}
    assert tokenizer("river")["input_ids"][0] == tokenizer.bos_token_id

    sets = [word for item in SMALL for word in ("--set", f"model.config.{item}")]
    model = ["--model", "scratch:llama", "--tokenizer", "words", *sets, "--block-size", 32]
    steps = ["--max-steps", 2, "--batch-size", 2]
    run = nextfill_json("train", *model, "--data", notes, *steps, "--out", "run")
    assert run["after"]["documents"] == made["held_out"]
    assert len(nextfill_json("generate", "run", "the river", "--max-new-tokens", 4)) == 1

    found = nextfill_json("tokenizer", "inspect", "run", "words", "--data", notes)
    assert found["documents"] == 60
    assert found["tokenizers"][0]["tokens"] == found["tokenizers"][1]["tokens"] == len(ids)
    held_out = nextfill_json("tokenizer", "inspect", "words", "--data", notes, "--test-size", 0.1)
    assert held_out["documents"] == made["held_out"]
    assert held_out["tokenizers"][0]["bytes_per_token"] == pytest.approx(made["bytes_per_token"])
    assert main(["tokenizer", "inspect", "words", "--data", str(notes)]) == 0
    shown = capsys.readouterr().out
    assert "Words split worst" in shown
    assert "bytes per token" in shown


def test_a_mask_takes_the_space_before_it(nextfill_json, notes):
    nextfill_json("tokenizer", "train", "--data", notes, "--out", "words", "--vocab-size", 300)
    tokenizer = AutoTokenizer.from_pretrained("words")
    ids = tokenizer("the <|mask|> river")["input_ids"]
    plain = tokenizer("the river")["input_ids"]
    assert [token for token in ids if token != tokenizer.mask_token_id] == plain


def test_the_same_text_gives_the_same_files(nextfill_json, notes, here):
    for out in ("one", "two"):
        nextfill_json("tokenizer", "train", "--data", notes, "--kind", "wordpiece", "--out", out)
    for name in names("one"):
        assert (here / "one" / name).read_bytes() == (here / "two" / name).read_bytes()


def names(folder):
    return [path.name for path in Path(folder).iterdir()]


REFUSED = {
    "--out names the tokenizer's folder": [],
    "--out notes.txt is a file": ["--out", "notes.txt"],
    "--out . is not empty": ["--out", "."],
    "--vocab-size 100 is too small for 256 bytes and 4 special tokens: give 260": [
        *("--out", "t", "--vocab-size", 100)
    ],
    "less than or equal to 1000000": ["--out", "t", "--vocab-size", 10**12],
    "--lowercase is for --kind wordpiece": ["--out", "t", "--lowercase"],
    "'bpe' or 'wordpiece'": ["--out", "t", "--kind", "unigram"],
    "Did you mean 'notes.txt'": ["--out", "t", "--data", "note.txt"],
    "nothing is left to learn from": ["--out", "t", "--eval-data", "notes.txt"],
    "is too small for the": ["--out", "t", "--kind", "wordpiece", "--vocab-size", 30],
    "cannot be written": ["--out", "notes.txt/t"],
    "--out 'x\\x00y' cannot be used as a path": ["--out", "x\0y"],
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_training_refuses(message, notes, capsys, here):
    words = [str(word) for word in REFUSED[message]]
    data = [] if "--data" in words else ["--data", "notes.txt"]
    assert main(["tokenizer", "train", "--quiet", *data, *words]) == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert "Traceback" not in printed.err
    assert names(here) == ["notes.txt"], "something was left behind"


def damage(path, before, after):
    text = path.read_text("utf-8")
    assert before in text
    path.write_text(text.replace(before, after), "utf-8")


@pytest.mark.parametrize(
    ("before", "after"),
    [('"BPE"', '"XPE"'), ('"vocab"', '"vocaab"'), ('{\n  "version"', '{\n  "ver'), ("{", "")],
)
def test_a_damaged_tokenizer(before, after, here, notes, tiny_tokenizer, capsys):
    shutil.copytree(tiny_tokenizer, "bad")
    damage(here / "bad" / "tokenizer.json", before, after)
    assert main(["tokenizer", "inspect", "bad", "--data", "notes.txt", "--quiet"]) == 2
    message = capsys.readouterr().err
    told = ("The tokenizer of bad cannot be loaded", "bad/tokenizer.json is damaged")
    assert message.startswith(tuple(f"nextfill: {one}" for one in told))
    assert "Traceback" not in message


def test_what_inspecting_refuses(here, notes, tiny_model, capsys):
    shutil.copytree(tiny_model, "bare", ignore=shutil.ignore_patterns("tokenizer*"))
    config = {"tokenizer_class": "CanineTokenizer"}
    (here / "slow").mkdir()
    (here / "slow" / "tokenizer_config.json").write_text(json.dumps(config))
    for name, message in {
        "bare": "bare holds no tokenizer (expected tokenizer.json in bare): name the folder of one",
        "slow": "The tokenizer of slow has no tokenizer.json",
        "./words": "There is no tokenizer folder ./words",
        "scratch:llama": "has no tokenizer of its own: name the folder of one",
        "builtin:base": "There is no bundled model 'base'",
        "": "TOKENIZER is empty",
    }.items():
        assert main(["tokenizer", "inspect", name, "--data", "notes.txt", "--quiet"]) == 2
        printed = capsys.readouterr().err
        assert message in printed, printed
        assert "Traceback" not in printed
    assert main(["tokenizer", "inspect", "--data", "notes.txt"]) == 2
    assert main(["tokenizer", "inspekt"]) == 2


def test_ctrl_c_leaves_nothing(here):
    lines = (" ".join(f"{9**9 * n + m:x}" for m in range(40)) for n in range(20_000))
    (here / "many.txt").write_text("\n".join(lines), "utf-8")
    command = [sys.executable, "-m", "nextfill", "tokenizer", "train", "--data", "many.txt"]
    process = subprocess.Popen(
        [*command, "--txt", "line", "--out", "words", "--vocab-size", "1000000"],
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not any(name.startswith(".words.") for name in names(here)):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.05)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130, said
    assert "stopped; nothing was written." in said
    assert "Traceback" not in said
    assert names(here) == ["many.txt"]
