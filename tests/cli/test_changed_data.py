"""A run's data are part of it: when they change, what was held out may have been trained on."""

import re
import shutil
from dataclasses import replace

import pytest

import nextfill
from nextfill.cli.main import main
from nextfill.core.checksums import read_record, write_record
from nextfill.core.errors import RunError


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


@pytest.fixture
def folder_run(tiny_model, tmp_path, paragraphs):
    """A run on a folder of three files, of which each paragraph is a document."""
    data = tmp_path / "leaves"
    data.mkdir()
    for number in range(3):
        (data / f"{number}.txt").write_text("\n\n".join(paragraphs(9, seed=number)))
    out = tmp_path / "run"
    words = ["train", "--model", str(tiny_model), "--data", str(data), "--out", str(out)]
    words += ["--txt", "paragraph", "--max-steps", "2", "--save-every", "1", "--quiet"]
    assert main(words) == 0
    return out, data


@pytest.mark.parametrize("words", ["train --out {} --resume", "evaluate {}"])
def test_changed_files_are_named(folder_run, capsys, words, paragraphs):
    out, data = folder_run
    size = (data / "1.txt").stat().st_size
    (data / "1.txt").write_text("\n\n".join(paragraphs(8, seed=5)))
    now = (data / "1.txt").stat().st_size
    (data / "0.txt").rename(data / "9.txt")
    assert main([*words.format(out).split(), "--quiet"]) == 2
    told = capsys.readouterr().err
    assert f"{data / '1.txt'} held {size:,} bytes and holds {now:,} bytes" in told
    assert f"{data / '0.txt'} is gone" in told
    assert f"{data / '9.txt'} is new" in told
    assert "2.txt" not in told
    assert f"train {out}/config.toml" in told or f"evaluate {out} --data {data}" in told


def test_a_new_run_on_changed_data_learns_on_from_the_model(folder_run, capsys, paragraphs):
    out, data = folder_run
    (data / "9.txt").write_text("\n\n".join(paragraphs(8, seed=5)))
    resumed = ["train", "--out", str(out), "--resume", "--quiet"]
    assert main(resumed) == 2
    further, anew = re.findall(r"nextfill (train .*)", capsys.readouterr().err)
    assert further == f"train {out}/config.toml --model {out}"
    assert anew == f"train {out}/config.toml"
    assert main([*further.split(), "--out", str(out.with_name("further")), "--quiet"]) == 0
    (out / "model").rename(out.with_name("elsewhere"))  # as of one that was stopped
    assert main(resumed) == 2
    assert re.findall(r"nextfill (train .*)", capsys.readouterr().err) == [anew]


def test_a_file_of_the_same_size_is_named(run, capsys):
    out, data = run
    text = data.read_text()
    data.write_text(text.replace("Leaf 3", "Loaf 3"))
    assert main(["train", "--out", str(out), "--resume", "--quiet"]) == 2
    told = capsys.readouterr().err
    assert f"{data} holds other text than it did, as many ({len(text.encode()):,} bytes)" in told


def test_a_touched_file_is_as_it_was(run):
    out, data = run
    data.write_text(data.read_text())
    assert main(["train", "--out", str(out), "--resume", "--quiet"]) == 0


def test_moved_data_are_gone_on_with(run, capsys, tmp_path):
    out, data = run
    moved = data.rename(tmp_path / "elsewhere.txt")
    words = ["train", "--out", str(out), "--resume"]
    assert main(words) == 2
    assert f"--out {out} --resume --data PLACE" in capsys.readouterr().err
    assert main([*words, "--data", str(moved), "--max-steps", "3", "--rewarm"]) == 0
    assert f"the data are read from {moved}, and are those of {data} b" in _one_line(capsys)
    for again in (words, ["evaluate", str(out)], ["train", str(out / "config.toml")]):
        assert main([*again, "--quiet"]) == 0, again
    again = data.parent / "third.txt"
    moved.rename(again)
    assert main([*words, "--data", str(again), "--quiet"]) == 0
    assert main(["evaluate", str(out), "--quiet"]) == 0


def test_moved_data_end_in_the_same_bytes(tiny_model, tmp_path, monkeypatch, paragraphs):
    monkeypatch.chdir(tmp_path)
    data = tmp_path / "leaves.txt"
    data.write_text("\n\n".join(paragraphs(20)))
    words = ["train", "--model", str(tiny_model), "--data", str(data), "--schedule", "constant"]
    words += ["--quiet", "--save-every", "1"]
    assert main([*words, "--max-steps", "4", "--out", "whole"]) == 0
    assert main([*words, "--max-steps", "2", "--out", "parts"]) == 0
    data.rename("moved.txt")
    resumed = ["train", "--out", "parts", "--resume", "--data", "moved.txt", "--quiet"]
    assert main([*resumed, "--max-steps", "4"]) == 0
    weights = [
        (tmp_path / one / "model/model.safetensors").read_bytes() for one in ("whole", "parts")
    ]
    assert weights[0] == weights[1]


def test_other_data_in_another_place_are_refused(folder_run, capsys, tmp_path, paragraphs):
    out, data = folder_run
    copy = tmp_path / "copy"
    shutil.copytree(data, copy)
    (copy / "2.txt").write_text("\n\n".join(paragraphs(9, seed=8)))
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    words = ["train", "--out", str(out), "--resume", "--quiet", "--data"]
    assert main([*words, str(copy)]) == 2
    told = capsys.readouterr().err
    (size, now) = ((place / "2.txt").stat().st_size for place in (data, copy))
    assert f"{data / '2.txt'} held {size:,} bytes and {copy / '2.txt'} holds {now:,} " in told
    assert f"train {out}/config.toml --data {copy}" in told
    assert main([*words, str(tmp_path / "copi")]) == 2
    told = capsys.readouterr().err
    assert f"--data '{tmp_path / 'copi'}': there is no such file or folder. Did you mean" in told
    assert f"Did you mean '{copy}'?" in told
    assert f"trained on '{data}'; if that was moved, name where it is now" in told
    assert "leave these out" not in told
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("text", ["other words", "a longer text than the one before"])
def test_a_moved_and_changed_file_is_told_with_both_places(run, capsys, tmp_path, text):
    out, data = run
    moved = data.rename(tmp_path / "moved.txt")
    whole = moved.read_text()
    size = len(whole.encode())
    moved.write_text(whole.replace("e", "o") if text == "other words" else whole + text)
    assert main(["train", "--out", str(out), "--resume", "--quiet", "--data", str(moved)]) == 2
    told = capsys.readouterr().err
    if text == "other words":
        assert f"{moved} holds other text than {data} did, as many ({size:,} bytes)" in told
    else:
        assert f"{data} held {size:,} bytes and {moved} holds {size + len(text):,} bytes" in told


def test_a_set_that_moved_is_gone_on_with(tiny_model, tmp_path, capsys, paragraphs):
    texts = [tmp_path / "main" / "a.txt", tmp_path / "general.txt"]
    texts[0].parent.mkdir()
    for number, path in enumerate(texts):
        path.write_text("\n\n".join(paragraphs(12, seed=number)))
    out = tmp_path / "run"
    words = ["train", "--model", str(tiny_model), "--data", str(tmp_path / "main/*.txt")]
    words += ["--set", f"evaluation.general={texts[1]}", "--max-steps", "1", "--quiet"]
    assert main([*words, "--out", str(out)]) == 0
    moved = texts[1].rename(tmp_path / "later.txt")
    resumed = ["train", "--out", str(out), "--resume", "--quiet"]
    assert main(resumed) == 2
    assert "--resume --set evaluation.general=PLACE" in capsys.readouterr().err
    assert main([*resumed, "--set", f"evaluation.general={moved}"]) == 0
    texts[0].parent.rename(tmp_path / "mainly")
    assert main(resumed) == 2
    assert f"are gone from {tmp_path / 'main/*.txt'}" in capsys.readouterr().err
    assert main([*resumed, "--data", str(tmp_path / "mainly/*.txt")]) == 0
    assert main(resumed) == 0
    moved.write_text("\n\n".join(paragraphs(12, seed=3)))
    assert main(resumed) == 2
    assert f"{moved} held" in capsys.readouterr().err


def test_a_damaged_record_is_told_and_made_again(run, capsys, caplog):
    out, _ = run
    whole = (out / "data.json").read_bytes()
    for damaged in (b"", whole.replace(b'"content": "', b'"content": "0'), None):
        (out / "data.json").write_bytes(damaged) if damaged is not None else (
            out / "data.json"
        ).unlink()
        assert main(["report", str(out), "--no-open"]) == 2
        assert "data.json" in capsys.readouterr().err
        assert main(["evaluate", str(out), "--quiet"]) == 0
        assert main(["train", "--out", str(out), "--resume", "--quiet"]) == 0
        assert "data.json was damaged, and is made again" in caplog.text
        assert (out / "data.json").read_bytes() == whole


def test_a_run_of_an_earlier_build_gets_a_record(run, capsys, paragraphs):
    out, data = run
    record = read_record(out)
    files = {name: one for name, one in record.files.items() if name != "data.json"}
    write_record(out, replace(record, files=files))
    (out / "data.json").unlink()
    before = data.read_text()
    data.write_text("\n\n".join(paragraphs(21)))
    resumed = ["train", "--out", str(out), "--resume", "--quiet"]
    assert main(resumed) == 2
    assert "its ledger differs in" in capsys.readouterr().err
    data.write_text(before)
    moved = data.rename(data.with_name("moved.txt"))
    assert main([*resumed, "--data", str(moved)]) == 0
    assert main(["evaluate", str(out), "--quiet"]) == 0


def test_a_stream_goes_on_from_another_place(tiny_model, tmp_path, paragraphs):
    data = tmp_path / "leaves.txt"
    data.write_text("\n\n".join(paragraphs(60)))
    out = tmp_path / "run"
    words = ["train", "--model", str(tiny_model), "--data", str(data), "--out", str(out)]
    assert main([*words, "--streaming", "--max-steps", "2", "--quiet"]) == 0
    moved = data.rename(tmp_path / "moved.txt")
    assert main(["train", "--out", str(out), "--resume", "--data", str(moved), "--quiet"]) == 0


def test_in_python_it_is_a_call(run, tmp_path):
    out, data = run
    moved = data.rename(tmp_path / "moved.txt")
    with pytest.raises(RunError, match=r"nextfill.train\(out='.*', resume=True, data=PLACE\)"):
        nextfill.train(out=out, resume=True)
    assert nextfill.train(out=out, resume=True, data=moved).steps == 2


def _one_line(capsys):
    return " ".join(capsys.readouterr().err.split())
