"""A run's data are part of it: when they change, what was held out may have been trained on."""

import pytest

from nextfill.cli.main import main


@pytest.fixture
def run(tiny_model, tmp_path, paragraphs):
    data = tmp_path / "leaves.txt"
    data.write_text("\n\n".join(paragraphs(20)))
    out = tmp_path / "run"
    words = ["train", "--model", str(tiny_model), "--data", str(data), "--out", str(out)]
    assert main([*words, "--max-steps", "2", "--save-every", "1", "--quiet"]) == 0
    return out, data


def test_unchanged_data_are_scored_and_resumed(run):
    out, _ = run
    assert main(["evaluate", str(out), "--quiet"]) == 0
    assert main(["train", "--out", str(out), "--resume", "--quiet"]) == 0


@pytest.mark.parametrize("command", ["resume", "evaluate"])
def test_changed_data_are_refused(run, capsys, command, paragraphs):
    out, data = run
    data.write_text("\n\n".join(paragraphs(21)))
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    words = {
        "resume": ["train", "--out", str(out), "--resume", "--quiet"],
        "evaluate": ["evaluate", str(out), "--quiet"],
    }
    assert main(words[command]) == 2
    assert "have changed since" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


def test_other_data_may_be_named(run, paragraphs):
    out, data = run
    data.write_text("\n\n".join(paragraphs(21)))
    assert main(["evaluate", str(out), "--data", str(data), "--quiet"]) == 0
    assert main(["evaluate", str(out), "--data", str(data), "--test-size", "0.2", "--quiet"]) == 0


@pytest.mark.parametrize(
    ("words", "purpose"),
    [
        ("evaluate {}", "to score what it held out"),
        ("train --out {} --resume", "to go on with it"),
    ],
)
def test_data_that_are_gone_are_told_as_the_runs(run, capsys, words, purpose, tmp_path):
    out, data = run
    moved = data.rename(tmp_path / "moved.txt")
    assert main(words.format(out).split()) == 2
    told = capsys.readouterr().err
    assert f"The data of {out} are gone from {data}" in told
    assert f"put them back {purpose}" in told
    assert f"evaluate {out} --data NEW" in told
    assert main(["evaluate", str(out), "--data", str(moved), "--quiet", "--no-base"]) == 0
