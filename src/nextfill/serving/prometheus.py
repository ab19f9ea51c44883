"""The figures of a server in the text format of Prometheus.

Source:
    https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

BOUNDS_S = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)


class Counts:
    """Requests by path and status, and how long they took."""

    def __init__(self) -> None:
        self._requests: Counter[tuple[str, int]] = Counter()
        self._buckets: Counter[float] = Counter()
        self._seconds = 0.0

    def add(self, path: str, status: int, seconds: float) -> None:
        """Count a request that is answered, or whose stream has ended."""
        self._requests[path, status] += 1
        self._seconds += seconds
        for bound in BOUNDS_S:
            self._buckets[bound] += seconds <= bound

    def lines(self) -> Iterable[str]:
        """Yield the lines of the format."""
        yield from metric(
            "nextfill_requests_total",
            "counter",
            "Requests that were answered.",
            {f'path="{p}",status="{s}"': n for (p, s), n in sorted(self._requests.items())},
        )
        total = sum(self._requests.values())
        name = "nextfill_request_seconds"
        yield f"# HELP {name} Time of a request to the end of its answer."
        yield f"# TYPE {name} histogram"
        for bound in BOUNDS_S:
            yield f'{name}_bucket{{le="{bound:g}"}} {self._buckets[bound]}'
        yield f'{name}_bucket{{le="+Inf"}} {total}'
        yield f"{name}_sum {self._seconds:.6f}"
        yield f"{name}_count {total}"


def metric(name: str, kind: str, help_text: str, values: Mapping[str, float]) -> Iterable[str]:
    """Yield the lines of one metric, its values by their labels.

    Example:
        >>> [*metric("nextfill_up", "gauge", "Whether it is up.", {"": 1})][2]
        'nextfill_up 1'
    """
    yield f"# HELP {name} {help_text}"
    yield f"# TYPE {name} {kind}"
    for labels, value in values.items():
        yield f"{name}{{{labels}}} {value:g}" if labels else f"{name} {value:g}"


def label(value: str) -> str:
    r"""Return a label's value as the format has it.

    Example:
        >>> label('a"b')
        'a\\"b'
    """
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
