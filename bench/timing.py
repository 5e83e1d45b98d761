"""Pairs, medians, ratios: absolute times drift on shared machines, ratios of paired runs hold."""

from __future__ import annotations

import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

SCALES = {
    "ms": 1000.0,
    "us": 1e6,
    "s": 1.0,
    "MB": 1 / (1 << 20),
    "Gbit/s": 1e-9,
    "/s": 1.0,
    "": 1.0,
}
"""What a value (seconds, bytes, bits a second, a rate, a number) is multiplied by to be shown."""
RATES = ("Gbit/s", "/s")
"""Units of which more is better."""


@dataclass
class Series:
    """Values of one contender, in the order they were taken: seconds, bytes, a rate."""

    name: str
    values: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        return statistics.median(self.values)


@dataclass
class Comparison:
    """One question: `ours` beside its peers, and the aim, if the project has set one."""

    title: str
    series: list[Series]
    unit: str = "ms"
    aim: str = ""
    note: str = ""

    def rows(self) -> list[str]:
        scale = SCALES[self.unit]
        lines = [self.title + (f"   (aim: {self.aim})" if self.aim else "")]
        first = self.series[0]
        for series in self.series:
            low, high = min(series.values) * scale, max(series.values) * scale
            line = f"  {series.name:<34}{series.median * scale:>10.1f} {self.unit}   [{low:.1f} - {high:.1f}]"
            if series is not first and first.median:
                ratios = [b / a for a, b in zip(first.values, series.values, strict=False) if a]
                best = self._best(series) / self._best(first)
                if ratios:
                    line += f"   x {statistics.median(ratios):.2f} of the first, best x {best:.2f}"
            lines.append(line)
        if self.note:
            lines.append(f"  note: {self.note}")
        return lines

    def _best(self, series: Series) -> float:
        """The run that others disturbed least."""
        return (max if self.unit in RATES else min)(series.values)

    def as_json(self) -> dict[str, object]:
        return {
            "title": self.title,
            "unit": self.unit,
            "aim": self.aim,
            "note": self.note,
            "series": {s.name: s.values for s in self.series},
        }


def alternate(
    contenders: Mapping[str, Callable[[], float | None]], runs: int, warmup: int = 1
) -> list[Series]:
    """Call each in turn, A B C C B A A B C ..., so that nobody always comes after the same other one;
    a contender returns its own measurement, or None to be timed."""
    series = {name: Series(name) for name in contenders}
    for number in range(runs + warmup):
        turn = list(contenders.items())
        for name, call in turn if number % 2 else reversed(turn):
            began = time.perf_counter()
            own = call()
            took = time.perf_counter() - began if own is None else own
            if number >= warmup:
                series[name].values.append(took)
    return list(series.values())


def command(argv: Sequence[str], **kwargs: object) -> Callable[[], None]:
    """A contender that runs a command to its end; a failing one stops the benchmark with its output."""

    def call() -> None:
        done = subprocess.run(
            list(argv), capture_output=True, stdin=subprocess.DEVNULL, check=False, **kwargs
        )  # type: ignore[call-overload]
        if done.returncode:
            raise SystemExit(
                f"{' '.join(argv)} ended with {done.returncode}:\n{done.stderr.decode()[-2000:]}"
            )

    return call
