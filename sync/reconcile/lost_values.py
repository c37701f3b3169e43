"""The lines of the history about values from Monday that neither side has any more.

A value can be restored from its line, unless it can't be read.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

from sync import merge
from sync.choices import ActivityKind
from sync.fields import field_values
from sync.fields.field_values import BoardContext
from sync.models import ActivityLine, FieldMapping, WebhookEvent
from sync.monday import conversion
from sync.reconcile import pass_plan
from sync.reconcile.change_events import ChangeEvent, change_events, texts_in
from sync.records.authors import monday_user_name
from sync.words.message import Message


def overridden_line(
    board: BoardContext,
    plan: pass_plan.EntityPlan,
    mapping: FieldMapping,
    edit: pass_plan.LostUpdate | ChangeEvent,
    code: str,
) -> ActivityLine:
    """Return the history's line about an edit on Monday that was overwritten; `code` says how.

    It can be restored from there, unless it is an event whose value can't be read.
    """
    field = plan.compared(board, mapping)
    converter = field.converter
    local_raw = field.local_raw
    field_plan = plan.fields.get(mapping.key)
    if field_plan is not None and field_plan.pull_raw is not None and not field_plan.blocked_code:
        # This pass takes over an edit that somebody made after our write.
        local_raw = dict(field_plan.pull_raw)
    unread = [] if edit.is_known else texts_in(edit.payload)
    lost_value = ", ".join(unread) or converter.display(edit.value)

    def restore() -> Mapping[str, Any]:
        if unread:
            raise conversion.UnknownValue(conversion.EVENT_UNREADABLE)
        if isinstance(converter, conversion.ListConverter):
            return converter.with_elements(list(edit.value or ()), local_raw)
        return converter.from_text(lost_value, local_raw)

    values = _restorable_values(converter, lost_value, local_raw, restore)
    editor = monday_user_name(edit.user_id, board.settings.people) if edit.user_id else Message("somebody")
    sent = f"“{values['after']}”" if values["after"] else Message("empty_value")
    sentence = Message(code, editor=editor, edit=_edit_in_words(lost_value, mapping), sent=sent)
    return ActivityLine(kind=ActivityKind.OVERRIDDEN, sentence=sentence, key=mapping.key, values=values)


def _restorable_values(
    converter: conversion.Converter, lost: str, local_raw: dict[str, Any], restore: Callable[[], Mapping[str, Any]]
) -> dict[str, Any]:
    """Return the values of a history line about a lost value, from which it can be restored.

    `before` is the lost value, which NPD would have after that, and `after` is the value that NPD has now.
    """
    after = field_values.display_local(converter, local_raw)
    values: dict[str, Any] = {"before": lost, "after": after, "overridden": True}
    # Without raw values if they aren't known, so that it can't be restored from there.
    with suppress(conversion.AmbiguousSplit, conversion.UnknownValue, ValueError):
        values |= {"raw_before": dict(restore()), "raw_after": local_raw}
    return values


def edits_removed_with_item(
    board: BoardContext, plan: pass_plan.EntityPlan, keys: Collection[str], events: Iterable[WebhookEvent], why: str
) -> dict[str, ActivityLine]:
    """Return the history lines about edits of these fields that were removed with the item, by the field's label.

    `events` tell who made them; `why` is the rest of the sentence. A value that can't be read has no line.
    """
    changes = change_events(board, plan.record, events) if keys else []
    lines = {}
    for mapping in board.mappings:
        if plan.item is None or mapping.key not in keys:
            continue
        field = plan.compared(board, mapping)
        if isinstance(field.remote, merge.Unknown):
            continue
        lost_value = field.converter.display(field.remote)
        restore = partial(field.converter.to_local, field.remote_raw, field.local_raw)
        values = _restorable_values(field.converter, lost_value, field.local_raw, restore)
        edits = [change for change in changes if (change.key, change.value) == (mapping.key, field.remote)]
        user_id = next((edit.user_id for edit in reversed(edits) if edit.user_id), "")
        editor = monday_user_name(user_id, board.settings.people) if user_id else Message("somebody")
        sentence = Message("edit_removed", editor=editor, edit=_edit_in_words(lost_value, mapping), why=why)
        lines[mapping.label] = ActivityLine(
            kind=ActivityKind.OVERRIDDEN, sentence=sentence, key=mapping.key, values=values
        )
    return lines


def _edit_in_words(value: str, mapping: FieldMapping) -> Message:
    return Message("edit_wrote" if value else "edit_emptied", value=value, label=mapping.label)
