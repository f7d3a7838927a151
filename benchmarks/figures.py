"""Figures: medians and percentiles, and the table in which floor and agent stand beside each other."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_HEADER = ("", "floor", "agent", "ratio", "target", "")


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table. `at_least` and `at_most` are targets for the ratio, `limit` for the agent's own figure."""

    what: str
    floor: float | None
    agent: float
    unit: str = ""
    at_least: float | None = None
    at_most: float | None = None
    limit: float | None = None

    def ratio(self) -> float | None:
        """Return agent / floor."""
        return self.agent / self.floor if self.floor else None

    def target(self) -> str:
        """Return what is aimed at, in words."""
        if self.limit is not None:
            return f"<= {_figure(self.limit)}{self.unit}"
        if self.at_least is not None:
            return f">= {self.at_least:g} x"
        return "" if self.at_most is None else f"<= {self.at_most:g} x"

    def verdict(self) -> str:
        """Return whether the target is met; "" without one."""
        ratio = self.ratio()
        met = [
            *([self.agent <= self.limit] if self.limit is not None else []),
            *([ratio >= self.at_least] if self.at_least is not None and ratio is not None else []),
            *([ratio <= self.at_most] if self.at_most is not None and ratio is not None else []),
        ]
        return "" if not met else "ok" if all(met) else "MISS"

    def cells(self) -> tuple[str, ...]:
        """Return the line's cells."""
        ratio = self.ratio()
        return (
            self.what,
            "" if self.floor is None else f"{_figure(self.floor)}{self.unit}",
            f"{_figure(self.agent)}{self.unit}",
            "" if ratio is None else f"{ratio:.2f} x",
            self.target(),
            self.verdict(),
        )


def _figure(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"


def table(rows: Sequence[Row]) -> str:
    """Return the lines, aligned: words to the left, figures to the right."""
    lines = [_HEADER, *(row.cells() for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if 0 < place < 4 else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def median(values: Iterable[float]) -> float:
    """Return the median."""
    return statistics.median(values)


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the value that `percent` of the values do not exceed."""
    return sorted(values)[min(len(values) - 1, int(len(values) * percent / 100))]
