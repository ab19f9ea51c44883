"""docs/speed.md is the page that the measurements in benchmarks/results make."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def speed_page(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module("speed_page")


def write(path, measured):
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(measured))


def test_the_page_and_its_pictures_are_those_of_the_measurements(speed_page):
    text, pictures = speed_page.page(speed_page.read(ROOT / "benchmarks" / "results"))
    assert (ROOT / "docs" / "speed.md").read_text("utf-8") == text
    assert {path.name for path in (ROOT / "docs" / "images").glob("speed*.svg")} == {*pictures}
    for name, picture in pictures.items():
        assert (ROOT / "docs" / "images" / name).read_text("utf-8") == picture
        ElementTree.fromstring(picture)  # noqa: S314
        assert f"images/{name}" in text


def test_every_ratio_is_in_the_table_and_none_is_made_up(speed_page, tmp_path):
    machine = {"processors": 2, "processor": "a & b", "system": "s", "python": "3", "versions": {}}
    measured = {
        "benchmark": "preparation",
        "megabytes": 5.0,
        "guide / nextfill": 7.25,
        "sizes": [
            {"megabytes": m, "processor_s": s, "peak_mb": 100.0} for m, s in ((1, 0.5), (10, 4))
        ],
        "machine": machine,
    }
    write(tmp_path / "one/preparation.json", measured)
    text, pictures = speed_page.page(speed_page.read(tmp_path))
    assert "prepare 5 MB, leaks searched | the guide, 2 processes | [7.25 times as fast](" in text
    assert text.count("times as fast](../benchmarks/results/one/preparation.json) |") == 1
    assert {*pictures} == {"speed-one.svg", "speed-preparation-one.svg"}
    assert "0.5" in pictures["speed-preparation-one.svg"]


def test_a_loss_that_is_not_reached_is_in_the_table(speed_page):
    machine = {"processors": 2, "processor": "p", "system": "s", "python": "3", "versions": {}}
    there = {"seconds": 2.5, "processor_s": 2.0}
    compared = {"searched": True, "trainer bf16, tuned / nextfill": None, "guide / nextfill": there}
    sizes = {"blocks": 512, "seeds": 3}
    found = {"time-to-loss": {**sizes, "eli5, masked": compared, "machine": machine}}
    text, pictures = speed_page.page({"one": found})
    assert "eli5, masked, 512 blocks, seeds: 3 | guide | [2.50 times as fast](" in text
    assert "seeds: 3 | trainer bf16, tuned | [that loss was not reached](" in text
    assert "tuned" not in pictures["speed-one.svg"]


def test_the_engine_stands_beside_a_bare_loop(speed_page):
    machine = {"processors": 2, "processor": "p", "system": "s", "python": "3", "versions": {}}
    one = {"seconds": {"engine / bare loop": 1.014}, "machine": machine}
    text, _ = speed_page.page({"one": {"engine-step-masked": one}})
    assert "masked step, the bundled base | a bare loop of its operations | [1.01 of its" in text


def test_large_texts_stand_beside_the_guide_the_encoder_and_one_another(speed_page, tmp_path):
    machine = {"processors": 2, "processor": "p", "system": "s", "python": "3", "versions": {}}
    sized = {"seconds": 9.0, "processor_s": 14.0, "peak_mb": 300.0}
    encoder = {"seconds": 3.0, "processor_s": 5.0, "threads": 2, "megabytes": 500.0}
    ratios = {"encoder alone": encoder, "encoder alone / nextfill": 0.25}
    guide = {"guide, extrapolated / nextfill": 15.5}
    large = {"megabytes": 4000.0, "seconds": 80.0, "processor_s": 112.0, "peak_mb": 315.0}
    measured = {
        "benchmark": "preparation",
        "megabytes": 50.0,
        "guide / nextfill": 9.0,
        "sizes": [{"megabytes": 500.0, **sized, **ratios, **guide}, large],
        "machine": machine,
    }
    write(tmp_path / "one/preparation-large.json", measured)
    text, _ = speed_page.page(speed_page.read(tmp_path))
    assert (
        "| prepare 500 MB, leaks searched | the guide, 2 processes, extrapolated from 50 MB "
        "| [15.50 times as fast](" in text
    )
    assert "| the encoder alone, 2 threads | [0.25 of its speed](" in text
    assert "| peak memory of preparing 4,000 MB | of 500 MB | [1.05 of its memory](" in text
    assert "| 500 | 14.0 | 28 ms | 300 |" in text
    assert "| 4,000 | 112.0 | 28 ms | 315 |" in text


def test_machines_stand_beside_one_another(speed_page, tmp_path):
    for name, times in (("one", 2.0), ("other", 3.0)):
        machine = {"processors": 2, "system": "s", "python": "3", "versions": {}}
        machine["processor"] = f"The {name}"
        measured = {"megabytes": 5.0, "guide / nextfill": times, "machine": machine}
        write(tmp_path / name / "preparation.json", measured)
    fill = {"sentences": 9, "nextfill": {"times the pipeline": 4.0}, "machine": machine}
    write(tmp_path / "other" / "fill.json", fill)
    text, pictures = speed_page.page(speed_page.read(tmp_path))
    assert "| work | against | The one | The other |" in text
    links = [
        f"[{times} times as fast](../benchmarks/results/{name}/preparation.json)"
        for name, times in (("one", "2.00"), ("other", "3.00"))
    ]
    assert f"| the guide, 2 processes | {' | '.join(links)} |" in text
    assert "its best batch | not measured | [4.00 times as fast](" in text
    assert {*pictures} == {"speed-one.svg", "speed-other.svg"}


def test_a_processor_has_a_folder(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    measurement = importlib.import_module("measurement")
    for name, folder in {
        "Intel(R) Xeon(R) Processor": "intel-xeon-processor",
        "AMD EPYC": "amd-epyc",
        "Apple M3 (TM) / 8": "apple-m3-8",
        "": "processor",
    }.items():
        monkeypatch.setattr(measurement, "_processor", lambda name=name: name)
        assert measurement.folder_of_processor(tmp_path) == tmp_path / folder
