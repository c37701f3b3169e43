"""What the guard's pages say: what would happen, what a decision does, and who gave the cause."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from uuid import UUID

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from sync import moments, registry
from sync.admin import words
from sync.authors import Edit, editor_of, latest_edits, monday_people, name_on_monday, users_of
from sync.choices import GuardKind
from sync.guard.deciding import Waiting
from sync.models import FieldMapping, GuardedAct, Tombstone, WebhookEvent

WHAT = {
    GuardKind.ITEMS: gettext_lazy(
        "The items of {records} would be archived or deleted on Monday: the records were deleted in NPD."
    ),
    GuardKind.RECORDS: gettext_lazy("{records} would be deleted in NPD: the items are gone from Monday."),
    GuardKind.CLEAR_MONDAY: gettext_lazy(
        "{fields} of {records} would be emptied on Monday: they were emptied in NPD."
    ),
    GuardKind.CLEAR_NPD: gettext_lazy(
        "{fields} of {records} would be emptied in NPD: they were emptied on Monday."
    ),
}
SHORT = {
    GuardKind.ITEMS: gettext_lazy("remove the item"),
    GuardKind.RECORDS: gettext_lazy("delete the record"),
    GuardKind.CLEAR_MONDAY: gettext_lazy("empty on Monday"),
    GuardKind.CLEAR_NPD: gettext_lazy("empty in NPD"),
}
EFFECTS = {
    "approve": {
        GuardKind.ITEMS: gettext_lazy(
            "The items are archived or deleted on Monday, as the board’s policy says."
        ),
        GuardKind.RECORDS: gettext_lazy(
            "The records are deleted in NPD. Each can be brought back from “Deleted records”."
        ),
        GuardKind.CLEAR_MONDAY: gettext_lazy("The cells are emptied on Monday, as they are in NPD."),
        GuardKind.CLEAR_NPD: gettext_lazy("The fields are emptied in NPD, as they are on Monday."),
    },
    "reject": {
        GuardKind.ITEMS: gettext_lazy(
            "The items stay on the board as they are, and make no new records by themselves."
        ),
        GuardKind.RECORDS: gettext_lazy(
            "The records stay in NPD; for each it is asked what becomes of it, under “Conflicts”."
        ),
        GuardKind.CLEAR_MONDAY: gettext_lazy("NPD gets the values back that still stand on Monday."),
        GuardKind.CLEAR_NPD: gettext_lazy("Monday gets the values back that still stand in NPD."),
    },
}


def figures_of(group: Waiting) -> dict[str, str]:
    """Return how many records and fields wait, as WHAT says them."""
    return {
        "records": words.counted(group.records, group.entity_type),
        "fields": words.counted(group.acts, "field"),
    }


def editors(acts: Sequence[GuardedAct]) -> dict[int, str]:
    """Return who gave the cause of these acts and when, in words, as far as it is known."""
    return dict(_in_npd(acts)) | dict(_on_monday(acts)) | dict(_deleted(acts))


def _in_npd(acts: Sequence[GuardedAct]) -> Iterator[tuple[int, str]]:
    for entity_type in {act.entity_type for act in acts}:
        mine = [a for a in acts if a.kind == GuardKind.CLEAR_MONDAY and a.entity_type == entity_type]
        model = registry.entity(entity_type).model
        histories = latest_edits(model, {act.entity_id for act in mine})
        users = users_of(event for history in histories.values() for event in history)
        attnames = _attnames(entity_type)
        for act in mine:
            edit = editor_of(histories.get(act.entity_id, []), attnames.get(act.key, []), users)
            if edit:
                yield (
                    act.pk,
                    (
                        _("emptied by %(edit)s, %(at)s")
                        % {"edit": _named(edit), "at": moments.day_and_time(edit.at)}
                    ),
                )


def _named(edit: Edit) -> str:
    """Who, and by which way unless that says the same."""
    return edit.who if not edit.way or edit.who in edit.way else f"{edit.who} ({edit.way})"


def _attnames(entity_type: str) -> dict[str, list[str]]:
    model = registry.entity(entity_type).model
    mappings = FieldMapping.objects.filter(link__entity_type=entity_type)
    return {m.key: [model._meta.get_field(name).attname for name in m.fields] for m in mappings}  # type: ignore[union-attr]


def _on_monday(acts: Sequence[GuardedAct]) -> Iterator[tuple[int, str]]:
    mine = [act for act in acts if act.kind == GuardKind.CLEAR_NPD]
    columns = {
        (entity_type, key): column
        for entity_type, key, column in FieldMapping.objects.values_list(
            "link__entity_type", "key", "column_id"
        )
    }
    people = monday_people() if mine else {}
    for act in mine:
        events = WebhookEvent.objects.filter(
            item_id=act.remote_id, column_id=columns.get((act.entity_type, act.key))
        )
        event = events.order_by("-id").first()
        user = str(event.body.get("event", {}).get("userId") or "") if event else ""
        if event and user:
            yield (
                act.pk,
                (
                    _("emptied by %(who)s, %(at)s")
                    % {
                        "who": name_on_monday(user, people),
                        "at": moments.day_and_time(event.received_at),
                    }
                ),
            )


def _deleted(acts: Sequence[GuardedAct]) -> Iterator[tuple[int, str]]:
    mine: dict[UUID, int] = {act.entity_id: act.pk for act in acts if act.kind == GuardKind.ITEMS}
    stones = Tombstone.objects.filter(entity_id__in=list(mine))
    for entity_id, at in stones.values_list("entity_id", "deleted_at"):
        yield mine[entity_id], _("deleted %(at)s") % {"at": moments.day_and_time(at)}
