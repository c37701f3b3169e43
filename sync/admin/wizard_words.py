"""What the wizard's pages show, as words and rows of tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from django.contrib.auth.models import User
from django.utils.translation import gettext as _

from sync import budget, registry
from sync.account import account, is_configured
from sync.admin import words
from sync.admin.guide import monday_is_played, settings_in_words
from sync.admin.wizard_standing import pace
from sync.boards import link_of, setting_of
from sync.choices import Rule, SyncDirection
from sync.connectors.monday.errors import MondayError
from sync.models import SetupDraft, SetupState
from sync.wizard import boards
from sync.wizard.confirming import answer_of, free_after, price, title_of, totals, unanswered
from sync.wizard.drafts import (
    FIRST_MATCHES,
    LEAST_ALIKE,
    MOST_ALIKE,
    NEW,
    OUT,
    changes_of,
    draft_of,
    fields_of,
    link_with,
    npd_id_of,
)
from sync.wizard.ending import ended
from sync.wizard.fields import MAKE, Chosen, Told, Wanted, chosen_of, why_not, why_useless
from sync.wizard.samples import records_say
from sync.wizard.seen import seen_of
from sync.wizard.suggesting import suggest

SHOWN = 100
"""Pairs of like names that a page shows at once; answered ones make room for others."""
Url = Callable[..., str]


def said(error: Exception) -> str:
    """Return an error as a person reads it."""
    return words.plain(error.sentence) if isinstance(error, MondayError) else str(error)


def steps(here: str, found: Sequence[SetupDraft], url: Url) -> list[dict[str, Any]]:
    """Return the wizard's steps in their order: where one is, and which can be gone to."""
    mapped = any(draft.mapped for draft in found)
    running = any(draft.state == SetupState.RUNNING for draft in found)
    first = found[0].entity_type if found else ""
    rows = [
        ("connect", _("Connect"), url("connect"), True),
        ("boards", _("Boards"), url("boards"), is_configured() and not running),
        ("map", _("Map"), url("map", first) if first else "", bool(first) and not running),
        ("match", _("Match"), url("match"), mapped and not running),
        ("plan", _("Plan"), url("plan"), mapped and not running),
        ("run", _("Run"), url("run"), running or ended() is not None),
    ]
    return [
        {"name": name, "label": label, "url": address if open_ and name != here else "", "here": name == here}
        for name, label, address, open_ in rows
    ]


def connection() -> dict[str, Any]:
    """What is known of the account without asking Monday."""
    row = account()
    return {
        "configured": is_configured(),
        "played": monday_is_played(),
        "settings": settings_in_words(),
        "known": row if row.user_id else None,
        "allowance": budget.forecast().words if row.user_id else "",
    }


def board_choices(user: User, term: str, posted: Mapping[str, str]) -> dict[str, Any]:
    """The boards of the account, for each kind of records; why they can't be told, where they can't."""
    try:
        listed, complete = boards.offered(user, term)
        why = ""
    except MondayError as error:
        listed, complete, why = [], True, said(error)
    return {
        "kinds": [_board_choice(spec, listed, posted) for spec in registry.entities()],
        "complete": complete,
        "listed": len(listed),
        "why_none": why,
    }


def _board_choice(
    spec: registry.EntitySpec, listed: Sequence[Any], posted: Mapping[str, str]
) -> dict[str, Any]:
    kind, draft, link = spec.entity_type, draft_of(spec.entity_type), link_of(spec.entity_type)
    drawn = draft is not None and draft.state != SetupState.DONE
    if drawn and draft is not None:
        present = draft.board_id or boards.MAKE_BOARD
    else:
        present = link.board_id if link is not None else ""
    present = posted.get(kind, present or setting_of(kind) or boards.MAKE_BOARD)
    options = [(one.id, one.name, one.items) for one in listed]
    if present not in {"", boards.MAKE_BOARD, *(one[0] for one in options)}:
        name = draft.board_name if drawn and draft is not None else ""
        options.insert(0, (present, name or _("board %(id)s") % {"id": present}, None))
    return {
        "kind": kind,
        "title": spec.board_title,
        "present": present,
        "options": options,
        "named": spec.board_setting if setting_of(kind) else "",
        "set_up": link is not None and bool(link.board_id),
        "seen": posted.get(f"seen-{kind}") or seen_of(draft),
    }


def choices(draft: SetupDraft) -> dict[str, Chosen]:
    """What the draft says of each field."""
    return chosen_of(draft.fields)


def posted(entity_type: str, form: Mapping[str, str]) -> dict[str, Chosen]:
    """What a page sent of each field; of one whose choices were not sent, nothing is chosen."""
    return {
        one.key: Chosen(
            "name" if one.is_name else form.get(f"column-{one.key}", "")[:50],
            form.get(f"direction-{one.key}", "")[:20],
            form.get(f"rule-{one.key}", "")[:20],
        )
        for one in fields_of(entity_type)
    }


def mapping(
    draft: SetupDraft, chosen: Mapping[str, Chosen], wrong: Mapping[str, Sequence[str]]
) -> dict[str, Any]:
    """The fields with what each may have, what both sides say now, and the columns that no field can have."""
    fields, npd_id = fields_of(draft.entity_type), npd_id_of(draft)
    samples = records_say(draft.entity_type, fields)
    hints = suggest(fields, draft.columns, npd_id)
    link = link_with(draft)
    mapped = set(link.mappings.values_list("key", flat=True)) if link is not None else set()
    used = {one.column for one in chosen.values() if one.synced}
    useless = {
        column: why_useless(fields, told) for column, told in draft.columns.items() if column != npd_id
    }
    return {
        "draft": draft,
        "kind_title": title_of(draft),
        "npd_id": draft.columns[npd_id]["title"] if npd_id else "",
        "rows": [
            _field(one, chosen.get(one.key, Chosen()), draft.columns, npd_id)
            | {"errors": wrong.get(one.key, []), "npd": samples.get(one.key, []),
               "hint": "" if draft.mapped or one.key in mapped else _hint(hints.get(one.key), chosen.get(one.key))}
            for one in fields
        ],
        "useless": [(draft.columns[column]["title"], why) for column, why in useless.items() if why],
        "unused": [
            told["title"] for column, told in draft.columns.items()
            if column not in used and column != npd_id and not useless.get(column)
        ],
        "wrong": [(one.key, one.label, wrong[one.key]) for one in fields if one.key in wrong],
    }  # fmt: skip


def _field(one: Wanted, choice: Chosen, columns: Mapping[str, Told], npd_id: str) -> dict[str, Any]:
    fitting = [
        (column, told["title"], told["type"], told["samples"])
        for column, told in columns.items()
        if column != npd_id and not why_not(one, told)
    ]
    if choice.column not in {"", MAKE, "name", *(column for column, *_ in fitting)}:
        told = columns.get(choice.column)
        title = told["title"] if told else _("%(column)s, gone from the board") % {"column": choice.column}
        fitting.insert(0, (choice.column, title, told["type"] if told else "", []))
    return {
        "field": one,
        "choice": choice,
        "columns": fitting,
        "directions": SyncDirection.choices,
        "rules": [(rule.value, rule.label) for rule in one.rules],
        "monday": next((samples for column, _t, _k, samples in fitting if column == choice.column), []),
    }


def _hint(hint: Any, choice: Chosen | None) -> str:
    if hint is None or choice is None or hint.column != choice.column or hint.column in (MAKE, "name"):
        return ""
    if hint.alike is None:
        return _("Suggested: the only column of its type.")
    if hint.alike == 100:
        return _("Suggested: the titles are the same.")
    return _("Suggested: the titles are %(alike)d %% alike.") % {"alike": hint.alike}


def matching(found: Sequence[SetupDraft]) -> dict[str, Any]:
    """What the comparison found, kind by kind, and what is still to be answered."""
    return {
        "kinds": [_matched(draft) for draft in found],
        "busy": any(draft.state == SetupState.COMPARING for draft in found),
        "compared": any(draft.state == SetupState.COMPARED for draft in found),
        "open": sum(len(unanswered(draft)) for draft in found),
        **pace(found),
    }


def _matched(draft: SetupDraft) -> dict[str, Any]:
    near, open_ = draft.found.get("near", []), unanswered(draft)
    shown = open_[:SHOWN] or near[:SHOWN]
    count, samples = totals(draft), draft.found.get("samples", {})
    groups = [
        ("linked", _("Linked already"), "link", "off"),
        ("link", _("To link"), "add_link", "ok"),
        ("create", _("To create on Monday"), "add_circle", "ok"),
        ("ambiguous", _("Ambiguous"), "help", "warn"),
        ("invalid", _("Invalid"), "error", "bad"),
        ("missing", _("Item not on the board"), "link_off", "warn"),
    ]
    return {
        "draft": draft,
        "title": title_of(draft),
        "groups": [
            {"name": name, "label": label, "icon": icon, "color": color, "count": count[name],
             "samples": samples.get(name, [])}
            for name, label, icon, color in groups
        ],
        "near": [{**one, "answer": answer_of(draft, one) or OUT} for one in shown],
        "near_count": len(near),
        "open": len(open_),
        "free": free_after(draft),
        "rules": [(rule.value, rule.label) for rule in FIRST_MATCHES],
        "least": LEAST_ALIKE,
        "most": MOST_ALIKE,
        "NEW": NEW,
        "OUT": OUT,
    }  # fmt: skip


def answers(form: Mapping[str, str]) -> dict[str, str]:
    """What a page sent about like names, by record; with one button for all that were shown."""
    given = {key.removeprefix("answer-"): value for key, value in form.items() if key.startswith("answer-")}
    if "all" not in form:
        return given
    return {key.removeprefix("item-"): value for key, value in form.items() if key.startswith("item-")}


def revisions(form: Mapping[str, str]) -> dict[str, int]:
    """The revision of each set-up that the page showed."""
    given = ((key.removeprefix("seen-"), value) for key, value in form.items() if key.startswith("seen-"))
    return {key: int(value) for key, value in given if value.isdecimal() and len(value) < 10}


def plan(every: Sequence[SetupDraft]) -> dict[str, Any]:
    """What would be done, with its price; of set-ups whose fields nobody has mapped yet, that."""
    found = [draft for draft in every if draft.mapped]
    cost = price([draft for draft in found if draft.state == SetupState.COMPARED])
    return {
        **matching(found),
        "unmapped": [{"draft": draft, "title": title_of(draft)} for draft in every if not draft.mapped],
        "several": len(found) > 1,
        "plans": [
            {
                "draft": draft,
                "title": title_of(draft),
                "count": totals(draft),
                "made": [one.label for one in fields_of(draft.entity_type) if _is_made(draft, one)],
                "makes_npd_id": not npd_id_of(draft),
                "samples": draft.found.get("samples", {}),
                "changes": changes_of(draft),
                "new": link_with(draft) is None,
                "first_match": Rule(draft.first_match).label,
            }
            for draft in found
        ],
        "price": cost,
        "share": f"{cost.share_of_day:.1%}" if cost.share_of_day is not None else "",
    }


def _is_made(draft: SetupDraft, one: Wanted) -> bool:
    choice = chosen_of(draft.fields).get(one.key, Chosen())
    return choice.synced and choice.column == MAKE
