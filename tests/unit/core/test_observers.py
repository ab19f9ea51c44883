"""A user's own observer: any of the methods will do, and what is none is refused at once."""

from __future__ import annotations

import pytest

import nextfill
from nextfill.core.errors import ConfigError
from nextfill.core.observers import METHODS, complete_observer
from nextfill.core.progress import Observer


def made(**members):
    return type("Mine", (), members)()


class Subclass(nextfill.Observer):
    """An observer of steps, as type checkers want it."""

    def on_step(self, event, timing):
        raise KeyError(event["step"])


def test_the_methods_are_those_of_the_protocol():
    assert [name for name in vars(Observer) if name.startswith("on_")] == list(METHODS)


@pytest.mark.parametrize("name", METHODS)
def test_one_method_is_enough(name):
    heard = []
    observer = complete_observer(made(**{name: lambda self, *words: heard.append(words)}))
    calls = {
        "on_stage": ("reading", 1, 2),
        "on_note": ("a note",),
        "on_start": (0, 9),
        "on_step": ({}, {}),
        "on_evaluation": (0, None, "held-out"),
        "on_sample": (0, "a", "ab"),
        "on_end": (),
    }
    for method, words in calls.items():
        getattr(observer, method)(*words)
    assert heard == [calls[name]]


def test_a_subclass_an_object_without_length_and_a_lambda_will_do():
    with pytest.raises(KeyError):
        complete_observer(Subclass()).on_step({"step": 1}, {})
    heard = []
    empty = made(on_note=lambda self, text: heard.append(text), __len__=lambda self: 0)
    complete_observer(empty).on_note("a")
    holder = made()
    holder.on_note = heard.append
    complete_observer(holder).on_note("b")
    assert heard == ["a", "b"]


WRONG = {
    "class": (Subclass, r"found the class Subclass; give an object, observer=Subclass\(\)"),
    "nothing": (object(), "found object, without any method of an observer"),
    "text": ("loud", "found str, without any method"),
    "zero": (0, "found int, without any method"),
    "misspelt": (made(on_setp=print), "has on_setp, which is never called. Did you mean 'on_step'"),
    "misspelt beside one": (
        made(on_note=print, on_stpe=print),
        "has on_stpe, which is never called. Did you mean 'on_step'",
    ),
    "of Trainer": (made(on_log=print, on_save=print), "It has on_log, on_save. Expected some of"),
    "no method": (made(on_step=5), "Mine.on_step is int, and no method"),
    "too few": (
        made(on_step=lambda self, event: None),
        r"Mine.on_step cannot take 2 arguments .*: write on_step\(self, event, timing\)",
    ),
    "too many": (made(on_end=lambda self, why: None), r"write on_end\(self\)"),
}


@pytest.mark.parametrize(("given", "words"), WRONG.values(), ids=WRONG)
def test_another_thing_is_refused(given, words):
    with pytest.raises(ConfigError, match=words):
        complete_observer(given)


def test_an_async_method_is_refused():
    async def on_end(self) -> None:
        """Never run."""

    with pytest.raises(ConfigError, match="on_end is async, and would never run"):
        complete_observer(made(on_end=on_end))


def test_every_mistake_is_told_at_once():
    with pytest.raises(ConfigError) as caught:
        complete_observer(made(on_step=5, on_note=lambda self: None, on_samples=print))
    assert len(caught.value.problems) == 3


@pytest.mark.parametrize(
    "call",
    [
        lambda **options: nextfill.train(data="/no/such", **options),
        lambda **options: nextfill.prepare(data="/no/such", **options),
        lambda **options: nextfill.look(data="/no/such", **options),
        lambda **options: nextfill.evaluate("/no/such", **options),
        lambda **options: nextfill.generate("/no/such", "a", **options),
        lambda **options: nextfill.fill("/no/such", "a ___", **options),
        lambda **options: nextfill.train_tokenizer(data="/no/such", **options),
        lambda **options: nextfill.inspect_tokenizer("/no/such", **options),
        lambda **options: nextfill.packed_dataset(data="/no/such", **options),
    ],
)
def test_every_verb_checks_it_before_anything_else(call):
    with pytest.raises(ConfigError, match="found the class Subclass"):
        call(observer=Subclass)


@pytest.mark.parametrize("where", ["on_step", "on_evaluation", "on_note"])
def test_a_run_whose_observer_raises_goes_on_from_its_checkpoint(where, tiny_model, tmp_path):
    def fail(self, *words):
        if where != "on_step" or words[0]["step"] == 3:
            raise ZeroDivisionError("mine")

    job = {"data": [f"Leaf {n} is here." for n in range(20)], "model": str(tiny_model)}
    job |= {"max_steps": 4, "save_every": 2, "batch_size": 1, "block_size": 16, "seed": 1}
    whole = nextfill.train(**job, out=str(tmp_path / "whole"))
    with pytest.raises(ZeroDivisionError, match="mine"):
        nextfill.train(**job, out=str(tmp_path / "run"), observer=made(**{where: fail}))
    if not (tmp_path / "run" / "config.toml").exists():  # nothing had begun
        return
    again = nextfill.train(out=str(tmp_path / "run"), resume=True)
    assert (again.steps, again.after.nats) == (4, whole.after.nats)
