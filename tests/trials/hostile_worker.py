"""Run commands one after another in one process, each as `nextfill` would, and say how it went.

Reads a line of JSON for each from standard input, ``[folder, [words]]``, and answers with one. A
process of its own, so that the trial can end it where a command does not.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

ADDRESS_SPACE = 10 * 2**30


def run(words: list[str], folder: str) -> dict[str, Any]:
    """Run a command with its output caught, down to what Rust prints itself."""
    from nextfill.cli.main import main

    os.chdir(folder)
    kept = [os.dup(1), os.dup(2)]
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        os.dup2(out.fileno(), 1)
        os.dup2(err.fileno(), 2)
        began, cpu = time.monotonic(), time.process_time()
        try:
            status = main(words)
        except BaseException:  # noqa: BLE001 - whatever it is, it is told
            traceback.print_exc()
            status = 1
        took, cpu = time.monotonic() - began, time.process_time() - cpu
        sys.stdout.flush()
        sys.stderr.flush()
        for number, one in enumerate(kept, start=1):
            os.dup2(one, number)
            os.close(one)
        printed = []
        for file in (out, err):
            file.seek(0)
            printed.append(file.read().decode("utf-8", "replace"))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {
        **{"status": status, "out": printed[0], "err": printed[1]},
        **{"seconds": took, "cpu": cpu, "peak": peak},
    }


def listen() -> None:
    """Answer until there is nothing more to run."""
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    import torch
    import transformers  # noqa: F401 - what takes longest, before anything is timed

    torch.set_num_threads(1)
    answers, jobs = os.fdopen(os.dup(1), "w"), os.fdopen(os.dup(0))
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for line in jobs:
        folder, words = json.loads(line)
        Path(folder).mkdir(parents=True, exist_ok=True)
        answers.write(json.dumps(run(words, folder)) + "\n")
        answers.flush()


if __name__ == "__main__":
    listen()
