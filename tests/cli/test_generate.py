"""`nextfill generate` on a tiny model: shapes, files of prompts, stop strings, streaming."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import select
import signal
import subprocess
import sys
import threading
import time

import pytest

import nextfill
from nextfill.cli import piped_text
from nextfill.cli.main import main

PROMPT = "the river carries"
PROMPTS = [PROMPT, "Leaf 7:", "a", "café no. 3", PROMPT]
FIXED = ["--max-new-tokens", "12", "--precision", "fp32", "--device", "cpu"]
GREEDY = ["--greedy"]
SAMPLED = ["--top-k", "20", "--top-p", "0.6", "--temperature", "1.5", "--seed", "11"]
BEAMS = ["--num-beams", "3"]


def command(*words: object, stdin: str = "", status: int = 0) -> tuple[str, str]:
    """Run a command and return what it printed on stdout and on stderr."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        before, sys.stdin = sys.stdin, io.StringIO(stdin)
        try:
            found = main([str(word) for word in words])
        finally:
            sys.stdin = before
    assert found == status, err.getvalue()
    return out.getvalue(), err.getvalue()


@pytest.fixture(scope="module")
def model(tiny_model, tmp_path_factory):
    """Folder of the tiny model with weights five times as large, so that its texts differ."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    made = AutoModelForCausalLM.from_pretrained(tiny_model)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.mul_(5.0)
    folder = tmp_path_factory.mktemp("sharp")
    made.save_pretrained(folder)
    AutoTokenizer.from_pretrained(tiny_model).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def pipeline(model):
    from transformers import pipeline

    return pipeline("text-generation", model=str(model), device="cpu")


@pytest.fixture(scope="module")
def generated(model):
    """Return a function that returns what `generate --json` printed."""

    def run(*words: object) -> list:
        out, _ = command("generate", model, *words, *FIXED, "--json")
        assert out.count("\n") == 1
        return json.loads(out)

    return run


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "prompts.txt"
    path.write_text("\n".join(PROMPTS) + "\n", encoding="utf-8")
    return path


def without_controls(text):
    return re.sub(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", "", text)


def flat(results):
    return [item["generated_text"] for entry in results for item in entry]


# the shape, and the same texts as transformers' pipeline


@pytest.mark.parametrize(
    ("prompts", "words", "options"),
    [
        ([PROMPT], GREEDY, {}),
        (PROMPTS, GREEDY, {}),
        ([PROMPT], [*BEAMS, "--num-samples", 2], {"num_beams": 3, "num_return_sequences": 2}),
        (PROMPTS, [*BEAMS, "--num-samples", 3], {"num_beams": 3, "num_return_sequences": 3}),
        (PROMPTS, [*GREEDY, "--repetition-penalty", 1.4], {"repetition_penalty": 1.4}),
    ],
    ids=["one", "several", "samples", "several samples", "penalty"],
)
def test_json_is_what_transformers_pipeline_gives(generated, pipeline, prompts, words, options):
    from transformers import GenerationConfig

    config = GenerationConfig(max_new_tokens=12, do_sample=False, pad_token_id=1, **options)
    theirs = pipeline(prompts[0] if len(prompts) == 1 else prompts, generation_config=config)
    assert generated(*prompts, *words) == theirs


def test_samples_have_the_shape_too(generated, pipeline):
    theirs = pipeline(PROMPTS, max_new_tokens=12, do_sample=True, num_return_sequences=3)
    ours = generated(*PROMPTS, "--temperature", 5, "--num-samples", 3)
    assert [[item.keys() for item in e] for e in ours] == [[i.keys() for i in e] for e in theirs]
    assert len(set(flat(ours))) == 15
    for prompt, entry in zip(PROMPTS, ours, strict=True):
        assert all(item["generated_text"].startswith(prompt) for item in entry)


def test_the_seed_decides_and_not_what_came_before(generated):
    first = generated(PROMPT, *SAMPLED)
    assert generated("Leaf 7:", PROMPT, *SAMPLED)[1] == first
    assert generated(PROMPT, *SAMPLED) == first
    assert generated(PROMPT, *SAMPLED[:-1], 12) != first
    hot = ["--temperature", 5]
    several = generated(PROMPT, *hot, "--num-samples", 2)
    assert [[item] for item in several] == generated(PROMPT, PROMPT, *hot)
    assert several[0] != several[1]


def test_top_k_of_one_is_greedy(generated):
    assert generated(PROMPT, "--top-k", 1) == generated(PROMPT, *GREEDY)


def test_without_a_prompt_a_document_begins(generated):
    assert generated(*GREEDY) == generated("", *GREEDY)


# files of prompts


@pytest.mark.parametrize("words", [GREEDY, SAMPLED, BEAMS], ids=["greedy", "sampled", "beams"])
def test_a_file_gives_what_its_prompts_give_in_its_order(generated, file, words):
    expected = generated(*PROMPTS, *words)
    for size in (2, 16):
        found = generated("--prompts", file, *words, "--generation-batch-size", size)
        assert found == expected


def test_a_file_of_one_prompt_gives_a_list_of_lists(generated, tmp_path):
    path = tmp_path / "one.jsonl"
    path.write_text(json.dumps({"q": PROMPT, "n": 1}))
    found = generated("--prompts", path, "--prompt-field", "q", *GREEDY)
    assert found == [generated(PROMPT, *GREEDY)]


def test_out_holds_a_line_for_each_text(generated, model, file, tmp_path):
    path = tmp_path / "texts.jsonl"
    words = [*SAMPLED, "--num-samples", 2]
    out, err = command("generate", model, "--prompts", file, "--out", path, *words, *FIXED)
    assert out == ""
    assert f"written: {path}" in err
    lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    assert [line["generated_text"] for line in lines] == flat(generated(*PROMPTS, *words))
    assert [(line["record"], line["sample"]) for line in lines[:3]] == [(0, 0), (0, 1), (1, 0)]
    assert [line["prompt"] for line in lines[::2]] == PROMPTS
    _, err = command("generate", model, "x", "--out", path, status=2)
    assert "is there already" in err


def test_a_line_that_cannot_be_used_ends_it_before_anything_is_written(model, tmp_path):
    path, out = tmp_path / "p.txt", tmp_path / "out.jsonl"
    path.write_text("a\n" + "stones " * 200 + "\n")
    _, err = command("generate", model, "--prompts", path, "--out", out, status=2)
    assert f"{path}:2: The prompt has" in err
    assert "128 positions" in err
    assert not out.exists()


def test_python_takes_what_the_command_takes(generated, model, file, tmp_path):
    fixed = {"max_new_tokens": 12, "precision": "fp32", "device": "cpu"}
    sampled = {"top_k": 20, "top_p": 0.6, "temperature": 1.5, "seed": 11}
    assert nextfill.generate(model, PROMPT, **sampled, **fixed) == generated(PROMPT, *SAMPLED)
    found = nextfill.generate(model, prompts=file, out=tmp_path / "o.jsonl", greedy=True, **fixed)
    assert found == generated(*PROMPTS, *GREEDY)
    assert nextfill.generate(model, iter(PROMPTS), greedy=True, **fixed) == found
    assert nextfill.generate(model, [], **fixed) == []
    pieces: list[str] = []
    made = nextfill.generate(model, PROMPT, streamer=pieces.append, stop=["e"], **fixed)
    assert PROMPT + "".join(pieces) == made[0]["generated_text"]


def test_a_live_model_generates_as_its_folder_does(generated, model):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    live = {"model": AutoModelForCausalLM.from_pretrained(model)}
    live["tokenizer"] = AutoTokenizer.from_pretrained(model)
    fixed = {"max_new_tokens": 12, "precision": "fp32", "device": "cpu"}
    assert nextfill.generate(**live, prompt=PROMPT, num_beams=3, **fixed) == generated(
        PROMPT, *BEAMS
    )


@pytest.mark.parametrize("options", [{"num_samples": 2}, {"prompt": ["a", "b"]}])
def test_a_streamer_is_told_of_one_text(model, options):
    with pytest.raises(nextfill.NextfillError, match="streamer is told of one text"):
        nextfill.generate(model, **{"prompt": "a", "streamer": print, **options})


# stop strings


def test_stop_strings_end_each_text_alone(generated):
    whole = flat(generated(*PROMPTS, *GREEDY, "--no-repeat-ngram-size", 2))
    rests = [text[len(prompt) :] for text, prompt in zip(whole, PROMPTS, strict=True)]
    stops = [rests[0][3:7], rests[1][2:4]]  # wherever they fall in tokens
    words = [word for stop in stops for word in ("--stop", f"{stop}")]
    found = flat(generated(*PROMPTS, *GREEDY, "--no-repeat-ngram-size", 2, *words))
    for prompt, rest, text in zip(PROMPTS, rests, found, strict=True):
        ends = [rest.index(stop) for stop in stops if stop in rest]
        assert text == prompt + rest[: min(ends, default=None)]
    assert found[0] != whole[0]
    assert found[1] != whole[1]


def test_the_least_number_of_tokens_comes_before_a_stop_string(generated):
    letters = [word for letter in "abcdefghijklmnopqrstuvwxyz ," for word in ("--stop", letter)]
    short = flat([generated(PROMPT, *GREEDY, *letters)])[0]
    longer = flat([generated(PROMPT, *GREEDY, *letters, "--min-new-tokens", 6)])[0]
    assert longer.startswith(short)
    assert len(longer) > len(short)


# at a terminal and in a pipe


@pytest.mark.parametrize(
    "words",
    [SAMPLED, BEAMS, [*GREEDY, "--stop", "s", "--stop", "en"]],
    ids=["sampled", "beams", "stop"],
)
@pytest.mark.parametrize("prompt", [PROMPT, "", "café no."])
def test_what_is_streamed_is_what_json_says(model, generated, prompt, words):
    streamed, _ = command("generate", model, prompt, *words, *FIXED)
    text = generated(prompt, *words)[0]["generated_text"]
    assert streamed == without_controls(text) + "\n"


def test_several_texts_are_set_apart(model, generated, file):
    for words in ([PROMPT, *SAMPLED, "--num-samples", 3], ["--prompts", file, *SAMPLED]):
        out, _ = command("generate", model, *words, *FIXED)
        assert out.count("\n---\n") == len(out.split("\n---\n")) - 1 in (2, 4)


def test_control_characters_do_not_reach_the_terminal(model):
    for words in (["a\x1b[2Jb"], ["a\x1b[2Jb", "c"], ["\x1b]0;x\x07", "--num-samples", 2]):
        out, _ = command("generate", model, *words, *FIXED)
        assert not set(out) & {"\x1b", "\x07"}


@pytest.mark.parametrize(
    ("words", "telling"),
    [
        (["a", "--prompts", "p.txt"], "Give prompts, or --prompts and a file, not both"),
        (["--interactive", "a", "--json"], "leave out a prompt and --json"),
        (["--interactive", "--prompts", "p.txt", "--out", "o.jsonl"], "--prompts and --out"),
        (["--prompts", "nothing.txt"], "--prompts 'nothing.txt': there is no such file"),
        (["a\udcff"], "is no character"),
        (["stones " * 200], "128 positions"),
        (["a", "--greedy", "--temperature", "1", "--stop", "", "--min-p", "2"], "2 settings"),
        (["a", "--out", "no/folder.jsonl"], "there is no folder"),
    ],
)
def test_what_cannot_be_done_is_told(model, words, telling):
    out, err = command("generate", model, *words, status=2)
    assert telling in err
    assert "Traceback" not in err
    assert out == ""


def test_lines_are_prompts_where_there_is_no_terminal(model, generated):
    out, err = command(
        *("generate", model, "--interactive", *GREEDY, *FIXED),
        stdin=f"{PROMPT}\n\n/help\nquit\nmore\n",
    )
    expected = [flat([generated(text, *GREEDY)])[0] for text in (PROMPT, "/help")]
    assert out == without_controls("{}\n---\n{}\n".format(*expected))
    assert err == (
        "line 2 is empty, and has no answer.\nline 4: quit leaves, and nothing after it is read.\n"
    )


@pytest.mark.parametrize("kind", ["pipe", "file", "blank", "open", "given"])
def test_piped_text_is_the_prompt_where_no_other_is_given(
    model, generated, kind, tmp_path, monkeypatch
):
    monkeypatch.setattr(piped_text, "_WAIT_S", 0.1)
    reading, writing = os.pipe()
    content = "\n" if kind == "blank" else f"{PROMPT}\n"
    if kind == "file":
        (tmp_path / "prompt.txt").write_text(content)
        os.close(reading)
        reading = os.open(tmp_path / "prompt.txt", os.O_RDONLY)
    elif kind != "open":
        os.write(writing, content.encode())
    if kind != "open":
        os.close(writing)
    out, err = io.StringIO(), io.StringIO()
    words = ["generate", str(model), *GREEDY, *FIXED, *(["a"] if kind == "given" else [])]
    with (
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        os.fdopen(reading) as own,
    ):
        monkeypatch.setattr(sys, "stdin", own)
        assert main(words) == 0
    if kind == "open":
        os.close(writing)
    prompt = {"given": "a", "blank": "", "open": ""}.get(kind, PROMPT)
    assert out.getvalue() == without_controls(f"{flat([generated(prompt, *GREEDY)])[0]}\n")
    said = {"given": "", "blank": "", "open": "Nothing came on standard input"}
    assert said.get(kind, "The prompt is read from standard input.") in err.getvalue()
    assert bool(err.getvalue()) == (kind not in ("given", "blank"))


class Terminal:
    """A process at a pseudo-terminal of its own, which ends with the block."""

    # In a process between, because forking this one, which has threads, may lock up the child.
    BETWEEN = """
import os, pty, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)  # which the background jobs of a shell ignore
sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))
"""

    def __init__(self, *words: object) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", self.BETWEEN, sys.executable, *map(str, words)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            env=os.environ | {"TERM": "dumb"},
        )

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()  # its end of the terminal is gone then, and so is the process there
        self._process.communicate()

    def wait_for(self, pattern: str, seconds: float = 300) -> str:
        """Read until a pattern appears, and return all that came."""
        ends = time.monotonic() + seconds
        seen = ""
        while not re.search(pattern, seen, re.DOTALL):
            left = max(0, ends - time.monotonic())
            ready, _, _ = select.select([self._process.stdout], [], [], left)
            data = os.read(self._process.stdout.fileno(), 4096) if ready else b""
            assert data, f"no {pattern!r} in {seen!r}"
            seen += data.decode(errors="replace")
        return seen

    def type(self, keys: str) -> None:
        self._process.stdin.write(keys.encode())

    def interrupt_line(self) -> None:
        """Type Ctrl-C until there is a new prompt; Python loses one right after it asks."""
        for _ in range(30):
            self.type("half a line\x03")
            with contextlib.suppress(AssertionError):
                assert "/quit leaves." in self.wait_for("> $", seconds=5)
                return
        pytest.fail("Ctrl-C brings no new prompt")

    def status(self) -> int:
        return self._process.wait(300)


@pytest.fixture
def endless(model, tmp_path):
    """Folder of a model that needs many seconds for the tokens that the test asks for."""
    from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel

    tokenizer = AutoTokenizer.from_pretrained(model)
    shape = {"vocab_size": len(tokenizer), "n_positions": 20_000}
    ids = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    shape = GPT2Config(**shape, **ids, n_embd=16, n_layer=1, n_head=1)
    GPT2LMHeadModel(shape).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    return tmp_path


@pytest.mark.trial
def test_a_conversation_at_a_terminal(endless):
    words = ["-W", "error", "-m", "nextfill", "generate", endless, "--interactive"]
    words += ["--max-new-tokens", "19000", "--min-new-tokens", "19000"]
    with Terminal(*words) as shell:
        talk(shell)


def talk(shell: Terminal) -> None:
    assert "/help" in shell.wait_for("leaves.*> $")
    shell.type("/min-new-tokens 2\n/max-new-tokens 3\n/nonsense 1\n/top-k -1\n")
    shell.type("/temperature hot\n/greedy on\n\n")
    said = shell.wait_for(r"(> [^>]*){7}$")
    assert "There is no setting /nonsense" in said
    assert "/top-k: found '-1'" in said
    assert "For the likeliest token each time: /greedy on" in said
    assert "--greedy" not in said
    assert "/max-new-tokens is 3 from here on." in said
    assert said.count("from here on") == 3  # and of none that was refused
    shell.type("/temperature\n")
    assert "/temperature is as it was at the beginning." in shell.wait_for("> $")
    shell.type("--max_new-tokens=3\n")
    assert "Type: /max-new-tokens 3" in shell.wait_for("> $")
    shell.type("--no-greedy\n")
    assert "Type: /greedy off" in shell.wait_for("> $")
    shell.type("/max-new-tokens “3”\n")
    assert "/max-new-tokens is 3 from here on." in shell.wait_for("> $")
    shell.type("the river\n")
    first = shell.wait_for("> $")
    shell.type("the river\n")
    assert shell.wait_for("> $") == first  # greedy
    shell.type("/max-new-tokens\n/min-new-tokens\nanother\n")
    shell.wait_for("another\r\nanother.")  # it is under way, and would take long
    shell.type("\x03")
    shell.wait_for("> $")
    shell.interrupt_line()
    shell.type("/min-new-tokens 0\n/max-new-tokens 3\nthe river\n")
    assert first.partition("\r\n")[2] in shell.wait_for(r"the river\r\n.*\r\n.*> $")
    shell.type("exit\n")
    assert shell.status() == 0


@pytest.mark.trial  # "exit" ends the conversation above
@pytest.mark.parametrize("typed", ["Quit\n", "/quit\n", " /exit \n", "\x04"])
def test_a_word_leaves_a_conversation(endless, typed):
    words = ["-m", "nextfill", "generate", endless, "--interactive", "--max-new-tokens", "2"]
    with Terminal(*words) as shell:
        shell.wait_for("leaves.*> $")
        shell.type(typed)
        assert shell.status() == 0


@pytest.mark.trial
def test_at_a_terminal_the_way_to_another_text_is_said(endless):
    words = ["-m", "nextfill", "generate", endless, "the river", "--max-new-tokens", "2"]
    with Terminal(*words) as shell:
        assert "the same with --seed 1." in shell.wait_for(r"--seed 1\.")
        assert shell.status() == 0


@pytest.mark.trial
def test_at_a_terminal_nothing_is_said_where_there_is_no_other_text(endless):
    words = ["-m", "nextfill", "generate", endless, "the river", "--max-new-tokens", "2"]
    with Terminal(*words, "--greedy") as shell:
        with pytest.raises(AssertionError, match="the river"):
            shell.wait_for("--seed")  # the end comes before
        assert shell.status() == 0


@pytest.fixture
def ended(model, tmp_path):
    """Folder of a model that ends every text at once."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    made = AutoModelForCausalLM.from_pretrained(model)
    made.generation_config.eos_token_id = list(range(made.config.vocab_size))
    made.save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(model).save_pretrained(tmp_path)
    return tmp_path


def test_a_text_that_ends_at_once_is_told(ended, model):
    words = ["generate", ended, PROMPT, *FIXED]
    out, err = command(*words, "--seed", 4)
    assert out == f"{PROMPT}\n"
    assert err == "the model ended its text at once; --seed 5 gives another sample\n"
    assert command(*words, *GREEDY)[1] == "the model ended its text at once\n"
    assert command(*words, "--quiet")[1] == ""
    assert command(*words, "--json")[1] == ""
    assert "at once" not in command("generate", model, PROMPT, *FIXED)[1]


def test_an_interrupted_file_says_what_is_there(endless, tmp_path):
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    prompts, out = tmp_path / "p.txt", tmp_path / "out.jsonl"
    prompts.write_text("a\nb\n")
    words = ["generate", endless, "--prompts", prompts, "--out", out, "--max-new-tokens", "19000"]

    def interrupt() -> None:
        seen = 0  # in a row: the check of the name at the start makes the file for a moment
        while seen < 10:
            seen = seen + 1 if out.exists() else 0
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    _, err = command(*words, "--min-new-tokens", "19000", status=130)
    thread.join()
    signal.signal(signal.SIGINT, before)
    assert f"stopped; {out} holds 0 of 2 prompts" in err
    assert not out.exists()
