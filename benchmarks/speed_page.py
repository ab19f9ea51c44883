"""docs/speed.md and its pictures, made from the measurements in benchmarks/results.

    python benchmarks/speed_page.py [RESULTS] [DOCS]

Nothing is measured here: each figure leads to the file that it comes from, and a measurement that
was not taken has none. Machines stand beside one another; theirs are the folders of RESULTS.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from html import escape
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from speed_pictures import bars, growth

RESULTS = Path(__file__).parent / "results"
DOCS = Path(__file__).parents[1] / "docs"
STEPS = {
    "causal-concat": "causal step, `concat`",
    "causal-best-fit": "causal step, `best-fit`",
    "masked-concat": "masked step, `concat`",
    "masked-best-fit": "masked step, `best-fit`",
}


FASTER = "times as fast"
NOT_REACHED = "that loss was not reached"


class Row(NamedTuple):
    """One comparison: how many times as fast as another way, or how much of its memory."""

    work: str
    against: str
    times: float
    source: str
    figure: str = FASTER

    @property
    def result(self) -> str:
        """The figure in words."""
        return self.figure if self.figure == NOT_REACHED else f"{self.times:.2f} {self.figure}"


Measured = dict[str, dict[str, Any]]
"""The measurements of one machine by name."""


def read(folder: Path) -> dict[str, Measured]:
    """Return the measurements of each machine, by the name of its folder."""
    found: dict[str, Measured] = {}
    for path in sorted(folder.glob("*/*.json")):
        of_machine = found.setdefault(path.parent.name, {})
        of_machine[path.stem] = json.loads(path.read_text("utf-8"))
    return found


def rows(found: Measured) -> Iterator[Row]:
    """Yield the comparisons that were taken, in the order of a job."""
    if one := found.get("preparation"):
        work = f"prepare {one['megabytes']:g} MB, leaks searched"
        yield Row(work, "the guide, 2 processes", one["guide / nextfill"], "preparation")
    source = "time-to-loss" if "time-to-loss" in found else "time-to-loss-quick"
    yield from rows_to_loss(found.get(source, {}), source)
    yield from rows_of_sizes(found.get("preparation-large", {}))
    for name, work in STEPS.items():
        yield from rows_of_step(found.get(f"step-{name}", {}), work, f"step-{name}")
    for objective in ("causal", "masked"):
        if one := found.get(f"engine-step-{objective}"):
            share = one["seconds"]["engine / bare loop"]
            work, peer = f"{objective} step, the bundled base", "a bare loop of its operations"
            yield Row(work, peer, share, f"engine-step-{objective}", "of its time")
    if (one := found.get("evaluation")) and "harness / nextfill" in one:
        work, times = f"evaluate {one['megabytes']:g} MB, fp32", one["harness / nextfill"]
        yield Row(work, "lm-evaluation-harness, its best batch", times, "evaluation")
    generation = found.get("generation", {})
    for batch in (key for key in generation if key.startswith("batch ")):
        peer = "text-generation pipeline"
        yield from rows_of_ways(generation[batch], f"generate, {batch}", peer, "generation")
    if one := found.get("fill"):
        work, peer = f"fill {one['sentences']:,} sentences", "fill-mask pipeline, its best batch"
        yield from rows_of_ways(one, work, peer, "fill")


def rows_of_sizes(one: dict[str, Any]) -> Iterator[Row]:
    """Yield the comparisons of preparing large texts, and of their memory."""
    sizes, source = one.get("sizes", []), "preparation-large"
    for size in sizes:
        work = f"prepare {size['megabytes']:,g} MB, leaks searched"
        if times := size.get("guide, extrapolated / nextfill"):
            peer = f"the guide, 2 processes, extrapolated from {one['megabytes']:g} MB"
            yield Row(work, peer, times, source)
        if share := size.get("encoder alone / nextfill"):
            peer = f"the encoder alone, {amount_of_threads(size['encoder alone']['threads'])}"
            yield Row(work, peer, share, source, "of its speed")
    for before, size in pairwise(sizes):
        work = f"peak memory of preparing {size['megabytes']:,g} MB"
        share = size["peak_mb"] / before["peak_mb"]
        yield Row(work, f"of {before['megabytes']:,g} MB", share, source, "of its memory")


def amount_of_threads(number: int) -> str:
    """Return a number of threads in words."""
    return f"{number} thread" if number == 1 else f"{number} threads"


def rows_of_step(one: dict[str, Any], work: str, source: str) -> Iterator[Row]:
    """Yield the comparisons of training steps, and of their memory."""
    if step := one.get("step"):
        for peer in ("trainer fp32", "trainer bf16"):
            yield Row(work, peer, step[f"{peer} / nextfill"]["seconds"], source)
        share = step["nextfill / products alone"]["seconds"]
        yield Row(work, "its matrix products alone", share, source, "of its time")
    if memory := one.get("memory"):
        of = f"peak memory at block {memory['block_size']:,}, {work.partition(' ')[0]}"
        for kind in ("bf16", "fp32"):
            share = memory[f"nextfill / trainer, {kind}"]
            yield Row(of, f"trainer {kind}", share, source, "of its memory")


def rows_to_loss(one: dict[str, Any], source: str) -> Iterator[Row]:
    """Yield the comparisons of the seconds to a peer's best held-out loss."""
    for work, compared in one.items():
        for key in compared if isinstance(compared, dict) else ():
            peer, _, is_ratio = key.partition(" / ")
            if not is_ratio:
                continue
            of = f"{work}, {one['blocks']} blocks, seeds: {one['seeds']}"
            to, ratio = f"to the peer's best held-out loss, {of}", compared[key]
            if ratio is None:
                yield Row(to, peer, 0.0, source, NOT_REACHED)
            else:
                yield Row(to, peer, ratio["seconds"], source)


def rows_of_ways(ways: dict[str, Any], work: str, peer: str, source: str) -> Iterator[Row]:
    """Yield our ways beside a pipeline."""
    for way in (key for key in ways if key.startswith("nextfill")):
        name = work + way.removeprefix("nextfill")
        yield Row(name, peer, ways[way]["times the pipeline"], source)


def table(comparisons: dict[str, list[Row]], names: dict[str, str]) -> Iterator[str]:
    """Yield the lines of a Markdown table with a column for each machine."""
    yield f"| work | against | {' | '.join(names[one] for one in comparisons)} |"
    yield "|---|---|" + "---|" * len(comparisons)
    cells: dict[tuple[str, str], dict[str, str]] = {}
    for machine, of_machine in comparisons.items():
        for row in of_machine:
            source = f"../benchmarks/results/{machine}/{row.source}.json"
            cells.setdefault((row.work, row.against), {})[machine] = f"[{row.result}]({source})"
    for (work, against), results in cells.items():
        shown = " | ".join(results.get(one, "not measured") for one in comparisons)
        yield f"| {work} | {against} | {shown} |"


def page(found: dict[str, Measured]) -> tuple[str, dict[str, str]]:
    """Return the page, and its pictures by name."""
    names = {machine: name_of(measured) for machine, measured in found.items()}
    comparisons = {machine: [*rows(measured)] for machine, measured in found.items()}
    lines, pictures = [HEAD, *table(comparisons, names), ""], dict[str, str]()
    for machine, measured in found.items():
        lines += [f"## {names[machine]}", ""]
        lines += [f"- {one}" for one in sorted({machine_of(one) for one in measured.values()})]
        lines.append("")
        for name, title, picture in pictures_of(measured, comparisons[machine], names[machine]):
            pictures[f"{name}-{machine}.svg"] = picture
            lines += [f"![{title}](images/{name}-{machine}.svg)", ""]
        lines += tables_of_growth(measured)
    return "\n".join(lines).rstrip("\n") + "\n", pictures


def pictures_of(
    found: Measured, comparisons: list[Row], machine: str
) -> Iterator[tuple[str, str, str]]:
    """Yield the name, the title and the SVG of each picture of a machine's measurements."""
    faster = [row for row in comparisons if row.figure == FASTER]
    if faster:
        title = f"Times as fast as others, {machine}"
        lines = [(f"{row.work.replace('`', '')} / {row.against}", row.times) for row in faster]
        yield "speed", title, bars(lines, title)
    if sizes := sizes_of_preparation(found):
        points = [(one["megabytes"], one["processor_s"]) for one in sizes]
        title = f"Preparation by size, {machine}"
        picture = growth(points, title, "megabytes of text", "seconds of a processor")
        yield "speed-preparation", title, picture
    if sizes := found.get("step-rows", {}).get("sizes"):
        points = [(one["batch_size"], one["seconds"]) for one in sizes]
        title = f"A step by rows, {machine}"
        picture = growth(points, title, "rows of 128 tokens in a step", "seconds")
        yield "speed-rows", title, picture


def tables_of_growth(found: Measured) -> Iterator[str]:
    """Yield the lines of the tables of preparation by size, and of a step by rows."""
    if sizes := sizes_of_preparation(found):
        yield "| megabytes of text | seconds of a processor | of each megabyte | peak MB |"
        yield "|---|---|---|---|"
        yield from map(row_of_size, sizes)
        yield ""
    if sizes := found.get("step-rows", {}).get("sizes"):
        yield "| rows in a step | seconds |"
        yield "|---|---|"
        yield from (f"| {one['batch_size']} | {one['seconds']:.2f} |" for one in sizes)
        yield ""


def sizes_of_preparation(found: Measured) -> list[dict[str, Any]]:
    """Return the sizes that were prepared, the small ones first."""
    measured = (found.get(name, {}) for name in ("preparation", "preparation-large"))
    return [size for one in measured for size in one.get("sizes", [])]


def row_of_size(one: dict[str, Any]) -> str:
    """Return a line of a Markdown table on preparing so much text."""
    seconds, megabytes = one["processor_s"], one["megabytes"]
    each = f"{1000 * seconds / megabytes:.0f} ms"
    return f"| {megabytes:,g} | {seconds:.1f} | {each} | {one['peak_mb']:.0f} |"


def name_of(found: Measured) -> str:
    """Return the name of a machine's processor."""
    names = {one["machine"]["processor"] for one in found.values()}
    return escape(" and ".join(sorted(names))).replace("|", "/")


def machine_of(one: dict[str, Any]) -> str:
    """Return a sentence on the machine and the versions of a measurement."""
    machine = one["machine"]
    versions = ", ".join(f"{name} {text}" for name, text in machine["versions"].items())
    of = f"{machine['processors']} processors of {machine['processor']}"
    return f"{of}, {machine['system']}, Python {machine['python']}: {versions}"


HEAD = """# Speed

`make bench` measures all of this in about a quarter of an hour, on a machine that does nothing
else, and makes this page and its pictures of it (`benchmarks/speed_page.py`). Models have the
shapes of DistilGPT2 and DistilRoBERTa, batches are of 8 rows of 128 tokens unless said otherwise,
text is unique, and ids, losses or answers are compared beside the seconds. Runs take turns; a
figure is the median of the ratios of each round, and leads to the file of its measurement. What
each benchmark does stands at its head. `make bench-large` adds 500 MB to 4 GB of text, which take
twenty minutes more. Memory is what was resident at most, the pages of mapped files included.
Each processor has a column, and keeps the figures that were last taken on it.
"""


def main() -> None:
    given = [Path(one) for one in sys.argv[1:]]
    results, docs = [*given, RESULTS, DOCS][:2] if len(given) != 1 else [given[0], DOCS]
    text, pictures = page(read(results))
    (docs / "images").mkdir(exist_ok=True)
    (docs / "speed.md").write_text(text, "utf-8")
    for name, picture in pictures.items():
        (docs / "images" / name).write_text(picture, "utf-8")


if __name__ == "__main__":
    main()
