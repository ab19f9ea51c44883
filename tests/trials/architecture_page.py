"""docs/architectures.md, written from a run of every type of model that transformers has.

    python -m tests.trials.architecture_page [--minutes N] [--write] [--again] [TYPE ...]

Each type's outcome is one line of build/architectures.jsonl, so that a run that was cut goes on
with the types that are left. ``--write`` writes the page of what is there and tries nothing;
``--again`` tries the named types, or those at fault, once more.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import textwrap
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import torch
import transformers

from tests.architecture_paths import GONE, Outcome, try_path
from tests.architectures import types

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "build" / "architectures.jsonl"
PAGE = ROOT / "docs" / "architectures.md"

_NAMED = {
    "causal": """
        bart bert bert-generation big_bird bigbird_pegasus biogpt blenderbot blenderbot-small bloom
        camembert llama codegen cpmant ctrl data2vec-text electra ernie falcon git gpt-sw3 gpt2
        gpt_bigcode gpt_neo gpt_neox gpt_neox_japanese gptj marian mbart mega megatron-bert mpt
        musicgen mvp open-llama openai-gpt opt pegasus persimmon plbart prophetnet qdqbert reformer
        rembert roberta roberta-prelayernorm roc_bert roformer rwkv speech_to_text_2 transfo-xl
        trocr xglm xlm xlm-prophetnet xlm-roberta xlm-roberta-xl xlnet xmod
    """,
    "masked": """
        albert bart bert big_bird camembert convbert data2vec-text deberta deberta-v2 distilbert
        electra ernie esm flaubert fnet funnel ibert layoutlm longformer luke mbart mega
        megatron-bert mobilebert mpnet mra mvp nezha nystromformer perceiver qdqbert reformer
        rembert roberta roberta-prelayernorm roc_bert roformer squeezebert tapas xlm xlm-roberta
        xlm-roberta-xl xmod yoso
    """,
}
GUIDES = {objective: names.split() for objective, names in _NAMED.items()}
"""The types that the guides to causal and masked language modelling name; CodeLlama is a Llama."""

NAMES = {
    "llama": "llama (CodeLlama, too)",
    **{kind: f"{kind} ({name})" for kind, name in GONE.items()},
}
LEFT = "has left transformers 5"
GUIDE_MARK = "\N{BULLET}"

HEAD = """# Architectures

Every type of model that transformers {version} has for causal or masked language modelling, tried
by `python -m tests.trials.architecture_page`, which wrote this page. A model of each type, tiny and
with random weights, was saved as yours would be, and went the whole way: its text prepared; six
steps of training; evaluated again, to the same figures; read by plain transformers, its logits
within 1e-6 of ours; made to generate or to fill, twice alike; and cut back to its third step and
gone on with, to the same bytes. The list is transformers' own, so that a type that is new there is
tried with the others.

{counts}

- A {mark} marks the types that transformers' guides to causal and masked language modelling name.
- **a row of its own**: nothing keeps documents apart that stand in one row (a recurrent state,
  positions that the model counts itself), so that each has a row, and shorter ones are padded.
- **rows of one length**: the model sees padding, so that rows are computed in groups of one length.
- **used with**: a setting is changed at load, without which the model would see the tokens that it
  is to predict; [models.md](models.md) has more on that.
- **not tried here**: no tiny model of the type can be made; nothing is known against a large one.
- **has left transformers 5**: `make legacy` makes an environment of transformers 4.57, the last to
  have these types, and trains small ones there on a token store (`scripts/legacy.py`, which takes a
  folder of yours, too, and gives one that 4.57 reads). Nats per token of held-out documents of the
  built-in corpus, before and after 60 steps: MEGA 8.72 and 6.83, OpenLlama 8.72 and 6.55,
  Speech2Text2 8.74 and 6.73, Transformer-XL 8.73 and 6.51. XLM-ProphetNet looks ahead, as does
  ProphetNet; QDQBert wants pytorch-quantization, which PyPI does not have.

| guide | objective | type | | limit or reason |
|---|---|---|---|---|
"""


def main(words: Sequence[str] | None = None) -> int:
    """Try the types that are left, write the page, and return how many are at fault."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("kinds", nargs="*", metavar="TYPE")
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--again", action="store_true")
    options = parser.parse_args(words)
    RESULTS.parent.mkdir(exist_ok=True)
    torch.set_num_threads(1)
    until = time.monotonic() + 60 * options.minutes
    known = read_outcomes()
    for objective, kind in [] if options.write else in_order():
        if kind in GONE or (options.kinds and kind not in options.kinds):
            continue
        before = known.get((objective, kind))
        is_due = bool(options.kinds) or (before is not None and before.verdict == "fault")
        if before is not None and not (options.again and is_due):
            continue
        if time.monotonic() > until:
            print("The time is up; the same line goes on.")
            break
        outcome = _tried(objective, kind)
        with RESULTS.open("a") as file:
            line = {"transformers": transformers.__version__, **asdict(outcome)}
            file.write(json.dumps(line) + "\n")
        print(f"{objective} {kind}: {_said(outcome)} ({outcome.seconds:.1f} s)", flush=True)
    found = read_outcomes()
    PAGE.write_text(page(found), "utf-8")
    left = [pair for pair in in_order() if pair not in found and pair[1] not in GONE]
    print(f"{PAGE}: {len(found)} types tried, {len(left)} left")
    return sum(one.verdict == "fault" for one in found.values())


def _tried(objective: str, kind: str) -> Outcome:
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return try_path(objective, kind, Path(folder))


def read_outcomes() -> dict[tuple[str, str], Outcome]:
    """Read what is known of this version of transformers; of a type tried twice, the last."""
    found = {}
    for line in RESULTS.read_text().splitlines() if RESULTS.is_file() else ():
        record = json.loads(line)
        if record.pop("transformers") == transformers.__version__:
            found[record["objective"], record["kind"]] = Outcome(**record)
    return found


def in_order() -> Iterator[tuple[str, str]]:
    """Yield objective and type: the guides' lists, then all others."""
    for objective, kinds in GUIDES.items():
        yield from ((objective, kind) for kind in kinds)
    for objective, kinds in GUIDES.items():
        yield from ((objective, kind) for kind in types(objective) if kind not in kinds)


def page(found: dict[tuple[str, str], Outcome]) -> str:
    """Return the page of what is known."""
    rows, counts = [], dict.fromkeys(("works", "with a limit", "refused", "not tried", "left"), 0)
    for objective, kind in in_order():
        outcome = found.get((objective, kind)) or Outcome(
            objective, kind, "not made", [], "not yet"
        )
        if kind in GONE:
            outcome = Outcome(objective, kind, LEFT, [], "make legacy, above")
        mark = GUIDE_MARK if kind in GUIDES[objective] else ""
        shown = ("; ".join(outcome.limits) or outcome.reason).replace("|", "\\|")
        rows.append(
            f"| {mark} | {objective} | {NAMES.get(kind, kind)} | {_said(outcome)} | {shown} |"
        )
        counts[_counted(outcome)] += 1
    head = HEAD.format(version=transformers.__version__, counts=_counts(counts), mark=GUIDE_MARK)
    return head + "\n".join(rows) + "\n"


def _said(outcome: Outcome) -> str:
    if outcome.verdict == "works":
        return "works, with a limit" if outcome.limits else "works"
    return {"not made": "not tried here", "fault": "**a fault**"}.get(
        outcome.verdict, outcome.verdict
    )


def _counted(outcome: Outcome) -> str:
    if outcome.verdict == "works":
        return "with a limit" if outcome.limits else "works"
    return {"not made": "not tried", LEFT: "left"}.get(outcome.verdict, "refused")


def _counts(counts: dict[str, int]) -> str:
    text = (
        f"Of {sum(counts.values())} rows {counts['works']} work, {counts['with a limit']} work "
        f"with the limit that is stated, {counts['refused']} are refused for the reason that is "
        f"stated, {counts['not tried']} are not tried here, and {counts['left']} name types that "
        "have left transformers 5."
    )
    return textwrap.fill(text, 100)


if __name__ == "__main__":
    raise SystemExit(main() > 0)
