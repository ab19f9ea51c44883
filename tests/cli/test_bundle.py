"""`nextfill bundle`: one file with a model, its card and its use, and nothing of this machine."""

from __future__ import annotations

import contextlib
import io
import json
import shlex
import zipfile
from getpass import getuser
from pathlib import Path

import pytest

import nextfill
from nextfill.cli.main import main

TINY = {"max_steps": 2, "batch_size": 2, "block_size": 32}


@pytest.fixture(scope="module")
def runs(tmp_path_factory, text_file, tiny_model, tiny_masked):
    """A causal run, a masked one and an adapter, in a folder whose name must stay here."""
    folder = tmp_path_factory.mktemp("annas machine")
    data = folder / "private" / "diary.txt"
    data.parent.mkdir()
    data.write_text(text_file.read_text())
    jobs = {
        "my notes": {"model": tiny_model},
        "masked": {"model": tiny_masked, "objective": "masked"},
        "adapter": {"model": tiny_model, "lora_rank": 2},
    }
    for name, settings in jobs.items():
        model = str(settings.pop("model"))
        nextfill.train(model=model, data=data, out=folder / name, quiet=True, **settings, **TINY)
    return folder


def unpacked(path: Path, folder: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        archive.extractall(folder)
        return {name: archive.read(name) for name in archive.namelist()}


def output_of(line: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the output of ``python -c "PROGRAM"``, run here, which saves importing PyTorch."""
    start = 'python -c "'
    assert line.startswith(start)
    assert line.endswith('"')
    program = line.removeprefix(start).removesuffix('"')
    assert not set(program) & set('"$`\\!')  # the same in any shell
    monkeypatch.chdir(folder)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(program, {})  # noqa: S102
    return printed.getvalue()


@pytest.mark.filterwarnings("ignore::UserWarning")  # transformers' words on settings left out
@pytest.mark.parametrize("name", ["my notes", "masked", "adapter"])
def test_a_friend_uses_it_with_transformers_alone(name, runs, here, tmp_path, monkeypatch):
    made = nextfill.bundle(runs / name)
    folder = name.replace(" ", "-")
    inner = f"{folder}-nextfill-model"  # which is not there, as the folder of the text may be
    assert (made.path, made.folder) == (Path(f"{folder}.zip"), inner)
    assert made.size == made.path.stat().st_size
    files = unpacked(made.path, tmp_path)
    assert [f"{inner}/{file}" for file in made.files] == [*files]
    unpack, install, use = made.usage
    assert unpack == f"python -m zipfile -e {folder}.zip ."
    assert install == "pip install torch transformers"  # adapters are merged
    text = files[f"{inner}/HOW-TO-USE.txt"].decode()
    assert f"{install}\n{use}\n" in text
    assert output_of(use, tmp_path, monkeypatch).startswith("Once upon a")


@pytest.mark.parametrize("name", ["my notes", "masked", "adapter"])
def test_nothing_in_it_tells_of_this_machine(name, runs, here):
    made = nextfill.bundle(runs / name)
    with zipfile.ZipFile(made.path) as archive:
        content = b"\0".join(archive.read(one) for one in archive.namelist())
        infos = archive.infolist()
    for word in (str(runs), runs.name, "private", f"{Path.home()}/", f"/{getuser()}/"):
        assert word.encode() not in content
    assert {info.date_time for info in infos} == {(1980, 1, 1, 0, 0, 0)}
    assert {info.external_attr >> 16 for info in infos} == {0o100644}


def test_the_same_model_gives_the_same_bytes(runs, here):
    first = nextfill.bundle(runs / "my notes", out="first.zip").path.read_bytes()
    (runs / "my notes" / "model" / "config.json").touch()
    again = nextfill.bundle(runs / "my notes" / "model", out="again.zip").path.read_bytes()
    assert first == again


def test_an_adapter_alone_names_its_model_and_its_library(runs, here, capsys):
    assert main(["bundle", str(runs / "adapter"), "--adapter"]) == 2
    assert "a model on this machine" in capsys.readouterr().err
    assert [*here.iterdir()] == []


def test_paths_that_older_libraries_wrote_down_stay_here(tiny_model, here):
    folder = here / "old"
    folder.mkdir()
    for file in tiny_model.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    secrets = {
        "config.json": {"_name_or_path": "/home/anna/base"},
        "tokenizer_config.json": {
            "name_or_path": r"C:\Users\anna\base",
            "tokenizer_file": "/home/anna/base/tokenizer.json",
            "special_tokens_map_file": "/home/anna/map.json",
            "chat_template": "/no path, but text/",
        },
    }
    for name, found in secrets.items():
        path = folder / name
        path.write_text(json.dumps(json.loads(path.read_text()) | found))
    files = unpacked(nextfill.bundle(folder).path, here / "out")
    assert b"anna" not in b"".join(files.values())
    assert b"/no path, but text/" in files["old-nextfill-model/tokenizer_config.json"]
    kept = json.loads(files["old-nextfill-model/config.json"])
    assert kept == json.loads((tiny_model / "config.json").read_text())


def test_the_command(runs, here, capsys):
    assert main(["bundle", str(runs / "my notes"), "--out", "for ben.zip"]) == 0
    shown = capsys.readouterr().out
    assert "bundle: for ben.zip (" in shown
    assert "python -m zipfile -e 'for ben.zip' ." in shown
    words = ["bundle", str(runs / "my notes"), "--license", "mit", "--json", "--quiet"]
    assert main(words) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    assert json.loads(printed.out)["path"] == "my-notes.zip"
    card = unpacked(Path("my-notes.zip"), here / "out")[
        "my-notes-nextfill-model/README.md"
    ].decode()
    assert "license: mit" in card
    assert 'nextfill generate my-notes "Once upon a time"' in card


def test_mistakes(runs, here, fails, make_run, tmp_path):
    run = runs / "my notes"
    (here / "there.zip").write_text("mine")
    assert "there.zip is there already" in fails("bundle", run, "--out", "there.zip")
    assert "such as --out there-2.zip" in fails("bundle", run, "--out", "there.zip")
    assert (here / "there.zip").read_text() == "mine"
    for name in ("my-notes.zip", "my-notes-2.zip"):
        (here / name).write_text("mine")
    again = fails("bundle", run, "--license", "mit")
    assert "nextfill: my-notes.zip is there already." in again
    assert f"bundle '{run}' --out my-notes-3.zip --license mit" in again
    assert "Type: --out 'a b.zip'" in fails("bundle", run, "--out", "a b.tar")
    assert "Type: --out friend.zip" in fails("bundle", run, "--out", "friend.rar")
    assert "Type: --out my.novel.zip" in fails("bundle", run, "--out", "my.novel")
    assert "there is no folder 'no'" in fails("bundle", run, "--out", "no/a.zip")
    assert "is an address" in fails("bundle", run, "--out", "https://example.org/a.zip")
    assert "holds no run and no model" in fails("bundle", here)
    assert "--license" in fails("bundle", run, "--license", "no such")
    unfinished = make_run(tmp_path / "unfinished")
    (unfinished / "model").rename(tmp_path / "aside")
    assert "has no model/ yet" in fails("bundle", unfinished)


def test_a_damaged_model_is_not_sent(runs, here, fails, tmp_path):
    import shutil

    run = tmp_path / "damaged"
    shutil.copytree(runs / "my notes", run)
    weights = run / "model" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-9] ^= 1
    weights.write_bytes(content)
    assert "is damaged" in fails("bundle", run)


def test_a_bundle_in_the_place_of_a_model(runs, here, fails):
    nextfill.bundle(runs / "my notes", out="for ben.zip")
    message = fails("generate", "for ben.zip", "Once")
    assert "Unpack it, and give the folder in it: python -m zipfile -e 'for ben.zip' ." in message


@pytest.mark.trial
def test_an_adapter_of_a_bundled_model_is_used_with_what_has_that(text_file, here, capsys):
    words = ["--data", str(text_file), "--max-steps", "1", "--lora-rank", "2", "--quiet"]
    assert main(["train", *words, "--out", "l1"]) == 0
    ended = capsys.readouterr().out
    assert "an adapter, for Nextfill alone, which finds its model; with --lora-merge" in ended
    assert "from_pretrained" not in ended
    assert main(["bundle", "l1", "--adapter", "--out", "lad.zip"]) == 0
    said = capsys.readouterr().out
    assert "transformers" not in said
    _, install, use = (line.strip() for line in said.splitlines()[-3:])
    assert install == "pip install nextfill"
    other = here / "other"
    unpacked(here / "lad.zip", other)
    inner = "l1-nextfill-model"
    assert f"nextfill generate {inner}" in (other / inner / "HOW-TO-USE.txt").read_text()
    words = shlex.split(use)
    assert words[:2] == ["nextfill", "generate"]
    assert main([*words[1:2], str(other / words[2]), *words[3:], "--max-new-tokens", "2"]) == 0
    assert "Once upon a time" in capsys.readouterr().out
    words = ["--model", "l1", "--data", str(text_file), "--max-steps", "1", "--quiet"]
    assert main(["train", *words, "--out", "further"]) == 0
    assert "for Nextfill alone" in capsys.readouterr().out


def test_an_adapter_of_a_folder_says_that_it_needs_peft(runs, capsys):
    from nextfill.cli.tables import show_training
    from nextfill.runs.reader import train_result

    show_training(train_result(runs / "adapter"))
    assert "the folder for transformers with peft" in capsys.readouterr().out
    show_training(train_result(runs / "my notes"))
    assert "(the folder for transformers, as in from_pretrained)" in capsys.readouterr().out
