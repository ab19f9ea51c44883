import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import pytest
import tomli_w

import nextfill
from nextfill.core.errors import NextfillError, RunError
from nextfill.html_report.page import write_report
from nextfill.hub.model_card import make_card
from nextfill.runs.reader import read_run

NASTY = (
    "<script>alert('x')</script></script></style><!-- --><img src=x onerror=alert(1)> "
    "\"'&lt; \x00\x1b[2J\u2028\u2029\u202e\x85 \ud800 👩🏽‍💻"
)
"""A text that must be shown and not run, in which JSON may hold what UTF-8 cannot."""


class Elements(HTMLParser):
    """Every element with its attributes, and the text outside of style and script."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.text = self._inside = ""
        self.contents: dict[str, str] = {}
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self._inside = tag

    def handle_endtag(self, tag):
        self._inside = ""

    def handle_data(self, data):
        if self._inside in ("style", "script"):
            self.contents[self._inside] = self.contents.get(self._inside, "") + data
        else:
            self.text += data


def page_of(run) -> Elements:
    return Elements(nextfill.report(run).read_text("utf-8"))


def words(page: Elements) -> str:
    return " ".join(page.text.split())


@pytest.fixture
def run(make_run, tmp_path):
    return make_run(tmp_path / "run")


def test_the_first_sentence_says_what_was_done_and_how_much_better_it_got(run):
    told = words(page_of(run))
    assert re.search(
        r"60 steps on notes\.txt took the held-out perplexity of base-causal from [\d.]+ to "
        r"[\d.]+: \d\d\.\d% lower\.",
        told,
    )
    assert "not finished" not in told
    words_first = "better, though not by its first guesses: of 100 next tokens it has 33 right, as"
    assert f"base-causal predicts your text {words_first} before.60 steps on" in told


def test_a_run_that_has_not_kept_its_right_tokens_leads_with_the_perplexity(run):
    log = (run / "events.jsonl").read_text("utf-8")
    (run / "events.jsonl").write_text(re.sub(r', "accuracy": [0-9.]+', "", log), "utf-8")
    source = nextfill.report(run).read_text("utf-8")
    told = words(Elements(source))
    assert "next tokens" not in told
    assert re.search(r"<h1>.*took the", source)


def test_early_stopping_and_the_best_step_are_told(make_run, tmp_path):
    told = words(page_of(make_run(tmp_path / "run", kept=40)))
    assert "It was stopped early, for want of a better validation." in told
    assert "The weights of step 40 are kept, which had the best validation." in told
    told = words(page_of(make_run(tmp_path / "first", kept=0)))
    assert ": no difference." in told


def test_a_live_model_is_handed_over_again(make_run, tmp_path):
    run = make_run(tmp_path / "run", finished=False)
    config = (
        (run / "config.toml").read_text().replace("builtin:base-causal", "live:GPT2LMHeadModel")
    )
    (run / "config.toml").write_text(config)
    told = words(page_of(run))
    assert f"nextfill.train(out='{run}', model=model, tokenizer=tokenizer, resume=True)" in told


@pytest.mark.parametrize(
    ("improvement", "documents", "telling"),
    [
        (-0.5, 30, "% higher. It got worse."),
        (0.0, 30, "no difference that chance could not explain."),
        (0.8, 1, "% lower."),
    ],
)
def test_the_first_sentence_is_honest(make_run, tmp_path, improvement, documents, telling):
    run = make_run(tmp_path / "run", improvement=improvement, documents=documents)
    told = words(page_of(run))
    assert telling in told
    lead = {-0.5: "base-causal predicts your text worse", 0.0: "No clear change in how base-causal"}
    assert lead.get(improvement, "Too few documents to tell chance from a change in how") in told


def test_an_unfinished_run_says_so_and_what_to_type(make_run, tmp_path):
    run = make_run(tmp_path / "a run", steps=45, eval_every=60, finished=False)
    told = words(page_of(run))
    assert "This run is not finished: 45 of 45 steps are taken" in told
    assert f"nextfill train --out '{run}' --resume" in told
    assert "So far: base-causal predicts your text better" in told
    assert "45 steps on notes.txt took" in told


def test_a_run_that_has_hardly_begun_has_a_page(make_run, tmp_path):
    run = make_run(tmp_path / "run", steps=0, finished=False)
    told = words(page_of(run))
    assert "to begin with." in told
    assert "Speed" not in told
    for name in ("events.jsonl", "timing.jsonl", "ledger.json", "measured.json"):
        (run / name).unlink()
    with pytest.raises(RunError, match=r"shows \d+ events, and the run's files hold 0 now"):
        write_report(run)
    (run / "report.html").unlink()
    told = words(page_of(run))
    assert "not evaluated yet" in told
    assert "There is no ledger.json." in told
    assert "no model is saved" in told


def test_nothing_is_asked_for_and_only_our_script_runs(run):
    source = nextfill.report(run).read_text("utf-8")
    page = Elements(source)
    assert "http:" not in source
    assert "https:" not in source
    assert "<script" in source
    for tag, attributes in page.elements:
        assert tag not in ("img", "iframe", "object", "base", "form")
        assert "style" not in attributes
        assert not [name for name in attributes if name.startswith("on")]
        assert re.fullmatch(r"data:,|#word-[a-z-]+", attributes.get("href", "data:,"))
        assert "src" not in attributes
    policies = [a["content"] for _, a in page.elements if "http-equiv" in a]
    assert len(policies) == 1
    assert policies[0].startswith("default-src 'none'; ")
    for tag in ("style", "script"):
        digest = hashlib.sha256(page.contents[tag].encode()).digest()
        assert f"{tag}-src 'sha256-{base64.b64encode(digest).decode()}'" in policies[0]
        assert len([one for one, _ in page.elements if one == tag]) == 1


def test_text_from_anywhere_is_shown_and_not_run(make_run, tmp_path):
    run = make_run(tmp_path / "<script>alert('run')<!-- ", sets=("", "<b>set"), text="plain")
    tame = page_of(run)
    events = (run / "events.jsonl").read_text()
    nasty = json.dumps(NASTY)
    (run / "events.jsonl").write_text(
        events.replace('"plain"', nasty).replace('"plain ', f"{nasty[:-1]} ")
    )
    holdable = NASTY.replace("\ud800", "")
    config = {"data": {"source": holdable, holdable: holdable}, "training": {"epochs": 3.0}}
    (run / "config.toml").write_text(tomli_w.dumps(config), "utf-8")
    for name in ("ledger.json", "measured.json"):
        content = json.loads((run / name).read_text())
        content |= {NASTY: NASTY, "skipped": {NASTY: 7}, "device": NASTY}
        (run / name).write_text(json.dumps(content))
    page = page_of(run)
    tags = [tag for tag, _ in page.elements]
    assert {tag for tag in tags if tag not in {t for t, _ in tame.elements}} == set()
    assert tags.count("script") == tags.count("style") == 1
    assert page.contents == tame.contents
    assert page.text.count(NASTY[: NASTY.index("\x00")] + "␀␛[2J") > 10
    assert "<b>set" in page.text
    assert "�" in page.text
    assert all(not a for a in re.findall("[\x00-\x08\x0b-\x1f\x7f-\x9f]", page.text))


@pytest.mark.trial
def test_a_page_stays_small(make_run, tmp_path):
    run = make_run(tmp_path / "run", steps=100_000, eval_every=100, documents=2)
    page = nextfill.report(run)
    assert page.stat().st_size < 1.5e6
    assert "points drawn" in page.read_text("utf-8")


def test_a_very_long_sample_is_cut_and_says_so(make_run, tmp_path):
    run = make_run(tmp_path / "run", text="so " * 100_000)
    page = nextfill.report(run)
    assert "more characters are in events.jsonl." in page.read_text("utf-8")


def test_what_is_damaged_is_named(run):
    (run / "measured.json").write_text("[1]")
    (run / "evaluations" / "step-00000000.npz").write_bytes(b"nothing")
    told = words(page_of(run))
    assert "measured.json holds no object." in told
    assert "Intervals are left out: evaluations/step-00000000.npz is unreadable" in told
    with (run / "events.jsonl").open("a") as file:
        file.write('{"event": "st')  # torn by a kill, which loses nothing
    nextfill.report(run)
    with (run / "events.jsonl").open("a") as file:
        file.write("\n")
    with pytest.raises(RunError, match=r"events\.jsonl:\d+ is damaged"):
        nextfill.report(run)
    (run / "config.toml").write_text("seed = ")
    with pytest.raises(RunError, match=r"config\.toml is damaged"):
        nextfill.report(run)


def test_scores_of_another_run_are_left_out(make_run, run, tmp_path):
    other = make_run(tmp_path / "other", documents=20)
    name = "evaluations/step-00000060.npz"
    (run / name).write_bytes((other / name).read_bytes())
    assert f"{name} does not agree with events.jsonl" in words(page_of(run))


@pytest.mark.parametrize("kind", ["evaluation", "validation", "step"])
def test_whatever_the_files_hold_the_page_is_made(run, kind):
    junk = [
        {"event": kind, "step": 0, "nats": "x", "targets": True, "epoch": "y", "loss": []},
        {"event": kind, "step": 9, "nats": 10**400, "targets": 0, "set": 5, "standard_error": {}},
        {"event": ["a"]},
        {"event": "sample", "step": 1, "prompt": None, "text": 5},
        {"event": "end", "step": 9, "kept": 4},
    ]
    (run / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in junk))
    (run / "timing.jsonl").write_text('{"step": "a"}\n{"step": 1, "tokens": 1e999}\n')
    junk = {"tokens": "many", "records": 10**400, "documents": -1, "dropped": {"x": 1, "y": None}}
    (run / "ledger.json").write_text(json.dumps(junk | {"evaluation_sets": [1, {"a": 2}]}))
    (run / "measured.json").write_text('{"device": {"a": [null, NaN]}}')
    (run / "config.toml").write_text('training = 3\nx = 1979-05-27\n[model]\nname = ["a", nan]\n')
    assert "Nextfill report" in words(page_of(run))


def test_what_holds_no_run_is_refused(run, tmp_path):
    with pytest.raises(RunError, match=r"holds no run \(expected .*config\.toml\)\."):
        nextfill.report(tmp_path)
    with pytest.raises(RunError, match=f"Did you mean {re.escape(str(run))}"):
        nextfill.report(run / "model")
    with pytest.raises(NextfillError, match="cannot be used as a path"):
        nextfill.report("a\0b")


def test_a_page_that_cannot_be_written_is_told_of(run):
    (run / "report.html").mkdir()
    with pytest.raises(RunError, match=r"report\.html cannot be written"):
        nextfill.report(run)
    assert not list(run.glob(".*.tmp"))


def test_settings_written_by_hand_or_long_ago_hide_their_secrets(make_run, tmp_path):
    run = make_run(tmp_path / "run")
    for address in (
        "https://me:PLANTED@x.org/a.txt",
        "s3//KEY:PLANTED@b",
        "zip://a::http://:PLANTED@h",
    ):
        settings = run / "config.toml"
        old = settings.read_text("utf-8")
        settings.write_text(old.replace("notes.txt", address).replace("base-causal", address))
        page = write_report(run).read_text("utf-8")
        assert "***@" in page
        assert "PLANTED" not in page + make_card(read_run(run), is_adapter=False)
        settings.write_text(old)
