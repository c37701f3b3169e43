"""The form of a page on which a person decides: what they chose for which values, and what has to be confirmed."""

from __future__ import annotations

import json
from collections.abc import Sequence

from django.http import QueryDict

from conflicts.case import CaseField
from conflicts.effects import Sides
from conflicts.models import BOTH, CHOICES, CUSTOM
from conflicts.reports import RECORD_KEY
from conflicts.text_diff import both_texts
from sync.admin.confirmed_action import Question, RecordTable
from sync.kernel.humanize import plural
from sync.merge import FieldSelection


def parse_form(posted: QueryDict) -> tuple[dict[str, FieldSelection], dict[str, Sides]]:
    """Return what was chosen and the values seen, by field. The values travel as JSON: a browser rewrites line ends.

    Of a conflict about the record the field `option` names the chosen option: `choose`, or `choose value`.
    """
    chosen: dict[str, FieldSelection] = {}
    seen_values: dict[str, Sides] = {}
    for name, text in posted.items():
        prefix, _, key = name.partition("-")
        if prefix == "seen":
            seen_values[key] = parse_seen(str(text))
        elif prefix == "pick" and text == BOTH:
            sides = parse_seen(posted.get(f"seen-{key}", ""))
            chosen[key] = FieldSelection(CUSTOM, both_texts(sides["npd"], sides["monday"]))
        elif prefix == "pick" and text in CHOICES:
            typed = posted.get(f"value-{key}", "") if text == CUSTOM else None
            chosen[key] = FieldSelection(str(text), typed)
        elif name == "option":
            choose, _, value = str(text).partition(" ")
            chosen[RECORD_KEY] = FieldSelection(choose, value or None)
    return chosen, seen_values


def parse_seen(text: str) -> dict[str, str | None]:
    """Read one field's values; those that were tampered with equal nothing stored, so the form is treated as stale."""
    try:
        npd, monday = json.loads(text)
    except (ValueError, TypeError, RecursionError):
        return {"npd": text, "monday": text}
    return {"npd": npd if isinstance(npd, str) else None, "monday": monday if isinstance(monday, str) else None}


def emptying_question(name: str, fields: Sequence[CaseField]) -> Question | None:
    """Ask before a value is removed; None where what is chosen removes none."""
    chosen = [(row, row.effect_of(row.choose, row.typed)) for row in fields if row.choose in CHOICES]
    emptied = {row.label: effect.emptied_side for row, effect in chosen if effect.emptied_side}
    if not emptied:
        return None
    sides = set(emptied.values())
    rest = len(chosen) - len(emptied)
    subject = next(iter(emptied)) if len(emptied) == 1 else f"{len(emptied)} values"
    label = f"Empty {subject} {sides.pop()}" if len(sides) == 1 else f"Empty {subject}"
    button = f"{label}, and write {plural(rest, 'the other field', f'{rest} other fields')}" if rest else label
    rows = [(row.label, row.npd or "", row.monday or "", effect.value or "(empty)") for row, effect in chosen]
    table = RecordTable(("Field", "NPD now", "Monday now", "Result"), rows, len(rows))
    effects = ["What is there now is removed. You can undo it here."]
    return Question(f"{label}?", effects, button, [table], page_name=name, deletes=True)
