"""An evaluation by several processes of one machine, in turn with one process.

Each process has one thread. The time of scoring is that of the command, by the wall and by the
processor of all its processes, less that of the same command over a single document, which is all
but set-up.

    python benchmarks/rank_evaluation.py --repeats 3 -- MODEL --data notes.txt --pseudo
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any


def evaluated(words: Sequence[str], count: int) -> tuple[float, float, str]:
    """Return the wall time of a command, the processor's time of all it starts, and its output."""
    command = [sys.executable, "-m", "nextfill", "evaluate", *words, "--json", "--quiet"]
    command += ["--nproc", str(count)] if count > 1 else []
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    ended = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    wall_s, after = time.monotonic() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    if ended.returncode:
        sys.exit(f"ended with {ended.returncode}: {' '.join(command)}")
    processor_s = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return wall_s, processor_s, ended.stdout


def main() -> None:
    """Measure in turn, and print one JSON object a line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--whole", default="train[:60]", help="the split that is scored")
    parser.add_argument("--few", default="train[:1]", help="the split that is all but set-up")
    parser.add_argument("words", nargs="+", help="words of nextfill evaluate, after --")
    asked = parser.parse_args()
    results = set()
    for repeat in range(asked.repeats):
        for count in asked.ranks:
            few = evaluated([*asked.words, "--split", asked.few], count)
            whole = evaluated([*asked.words, "--split", asked.whole], count)
            results.add(whole[2])
            found: dict[str, Any] = {"repeat": repeat, "ranks": count}
            found |= {"wall_s": whole[0], "scoring_s": whole[0] - few[0]}
            found |= {"processor_s": whole[1], "processor_s_of_scoring": whole[1] - few[1]}
            print(json.dumps({**found, "load": os.getloadavg()[0]}), flush=True)
    print(json.dumps({"same_output": len(results) == 1}))


if __name__ == "__main__":
    main()
