"""Every figure of the report, computed anew from the run's files in another way, and compared.

Nothing of `nextfill.html_report` is used here but the page itself. A figure that this file does not
know fails, as does a digit on the page that is no figure.
"""

from __future__ import annotations

import json
import math
import re
import tomllib
from collections import defaultdict
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

import nextfill

VOID = {"meta", "link", "circle", "line", "path", "rect", "br", "input"}
NO_FIGURES = {"head", "script", "title", "desc", "code", "small", "text", "em", "dd"}
"""Elements whose digits are no figures: names, paths, ticks and what helps to read them."""

UNITS = ("targets", "words", "bytes", "characters")
STUDENTS = (12.706205, 4.302653, 3.182446, 2.776445, 2.570582, 2.446912, 2.364624, 2.306004)


class Page(HTMLParser):
    """The page's figures and curves, and the digits that stand outside of them."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.figures: list[tuple[str, object, str]] = []
        self.curves: dict[str, dict[str, str]] = {}
        self.stray: list[str] = []
        self.notes: list[str] = []
        self._open: list[tuple[str, dict[str, str]]] = []
        self.feed(source)
        self.close()
        assert not self._open, "every element is closed"

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        if tag == "data":
            self.figures.append((attributes["data-figure"], json.loads(attributes["value"]), ""))
        elif tag == "g":
            self.curves[attributes["data-figure"]] = attributes
        if tag not in VOID:
            self._open.append((tag, attributes))

    def handle_startendtag(self, tag, attrs):
        assert tag in VOID

    def handle_endtag(self, tag):
        assert self._open.pop()[0] == tag

    def handle_data(self, data):
        tags = [tag for tag, _ in self._open]
        classes = " ".join(attributes.get("class") or "" for _, attributes in self._open)
        if "data" in tags:
            name, value, shown = self.figures[-1]
            self.figures[-1] = (name, value, shown + data)
        elif "figure" in tags and "nf-note" in classes:
            self.notes.append(data)
        elif not NO_FIGURES & set(tags) and "text" not in classes.split():
            self.stray += re.findall(r"\d[\d.,]*", data.replace("95%", "").replace("ln 2", ""))


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def flat(tree: dict, prefix: str, joint: str) -> dict[str, object]:
    found = {}
    for key, value in tree.items():
        inner = flat(value, f"{prefix}{key}{joint}", joint) if isinstance(value, dict) else None
        found |= {f"{prefix}{key}": value} if inner is None else inner
    return found


def ratio(above, below):
    """The sum of one over the sum of the other, and its interval, resample by resample."""
    above, below = np.array(above, float), np.array(below, float)
    mean = math.fsum(above) / math.fsum(below)
    count = len(above)
    if count < 2:
        return mean, math.nan, math.nan
    error = error_of(above, below)
    if error == 0:
        return mean, mean, mean
    if count < 10:
        half = STUDENTS[count - 2] * error
        return mean, mean - half, mean + half
    random = np.random.Generator(np.random.Philox(key=0))
    distances = []
    for drawn in random.integers(0, count, (2000, count)):
        some, sizes = above[drawn], below[drawn]
        distances.append((some.sum() / sizes.sum() - mean) / error_of(some, sizes))
    low, high = np.quantile(distances, [0.025, 0.975])
    return mean, mean - high * error, mean - low * error


def error_of(above, below):
    mean, count = above.sum() / below.sum(), len(above)
    return math.sqrt(((above - mean * below) ** 2).sum() * count / (count - 1)) / below.sum()


def expected_figures(run: Path) -> dict[str, object]:
    events, timing = lines(run / "events.jsonl"), lines(run / "timing.jsonl")
    steps = [event for event in events if event["event"] == "step"]
    found: dict[str, object] = {}
    found["steps/taken"] = max((event["step"] for event in steps), default=0)
    found["targets"] = sum(event["targets"] for event in steps)
    found["seconds"] = sum(entry["elapsed_s"] for entry in timing)
    found["tokens_per_second"] = sum(entry["tokens"] for entry in timing) / found["seconds"]
    end = next((event for event in events if event["event"] == "end"), None)
    if end and end["kept"] != end["step"]:
        found["steps/kept"] = end["kept"]
    found["window"] = max(5, len(steps) // 25)
    config = tomllib.loads((run / "config.toml").read_text("utf-8"))
    epoch = steps[-1]["epoch"] if steps else math.nan
    if "max_steps" in config["training"]:
        found["steps/planned"] = config["training"]["max_steps"]
    elif steps:
        per_epoch = round(found["steps/taken"] / epoch)
        found["steps/planned"] = math.ceil(config["training"]["epochs"] * per_epoch)
    measured = json.loads((run / "measured.json").read_text("utf-8"))
    found |= flat(config, "config/", ".") | flat(measured, "measured/", ".")
    samples = [event for event in events if event["event"] == "sample"]
    found["samples/step"] = {event["step"] for event in samples}
    found["samples/between"] = min(len(samples), 24) - 2
    found["samples/shown"], found["samples/all"] = 24, len(samples)
    return found | expected_ledger(run) | expected_evaluations(run, events) | expected_texts(run)


def expected_texts(run: Path) -> dict[str, object]:
    """Documents token by token: their means, checked against what each evaluation kept."""
    if not (run / "texts.json").is_file():
        return {}
    kept = json.loads((run / "texts.json").read_text("utf-8"))
    found: dict[str, object] = {}
    before, after = (
        np.load(run / "evaluations" / f"step-{step:08d}.npz")["nats"] for step in (0, kept["step"])
    )
    for at, text in enumerate(kept["texts"]):
        for name, scored, close in (("nats", after, 1e-6), ("other_nats", before, 1e-3)):
            assert np.isclose(scored, text[name], rtol=close).any(), name  # of half precision
            if not text["left_out"]:
                summed = math.fsum(token[name] or 0.0 for token in text["tokens"])
                assert math.isclose(summed, text[name], rel_tol=1e-6)
        found[f"tokens/{at}/record"] = text["record"]
        found[f"tokens/{at}/left_out"] = text["left_out"]
        found[f"tokens/{at}/nats"] = text["nats"] / text["targets"]
        found[f"tokens/{at}/change"] = (text["nats"] - text["other_nats"]) / text["targets"]
    return found


def expected_ledger(run: Path) -> dict[str, object]:
    ledger = json.loads((run / "ledger.json").read_text("utf-8"))
    found = flat(ledger, "ledger/", "/")
    found["ledger/records/all"] = ledger["records"]
    found["ledger/documents/all"] = ledger["documents"]
    found["ledger/tokens/all"] = ledger["tokens"] + ledger["separators"]
    in_parts = sum(ledger[f"{part}_documents"] for part in ("train", "held_out", "validation"))
    found["ledger/documents/neither"] = ledger["documents"] - in_parts
    wholes = {
        "records": "with_text skipped",
        "documents": "train_documents held_out_documents validation_documents",
    }
    wholes |= {"documents ": "documents/neither"}
    wholes |= {"tokens": "trained evaluated dropped tokens separators padding"}
    for whole, parts in wholes.items():
        for name in [
            n for n in found for part in parts.split() if (n + "/").startswith(f"ledger/{part}/")
        ]:
            if not name.endswith("/all"):
                total = found[f"ledger/{whole.strip()}/all"]
                found[f"{name}/share"] = 100 * found[name] / total
    return found


def expected_evaluations(run: Path, events: list[dict]) -> dict[str, object]:
    sets = defaultdict(dict)
    for event in events:
        if event["event"] in ("evaluation", "validation"):
            name = "validation" if event["event"] == "validation" else event.get("set", "held-out")
            sets[name][event["step"]] = event
    found: dict[str, object] = {}
    for name, by_step in sets.items():
        kept = next((event["kept"] for event in events if event["event"] == "end"), max(by_step))
        ends = {"before": min(by_step), "after": kept}
        documents = {}
        for when, step in ends.items():
            found[f"{name}/{when}/step"] = step
            groups = by_step[step].get("groups") or {}
            for at, group in enumerate(by_step[ends["before"]].get("groups") or {}):
                one = groups[group]
                found[f"{name}/groups/{at}/documents"] = one["documents"]
                found[f"{name}/groups/{at}/{when}"] = math.exp(one["nats"] / one["targets"])
            if "accuracy" in by_step[step]:
                found[f"{name}/{when}/accuracy"] = 100 * by_step[step]["accuracy"]
            middle = "" if name == "held-out" else f".{name}"
            path = run / "evaluations" / f"step-{step:08d}{middle}.npz"
            if path.is_file():
                documents[when] = dict(np.load(path))
            else:
                documents[when] = {
                    key: np.array([by_step[step].get(key, 0)]) for key in (*UNITS, "nats")
                }
        found |= expected_words(name, documents)
        lowest = min(by_step.values(), key=lambda event: event["nats"] / event["targets"])
        found[f"{name}/lowest/step"] = lowest["step"]
        found[f"{name}/lowest/perplexity"] = math.exp(lowest["nats"] / lowest["targets"])
        for key in ("documents", *UNITS):
            found[f"{name}/{key}"] = by_step[ends["after"]].get(key)
        for unit in UNITS:
            if documents["before"][unit].sum() == 0:
                continue
            for when, columns in documents.items():
                ends = ratio(columns["nats"], columns[unit])
                found |= named(f"{name}/{when}", unit, ends, math.exp)
            difference = documents["after"]["nats"] - documents["before"]["nats"]
            ends = ratio(difference, documents["before"][unit])
            found |= named(f"{name}/change", unit, ends, lambda d: 100 * math.expm1(d))
    return found


def expected_words(name: str, documents: dict[str, dict]) -> dict[str, object]:
    """The tokens right of a hundred, or of more where that shows a difference, before and after."""
    if not all("correct" in columns for columns in documents.values()):
        return {}
    shares = {
        when: int(columns["correct"].sum()) / int(columns["targets"].sum())
        for when, columns in documents.items()
    }
    most = min(int(columns["targets"].sum()) for columns in documents.values())
    scales = [scale for scale in (100, 1000, 10_000) if scale <= most]
    scales += [most] if most < 10_000 else []
    for scale in scales:
        rounded = [math.floor(scale * share + 0.5) for share in shares.values()]
        if len(set(rounded)) == len(set(shares.values())) and set(rounded).isdisjoint({0, scale}):
            break
    if len(shares) == 2 and shares["before"] == shares["after"]:
        shares.pop("before")
    counts = {f"{name}/{when}/right": scale * share for when, share in shares.items()}
    return {f"{name}/right": scale, **counts}


def named(prefix, unit, ends, power):
    ends = dict(zip(("", "/low", "/high"), ends, strict=True))
    keys = {
        "targets": {"perplexity": power, "nats_per_token": float},
        "words": {"word_perplexity": power},
        "characters": {"character_perplexity": power},
        "bytes": {"byte_perplexity": power, "bits_per_byte": lambda nats: nats / math.log(2)},
    }
    return {
        f"{prefix}/{key}{end}": show(nats)
        for key, show in keys[unit].items()
        for end, nats in ends.items()
        if math.isfinite(nats)
    }


def expected_curves(run: Path) -> dict[str, dict[int, float]]:
    events, timing = lines(run / "events.jsonl"), lines(run / "timing.jsonl")
    steps = [event for event in events if event["event"] == "step"]
    latest = {entry["step"]: entry for entry in timing}
    found: dict[str, dict[int, float]] = defaultdict(dict)
    window = max(5, len(steps) // 25)
    for at, event in enumerate(steps):
        part = steps[max(0, at - window + 1) : at + 1]
        loss = event["nats"] / event["targets"]
        smooth = math.fsum(e["nats"] for e in part) / sum(e["targets"] for e in part)
        for key, value in (("each", loss), ("smooth", smooth)):
            found[f"curve/loss/{key}"][event["step"]] = value
            found[f"curve/perplexity/{key}"][event["step"]] = math.exp(value)
        found["curve/loss/optimizer"][event["step"]] = event["loss"]
        found["curve/learning_rate"][event["step"]] = event["learning_rate"]
        found["curve/grad_norm/each"][event["step"]] = event["grad_norm"]
        mean = math.fsum(e["grad_norm"] for e in part) / len(part)
        found["curve/grad_norm/smooth"][event["step"]] = mean
    window = max(5, len(latest) // 25)
    times = list(latest.values())
    for at, entry in enumerate(times):
        part = times[max(0, at - window + 1) : at + 1]
        found["curve/speed/each"][entry["step"]] = entry["tokens"] / entry["elapsed_s"]
        rate = sum(e["tokens"] for e in part) / math.fsum(e["elapsed_s"] for e in part)
        found["curve/speed/smooth"][entry["step"]] = rate
    for event in events:
        if event["event"] in ("evaluation", "validation"):
            name = "validation" if event["event"] == "validation" else event.get("set", "held-out")
            mean = event["nats"] / event["targets"]
            low, high = (math.log(e) if e else math.nan for e in event.get("interval", [0, 0]))
            for end, value in (("", mean), ("/low", low), ("/high", high)):
                found[f"curve/loss/{name}{end}"][event["step"]] = value
                found[f"curve/perplexity/{name}{end}"][event["step"]] = math.exp(value)
    return found


def check(run: Path, *, least_figures: int) -> Page:
    """Compare every figure and every point of the report of a run; return the page."""
    source = nextfill.report(run).read_text("utf-8")
    page = Page(source)
    assert page.stray == []
    expected = expected_figures(run)
    for name, value, shown in page.figures:
        assert name in expected, f"{name} is on the page and not known here"
        if name == "samples/step":
            assert value in expected[name]
        elif isinstance(expected[name], float):
            assert value == pytest.approx(expected[name], rel=1e-9), name
        else:
            assert value == expected[name], name
        check_shown(name, value, shown)
    assert len({name for name, _, _ in page.figures}) >= least_figures
    curves = expected_curves(run)
    for name, attributes in page.curves.items():
        for key, suffix in (("data-y", ""), ("data-low", "/low"), ("data-high", "/high")):
            if key not in attributes:
                continue
            steps = [int(float(x)) for x in attributes["data-x"].split()]
            values = [float(y) for y in attributes[key].split()]
            anew = [curves[name + suffix][step] for step in steps]
            assert values == pytest.approx(anew, rel=1e-9, nan_ok=True), name
    lengths = {len(points) for points in curves.values()}
    drawn = {len(attributes["data-x"].split()) for attributes in page.curves.values()}
    for some, whole in re.findall(r": ([\d,]+) of ([\d,]+) points", " ".join(page.notes)):
        assert int(some.replace(",", "")) in drawn
        assert int(whole.replace(",", "")) in lengths
    return page


def check_shown(name: str, value: object, shown: str) -> None:
    """Check that what is shown is the value, rounded as far as it is shown."""
    text = shown.replace(",", "").replace("\N{MINUS SIGN}", "-").removesuffix("%").removeprefix("+")
    if isinstance(value, bool):
        assert shown == ("yes" if value else "no")
    elif isinstance(value, int | float) and name != "seconds":
        decimals = text.partition(".")[2]
        digits = len(decimals) if "e" not in text else 0
        near = 0.5000001 * 10.0**-digits if "e" not in text else abs(value) * 1e-2
        given = abs(value) if not shown.startswith(("-", "\N{MINUS SIGN}")) else value
        assert abs(float(text) - given) <= near, f"{name}: {value} is shown as {shown}"
    elif isinstance(value, str):
        assert shown == value


def test_a_run(make_run, tmp_path):
    page = check(make_run(tmp_path / "run"), least_figures=100)
    names = {name for name, _, _ in page.figures}
    assert {"held-out/right", "held-out/after/right"} <= names
    for when in ("before", "after", "change"):
        for key in ("perplexity", "nats_per_token", "bits_per_byte", "word_perplexity"):
            for end in ("", "/low", "/high"):
                assert f"held-out/{when}/{key}{end}" in names
    assert {"ledger/dropped/window tail", "ledger/skipped/null", "ledger/padding"} <= names
    assert {"config/training.learning_rate", "measured/versions.torch"} <= names
    assert len(page.curves) == 11


def test_several_sets_and_validation(make_run, tmp_path):
    run = make_run(tmp_path / "run", sets=("", "general", "domain"), validation=True, steps=47)
    page = check(run, least_figures=200)
    assert {f"curve/loss/{name}" for name in ("held-out", "general", "domain", "validation")} <= (
        page.curves.keys()
    )
    names = {name for name, _, _ in page.figures}
    assert {"general/change/perplexity/low", "validation/after/perplexity"} <= names
    assert "validation/after/perplexity/low" not in names


def test_a_run_that_kept_its_best_step(make_run, tmp_path):
    run = make_run(tmp_path / "run", validation=True, kept=40)
    figures = {name: value for name, value, _ in check(run, least_figures=100).figures}
    assert figures["steps/kept"] == figures["held-out/after/step"] == 40
    assert figures["held-out/lowest/step"] == 60
    check(make_run(tmp_path / "first", validation=True, kept=0), least_figures=80)


def test_a_run_that_got_worse_and_one_of_a_single_document(make_run, tmp_path):
    page = check(make_run(tmp_path / "worse", improvement=-0.5), least_figures=100)
    assert "held-out/lowest/perplexity" in {name for name, _, _ in page.figures}
    check(make_run(tmp_path / "single", documents=1), least_figures=70)


def test_an_unfinished_run_with_steps_taken_twice(make_run, tmp_path):
    run = make_run(tmp_path / "run", steps=45, finished=False)
    again = [{"step": step, "tokens": 4000, "elapsed_s": 3.0} for step in range(40, 46)]
    with (run / "timing.jsonl").open("a") as file:
        file.write("".join(json.dumps(entry) + "\n" for entry in again))
    names = {name for name, _, _ in check(run, least_figures=100).figures}
    assert "steps/planned" in names


def test_a_loss_with_a_divisor_of_its_own(make_run, tmp_path):
    run = make_run(tmp_path / "run")
    events = lines(run / "events.jsonl")
    for event in events:
        if event["event"] == "step":
            event["loss"] *= 63 / 64
    (run / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    assert "curve/loss/optimizer" in check(run, least_figures=100).curves


def test_a_long_run_with_many_evaluations(make_run, tmp_path):
    run = make_run(tmp_path / "run", steps=5000, eval_every=20, documents=5)
    page = check(run, least_figures=100)
    assert len(page.curves["curve/grad_norm/each"]["data-x"].split()) <= 1000
    assert len(page.curves["curve/loss/held-out"]["data-x"].split()) <= 200
    norms = [event["grad_norm"] for event in lines(run / "events.jsonl") if "grad_norm" in event]
    drawn = [float(y) for y in page.curves["curve/grad_norm/each"]["data-y"].split()]
    assert (max(drawn), min(drawn)) == (max(norms), min(norms))
    shown = [value for name, value, _ in page.figures if name == "samples/step"]
    assert len(shown) == 24
    assert {0, 5000} < set(shown)
    assert {"samples/shown", "samples/all"} <= {name for name, _, _ in page.figures}


def test_a_run_that_was_really_trained(tiny_model, text_file, paragraphs, tmp_path):
    general = tmp_path / "general.txt"
    general.write_text("\n\n".join(paragraphs(9, 5)), "utf-8")
    result = nextfill.train(
        model=str(tiny_model),
        data=str(text_file),
        out=tmp_path / "run",
        block_size=64,
        max_steps=12,
        eval_every=5,
        validation_size=5,
        keep="best",
        evaluation={"general": str(general)},
        device="cpu",
    )
    assert result.report == str(tmp_path / "run" / "report.html")
    page = check(tmp_path / "run", least_figures=100)
    shown = {name: value for name, value, _ in page.figures}
    right = shown["held-out/right"] * result.after.correct / result.after.targets
    assert shown["held-out/after/right"] == right
    assert shown["held-out/after/perplexity"] == result.after.perplexity
    assert shown["held-out/before/perplexity/low"] == pytest.approx(result.before.interval[0])
    assert shown["general/after/perplexity"] == result.sets["general"].after.perplexity
    assert "validation/change/perplexity" in shown
    assert shown["tokens_per_second"] == result.tokens_per_second
