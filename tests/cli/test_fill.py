"""`nextfill fill` on a tiny model: shapes, files of texts, targets, what is shown and refused."""

from __future__ import annotations

import contextlib
import io
import json
import subprocess
import sys

import pytest

import nextfill
from nextfill.cli.main import main

ONE = "the river ___ old stones"
SEVERAL = "the <mask> carries [MASK] stones"
TEXTS = [ONE, SEVERAL, "café ___", ONE]
FIXED = ["--device", "cpu"]


def command(*words: object, status: int = 0) -> tuple[str, str]:
    """Run a command and return what it printed on stdout and on stderr."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        found = main([str(word) for word in words])
    assert found == status, err.getvalue()
    return out.getvalue(), err.getvalue()


@pytest.fixture(scope="module")
def model(tiny_tokenizer, tmp_path_factory):
    """Folder of a RoBERTa of 64 positions with its own mask, and weights that tell words apart."""
    import torch
    from transformers import AddedToken, AutoTokenizer, RobertaConfig, RobertaForMaskedLM

    tokenizer = AutoTokenizer.from_pretrained(tiny_tokenizer)
    mask = AddedToken("<|mask|>", lstrip=True, normalized=False, special=True)
    tokenizer.add_special_tokens({"mask_token": mask})
    shape = RobertaConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=66,
        bos_token_id=0,
        eos_token_id=0,
        pad_token_id=1,
    )
    torch.manual_seed(0)
    made = RobertaForMaskedLM(shape)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.mul_(12.0)
    folder = tmp_path_factory.mktemp("masked")
    made.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def filled(model):
    """Return a function that returns what `fill --json` printed."""

    def run(*words: object) -> list:
        out, _ = command("fill", model, *words, *FIXED, "--json")
        assert out.count("\n") == 1
        return json.loads(out)

    return run


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "texts.txt"
    path.write_text("\n".join(TEXTS) + "\n", encoding="utf-8")
    return path


def fails(*words: object) -> str:
    out, err = command("fill", *words, status=2)
    assert out == ""
    assert err.startswith("nextfill: ")
    assert "Traceback" not in err
    return err


# the shape


def test_json_is_what_transformers_pipeline_gives(filled, model):
    from transformers import pipeline

    theirs = pipeline("fill-mask", model=str(model), device="cpu")
    mask = theirs.tokenizer.mask_token
    for text in (ONE, SEVERAL):
        marked = text.replace("___", mask).replace("<mask>", mask).replace("[MASK]", mask)
        for words, options in (((), {}), (("--top-k", 2), {"top_k": 2})):
            expected, found = theirs(marked, **options), filled(text, *words)
            for few, many in zip(blanks(expected), blanks(found), strict=True):
                assert [list(answer) for answer in few] == [list(answer) for answer in many]
                for a, b in zip(few, many, strict=True):
                    assert a["score"] == pytest.approx(b["score"], abs=1e-6)
                    assert {**a, "score": 0} == {**b, "score": 0}
    assert len(filled(ONE)) == 5


def blanks(result):
    return [result] if isinstance(result[0], dict) else result


def test_several_texts_and_files_of_them_are_lists(filled, file, tmp_path):
    expected = [filled(text) for text in TEXTS]
    assert filled(*TEXTS) == rounded_to(expected, filled(*TEXTS))
    for size in (1, 3):
        found = filled("--prompts", file, "--fill-batch-size", size)
        assert found == rounded_to(expected, found)
    records = tmp_path / "texts.jsonl"
    records.write_text("".join(json.dumps({"q": {"t": text}}) + "\n" for text in TEXTS[:1]))
    assert filled("--prompts", records, "--prompt-field", "q.t") == [expected[0]]


def rounded_to(expected, found):
    """Return what was expected with the scores that were found, where these are as near."""
    if isinstance(expected, dict):
        assert expected["score"] == pytest.approx(found["score"], abs=1e-6)
        return {**expected, "score": found["score"]}
    return [rounded_to(a, b) for a, b in zip(expected, found, strict=True)]


def test_the_function_gives_the_same(filled, model):
    assert nextfill.fill(str(model), ONE, device="cpu") == filled(ONE)
    assert nextfill.fill(str(model), [ONE], device="cpu") == [filled(ONE)]
    assert nextfill.fill(model, [], device="cpu") == []


def test_a_live_model_is_left_as_it_was(filled, model):
    from transformers import AutoModelForMaskedLM, AutoTokenizer

    live = AutoModelForMaskedLM.from_pretrained(model).train()
    tokenizer = AutoTokenizer.from_pretrained(model)
    found = nextfill.fill(live, ONE, tokenizer=tokenizer, top_k=3)
    assert found == rounded_to(filled(ONE, "--top-k", 3), found)
    assert live.training


def test_lines_of_a_file(filled, model, file, tmp_path):
    out = tmp_path / "answers.jsonl"
    _, err = command("fill", model, "--prompts", file, "--out", out, "--top-k", 2, *FIXED)
    assert f"written: {out}" in err
    lines = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
    places = [(line["record"], line["blank"], line["answer"]) for line in lines]
    numbers = [
        (record, blank) for record, count in enumerate((1, 2, 1, 1)) for blank in range(count)
    ]
    assert places == [(*place, answer) for place in numbers for answer in (0, 1)]
    first = filled(ONE, "--top-k", 1)[0]
    assert lines[0] == {"record": 0, "blank": 0, "answer": 0, "prompt": ONE, **first} | {
        "score": lines[0]["score"]
    }
    assert "there already" in fails(model, ONE, "--out", out)


# targets and answers of several tokens


def test_targets_are_compared_alone(filled):
    answers = filled(ONE, "--targets", "mills", "--targets", "seven", "--targets=river")
    assert sorted(answer["token_str"] for answer in answers) == [" mills", " river", " seven"]
    scores = [answer["score"] for answer in answers]
    assert scores == sorted(scores, reverse=True)
    everything = {answer["token"]: answer["score"] for answer in filled(ONE, "--top-k", 401)}
    for answer in answers:
        assert everything[answer["token"]] == pytest.approx(answer["score"], abs=1e-6)


def test_answers_of_several_tokens(filled):
    answers = filled(ONE, "--answer-tokens", 3, "--top-k", 20)
    assert len({tuple(answer["token"]) for answer in answers}) == 20
    assert {len(answer["token"]) for answer in answers} <= {1, 2, 3}
    assert max(len(answer["token"]) for answer in answers) > 1
    one = [answer for answer in answers if len(answer["token"]) == 1]
    alone = filled(ONE, "--top-k", 20)
    for few, many in zip(one, alone, strict=False):
        assert {**few, "token": few["token"][0]} == many | {"score": few["score"]}


def test_other_blanks_stay_masks_while_one_is_filled(filled):
    for n, answers in enumerate(filled(SEVERAL, "--answer-tokens", 2)):
        before, after = ("the", "<|mask|>") if n == 0 else ("<|mask|>", "stones")
        assert all(a["sequence"].count("<|mask|>") == 1 for a in answers)
        assert all(before in a["sequence"] and after in a["sequence"] for a in answers)


# what a person sees


def test_the_answers_are_shown_in_the_sentence(model, filled):
    out, _ = command("fill", model, SEVERAL, "--top-k", 2, *FIXED)
    first, second = filled(SEVERAL, "--top-k", 2)
    for answer in first:
        assert f"the [{' '.join(answer['token_str'].split())}] carries ___ stones" in out
    for answer in second:
        assert f"the ___ carries [{' '.join(answer['token_str'].split())}] stones" in out
    assert "Blank 1 of 2 in: " in out
    assert f"{first[0]['score']:.3f}" in out


def test_what_steers_a_terminal_is_left_out(model):
    text = "the \x1b[2J[bold]river[/bold] :smile: ___ " + "é\x07\u200b" * 5
    out, _ = command("fill", model, text, *FIXED)
    assert "\x1b" not in out
    assert "\x07" not in out
    assert "[bold]river[/bold] :smile:" in out


def test_quiet_and_progress(model, file):
    words = ("fill", model, "--prompts", file, "--fill-batch-size", 1, *FIXED)
    assert "filling" in command(*words, "--json")[1]
    assert command(*words, "--json", "--quiet")[1] == ""


# what is refused


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "Give a text with a blank"),
        (["the river"], r"no blank in the text: put <|mask|>, <mask>, [MASK] or ___"),
        ([""], "The text is empty"),
        (["a ___", "b"], "text 2: There is no blank"),
        (["a ___", "--targets", "rivers"], "'rivers' is not one token but 2: ' river', 's'"),
        (["a ___", "--targets", ""], "--targets"),
        (["a ___", "--top-k", "402"], "above the 401 entries"),
        (["a ___", "--top-k", "0"], "--top-k"),
        (["a ___", "--topk", "3"], "That is --top-k"),
        (["a ___", "--target", "a"], "That is --targets"),
        (["a ___", "--answer-tokens", "64"], "give --answer-tokens 63 at most"),
        (["a ___", "--answer-tokens", "2", "--targets", "a"], "leave them or --answer-tokens out"),
        (["a ___", "--answer-tokens", "2", "--top-k", "200"], "give at most --top-k 100"),
        (["___" + " ___" * 69], "has 70 tokens, 70 of them blank; the model has 64 positions"),
        (["a ___", "--prompt-field", "x"], "--prompt-field names a field of --prompts"),
        (["a ___", "--out", "x.txt"], "has to end in .jsonl"),
        (["a ___", "--prompts", "x.txt"], "not both"),
        (["a \udcff ___"], "no character"),
    ],
)
def test_what_cannot_be_done_is_told(model, words, message):
    assert message in fails(model, *words)


def test_lines_that_cannot_be_filled_are_named(model, tmp_path):
    path = tmp_path / "bad.txt"
    path.write_text("a ___\nb\nc\nd ___\n")
    told = fails(model, "--prompts", path, "--out", tmp_path / "out.jsonl")
    assert [f"bad.txt:{n}: There is no blank" in told for n in (1, 2, 3, 4)] == [0, 1, 1, 0]
    assert not (tmp_path / "out.jsonl").exists()


def test_a_causal_model_is_told_from_a_masked_one(tiny_model, model):
    assert "nextfill generate" in fails(tiny_model, "a ___")
    _, err = command("generate", model, "a", status=2)
    assert "nextfill fill" in err


def test_a_tokenizer_without_a_mask_is_told(model, tiny_tokenizer):
    assert "has no mask token" in fails(model, "a ___", "--tokenizer", tiny_tokenizer)


def test_in_a_process_of_its_own(model):
    words = [sys.executable, "-m", "nextfill", "fill", str(model), ONE, "--top-k", "1", "--json"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)) == 1


def test_a_piped_text_is_filled(model, tmp_path, monkeypatch):
    (tmp_path / "text.txt").write_text(f"{ONE}\n")
    expected, _ = command("fill", model, ONE, *FIXED)
    with (tmp_path / "text.txt").open() as own:
        monkeypatch.setattr(sys, "stdin", own)
        out, err = command("fill", model, *FIXED)
    assert out == expected
    assert "The text is read from standard input." in err
