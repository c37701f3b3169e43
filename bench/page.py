"""The figures on docs/performance.md: what stands between two comments is written, everything else stays."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.table import Handed, markdown_table


class NoPlace(ValueError):
    """The page has no place for what is to be written; the message names it."""


def place_of(bench: str) -> str:
    """The name of the place in which a bench's table stands."""
    return f"figures of {bench}"


def write(page: Path, found: Mapping[str, Handed], on: str) -> str:
    """Write what each of these benches found, and on what, and say so; those of other benches stay as they are.

    Lines that a bench hands on beside its rows stand in the place of its own name. Raises NoPlace.
    """
    text = page.read_text()
    for name, one in found.items():
        text = between(text, place_of(name), [f"Measured {on}.", "", *markdown_table(one.rows)])
        if one.page:
            text = between(text, name, one.page)
    page.write_text(text)
    return f"{page.name} has what this run found: {', '.join(found)}."


def between(text: str, name: str, lines: Sequence[str]) -> str:
    """The text with these lines between `<!-- name -->` and `<!-- /name -->`. Raises NoPlace."""
    place = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
    if not place.search(text):
        raise NoPlace(f"There is no <!-- {name} --> … <!-- /{name} --> on the page.")
    content = "\n".join(["", *lines, "", ""])
    return place.sub(lambda found: f"{found[1]}{content}{found[2]}", text, count=1)
