"""What the inbox offers for a column that can't be used, which is one entry there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from django.http import HttpRequest

from sync import registry
from sync.admin.attention_pages import ActionResult, GroupLead, InboxAction, register_action, register_lead
from sync.admin.blocked_field_pages import ask_for_columns, column_question, create_columns, creation_question
from sync.admin.confirmed_action import Question
from sync.admin.record_panel import CHECK_LABEL, may_change_mapping
from sync.boards.mapping import column_choices, needs_column, remap
from sync.choices import BlockedCode
from sync.kernel.action_errors import ActionError
from sync.models import BoardLink, FieldMapping
from sync.operations.attention import AttentionCause, AttentionEntry, AttentionKind
from sync.records.authors import log_action


def _mappings_of(found: Sequence[AttentionEntry]) -> list[FieldMapping]:
    keys = {(one.entity_type, one.field) for one in found}
    rows = FieldMapping.objects.select_related("link").filter(key__in={key for _type, key in keys})
    return [row for row in rows if (row.link.entity_type, row.key) in keys and needs_column(row)]


def _create_columns(request: HttpRequest, found: Sequence[AttentionEntry], seen: Mapping[str, Any]) -> ActionResult:
    done = create_columns(request, [(mapping, mapping.column_id) for mapping in _mappings_of(found)])
    return ActionResult(len(done), " ".join(done))


def _create_columns_question(request: HttpRequest, found: Sequence[AttentionEntry]) -> Question:
    mappings = _mappings_of(found)
    gone = Question("No column is missing any more", ["It was restored, or another was chosen meanwhile."])
    return creation_question(request, mappings) if mappings else gone


def _check(request: HttpRequest, found: Sequence[AttentionEntry], seen: Mapping[str, Any]) -> ActionResult:
    said, problems = list[str](), list[str]()
    for link in BoardLink.objects.filter(entity_type__in={one.entity_type for one in found}).order_by("pk"):
        try:
            said.append(ask_for_columns(request, link))
        except ActionError as error:
            problems.append(str(error))
    return ActionResult(len(said), " ".join(said), problems)


def _leads(causes: Sequence[AttentionCause], _now: datetime, _user: Any) -> dict[str, GroupLead]:
    """Return where a column that was deleted can be restored."""
    missing = [cause for cause in causes if cause.code == BlockedCode.COLUMN]
    rows = BoardLink.objects.filter(entity_type__in={cause.entity_type for cause in missing}) if missing else ()
    urls = {row.entity_type: registry.board_url(registry.with_configured_board(row)) for row in rows}
    sentence = (
        "Restored on the board (undo, or the board's trash), it is synced as before. A new column is filled with what "
        "NPD may send."
    )
    return {
        cause.cause: GroupLead(sentence, "Open the board", urls[cause.entity_type])
        for cause in missing
        if cause.entity_type in urls
    }


_ColumnAction = partial(
    InboxAction,
    kinds=frozenset({AttentionKind.BLOCKED}),
    may=lambda user, entry: may_change_mapping(user),
    fits=lambda entry: entry.cause_code == BlockedCode.COLUMN,
)

register_lead(AttentionKind.BLOCKED, _leads)
register_action(
    _ColumnAction(
        "check_column",
        CHECK_LABEL,
        run=_check,
        effects={AttentionKind.BLOCKED: "Asks Monday whether the column is back; nothing is written."},
    )
)
register_action(
    _ColumnAction(
        "create_column",
        "Create a new column…",
        run=_create_columns,
        shortcut="c",
        effects={AttentionKind.BLOCKED: "Creates a new column on the board; what NPD may send is filled in."},
        question=_create_columns_question,
    )
)


# One of several free columns, chosen on the row of the one that can't be used.


COLUMN_PREFIX = "column:"
"""Before an entry's key: the form's field with the column that was chosen for it."""


def _chosen_column(request: HttpRequest, found: Sequence[AttentionEntry]) -> tuple[FieldMapping, str, str] | None:
    """The field, the column chosen for it, and that one's title; None where it is no choice of its, or not any more."""
    mappings = _mappings_of(found[:1])
    column = request.POST.get(f"{COLUMN_PREFIX}{found[0].key}", "") if found else ""
    titles = dict(column_choices(mappings[0])[1:]) if mappings else {}
    return (mappings[0], column, titles[column]) if column in titles else None


def _use_column(request: HttpRequest, found: Sequence[AttentionEntry], seen: Mapping[str, Any]) -> ActionResult:
    if (chosen := _chosen_column(request, found)) is None:
        return ActionResult(0, problems=[_NO_COLUMN])
    mapping, column, title = chosen
    message = remap(mapping.pk, column, by=request.user.get_username(), expected=mapping.column_id)
    log_action(request.user, mapping, f"Column: from {mapping.column_id or 'none'} to {title}.")
    return ActionResult(1, message)


def _use_column_question(request: HttpRequest, found: Sequence[AttentionEntry]) -> Question:
    if (chosen := _chosen_column(request, found)) is None:
        return Question("Nothing was changed", [_NO_COLUMN])
    mapping, column, title = chosen
    return column_question(request, mapping, title, [(f"{COLUMN_PREFIX}{found[0].key}", column)])


_NO_COLUMN = "The column is back, has another field by now, or none was chosen. Choose again."

register_action(
    _ColumnAction("use_column", "Use this column…", run=_use_column, question=_use_column_question, by_choice=True)
)
