"""Training in a process of its own, which a test kills or interrupts at a moment of its choice."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from nextfill.runs.directory import RunDirectory

MOST_S = 300

NOT_COMPARED = ("timing.jsonl", "report.html", "checksums.json", "run.json", ".lock")
"""Times, and what holds checksums of them or shows them."""


def start(*words: object) -> subprocess.Popen[str]:
    """Begin to train, on one core, so that the same run is the same bytes."""
    command = [sys.executable, "-m", "nextfill", "train", *map(str, words), "--quiet"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


def finish(*words: object) -> None:
    """Train to the end."""
    process = start(*words)
    _, errors = process.communicate(timeout=2 * MOST_S)
    assert process.returncode == 0, errors


def signal_when(
    process: subprocess.Popen[str],
    there: Callable[[], bool],
    number: signal.Signals,
    most_s: float = MOST_S,
) -> None:
    """Wait until something is the case, and send a signal at once."""
    deadline = time.monotonic() + most_s
    while not there():
        assert process.poll() is None, process.communicate()[1]
        if time.monotonic() > deadline:
            process.kill()
            raise TimeoutError(f"not there after {most_s:g} s: {process.communicate()[1]}")
        time.sleep(0.0005)
    process.send_signal(number)


def kill_when(
    process: subprocess.Popen[str], there: Callable[[], bool], most_s: float = MOST_S
) -> None:
    """Kill a process as soon as something is the case."""
    signal_when(process, there, signal.SIGKILL, most_s)
    process.communicate()
    assert process.returncode == -signal.SIGKILL


def steps_taken(run: Path) -> int:
    """Return the last step that a run's events tell of."""
    return max((event["step"] for event in RunDirectory(run).read_events()), default=0)


def contents(run: Path) -> dict[str, bytes]:
    """Return the files of a run that are the same for the same run, by name."""
    return {
        path.relative_to(run).as_posix(): path.read_bytes()
        for path in sorted(run.rglob("*"))
        if path.is_file() and path.name not in NOT_COMPARED
    }


FORKING = """
import json, os, sys, traceback
import torch, transformers, peft, nextfill.api.train, nextfill.training.resume
from nextfill.cli.main import main
from nextfill.data.corpora.builtin import records

for name in sys.argv[1:]:
    records([name], "train")  # which a process remembers

torch.set_num_threads(1)
print("ready", flush=True)
for line in sys.stdin:
    asked, pids = json.loads(line), []
    for rank in range(asked["ranks"]):
        pids.append(os.fork())
        if pids[-1]:
            continue
        if asked["ranks"] > 1:
            os.environ["RANK"] = str(rank)
        for stream, number in (("stdin", 0), ("stdout", 1), ("stderr", 2)):
            kind = os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT | os.O_APPEND
            os.dup2(os.open(asked[stream], kind, 0o666), number)
        os.chdir(asked["folder"])
        os.environ.update(asked["environment"])
        sys.stdin, status = open(os.devnull), 1
        try:
            status = main(asked["words"])
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
    print(pids[0], flush=True)
    ends = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
    print(next(filter(None, ends), 0), flush=True)
"""


class Forks:
    """Starts commands in processes that have PyTorch already, which saves seconds each.

    Args:
        folder: For what they print.
        corpora: Built-in corpora that they have read already.
    """

    def __init__(self, folder: Path, corpora: Sequence[str] = ()) -> None:
        self._folder = folder
        folder.mkdir(exist_ok=True)
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
        self._process = subprocess.Popen(
            [sys.executable, "-c", FORKING, *corpora],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,  # so that what is unread is in the pipe, where it can be waited for
        )
        assert self._said() == "ready"

    def start(
        self,
        *words: object,
        folder: Path | None = None,
        environment: Mapping[str, str] | None = None,
        ranks: int = 1,
    ) -> int:
        """Begin a command, in a folder if one is given; return its process, of several the first.

        Several find one another by the environment, which tells each its ``RANK``.
        """
        assert self._process.stdin is not None
        self.errors.unlink(missing_ok=True)
        self.output.unlink(missing_ok=True)
        asked = {
            "words": list(map(str, words)),
            "folder": str(folder or Path.cwd()),
            "environment": dict(environment or {}),
            "ranks": ranks,
            "stdin": os.devnull,
            "stdout": str(self.output),
            "stderr": str(self.errors),
        }
        self._process.stdin.write(f"{json.dumps(asked)}\n".encode())
        return int(self._said())

    def finish(
        self,
        *words: object,
        folder: Path | None = None,
        environment: Mapping[str, str] | None = None,
        ranks: int = 1,
    ) -> str:
        """Run a command to its end; return what it printed on stdout."""
        self.start(*words, folder=folder, environment=environment, ranks=ranks)
        assert self.wait() == 0, self.errors.read_text("utf-8")
        return self.output.read_text("utf-8")

    def signal_when(self, process: int, there: Callable[[], bool], number: signal.Signals) -> int:
        """Send a command a signal as soon as something is the case; return how it ended."""
        deadline = time.monotonic() + MOST_S
        while not there():
            # A line there says that the command has ended.
            if select.select([self._process.stdout], [], [], 0.0005)[0]:
                raise AssertionError(f"ended with {self.wait()}: {self.errors.read_text('utf-8')}")
            if time.monotonic() > deadline:
                os.kill(process, signal.SIGKILL)
                raise TimeoutError(f"not there after {MOST_S} s: {self.errors.read_text('utf-8')}")
        os.kill(process, number)
        return self.wait()

    def wait(self) -> int:
        """Return how the command ended: its status, or less than 0 for a signal."""
        return int(self._said())

    @property
    def output(self) -> Path:
        """What the last command printed on stdout."""
        return self._folder / "stdout"

    @property
    def errors(self) -> Path:
        """What the last command printed on stderr."""
        return self._folder / "stderr"

    def end(self) -> None:
        """Start no more."""
        self._process.communicate()

    def _said(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().decode().strip()
