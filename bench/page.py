"""The figures on docs/performance.md: what is between two comments is written, everything else stays."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.table import Handed, Row

SHOWN = 2
"""Figures of a bench that are on the page though they held: a bench's first ones say the most."""


class NoPlace(ValueError):
    """The page has no place for what is to be written; the message names it."""


def place_of(bench: str) -> str:
    """The name of the place of a bench's figures."""
    return f"figures:{bench}"


def cell(rows: Sequence[Row], on: str) -> str:
    """What the page says of a bench: its first two figures, each gate and the first goals missed, and when it ran."""
    shown, subject, goals = [], "", 0
    for place, row in enumerate(rows):
        subject = subject if row.figure.startswith("…") else row.figure
        goals += not row.held and not row.gate
        if not row.held and (row.gate or goals <= SHOWN):
            figure = row.figure if row.figure == subject else f"{subject} {row.figure}"
            shown.append(f"{row.verdict}: {figure}, {row.measured}")
        elif row.held and place < SHOWN:
            shown.append(row.measured)
    if goals > SHOWN:
        shown.append(f"and {goals - SHOWN} more goals")
    held = sum(row.held for row in rows)
    return f"{'; '.join(shown)}; {held} of {len(rows)} held ({on})".replace("|", "\\|")


def write(page: Path, found: Mapping[str, Handed], on: str) -> str:
    """Write what each of these benches found, and when, and say so; those of other benches stay as they are.

    Lines that a bench hands on beside its rows are written in the place of its own name. Raises NoPlace.
    """
    text = page.read_text()
    for name, one in found.items():
        text = _inside(text, place_of(name), cell(one.rows, on))
        if one.page:
            text = between(text, name, one.page)
    page.write_text(text)
    return f"{page.name} has what this run found: {', '.join(found)}."


def between(text: str, name: str, lines: Sequence[str]) -> str:
    """The text with these lines between `<!-- name -->` and `<!-- /name -->`. Raises NoPlace."""
    return _inside(text, name, "\n".join(["", "", *lines, "", ""]))


def _inside(text: str, name: str, content: str) -> str:
    place = re.compile(rf"(<!-- {name} -->).*?(<!-- /{name} -->)", re.DOTALL)
    if not place.search(text):
        raise NoPlace(f"There is no <!-- {name} --> … <!-- /{name} --> on the page.")
    return place.sub(lambda found: f"{found[1]}{content}{found[2]}", text, count=1)
