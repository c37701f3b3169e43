"""A record's sync on its page and in its list: state and reason, buttons, and both sides of differing fields."""

from collections.abc import Iterator
from copy import copy
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import capfirst

from sync import addresses, attention, permissions, registry
from sync.admin import admin_base, home_acts
from sync.admin.admin_base import Button
from sync.admin.confirmed_action import RecordTable, list_button
from sync.choices import ApprovalState, RemovedItemPolicy, SyncDirection
from sync.fields import lookups
from sync.kernel import humanize
from sync.kernel.acts import ACTS
from sync.models import BoardLink, SyncedModel
from sync.operations.setup.selection import may_see_connection, may_set_up
from sync.records.approvals import is_over_deletion_limit
from sync.records.item_links import unlinked_item
from sync.state import record_view

STATE_BADGES = {
    record_view.RecordState.SYNCED: ("ok", "check_circle"),
    record_view.RecordState.PENDING: ("wait", "schedule"),
    record_view.RecordState.ATTENTION: ("warn", "front_hand"),
    record_view.RecordState.OFF: ("off", "sync_disabled"),
}


def colour_of(view: record_view.RecordView) -> str:
    return "bad" if view.has_failed else STATE_BADGES[view.state][0]


def state_badge(view: record_view.RecordView) -> SafeString:
    return humanize.badge(colour_of(view), STATE_BADGES[view.state][1], str(view.state.label))


def reason_of(view: record_view.RecordView) -> str:
    """Return the reason of the state, or that the record waits if the banner above every page shows what stops it."""
    if view.state is record_view.RecordState.OFF and not view.record.sync_enabled:
        return ""  # the badge says it
    # No banner says that set-up is missing.
    is_stopped = view.is_connected and view.stop_reason
    return (
        "It is synced as soon as the sync runs again."
        if is_stopped and view.reason == view.stop_reason
        else view.reason
    )


def list_cell(view: record_view.RecordView) -> SafeString:
    """Return the list's column *Sync*: the badge and the reason, with a link to the page that solves it."""
    if view.state is record_view.RecordState.SYNCED:
        # Most records are synced, so the icon alone saves space; its word is a tooltip, also for screen readers.
        words = format_html('<span class="npd-hidden">{}</span>', view.state.label)
        return humanize.badge(*STATE_BADGES[view.state], words, title=str(view.state.label))
    attempt = f"Next attempt {view.next_try_words}." if view.next_try_words and not view.has_failed else ""
    reason = " ".join(part for part in (attempt, humanize.shorten(reason_of(view), 120)) if part)
    state = state_badge(view)
    if view.state is record_view.RecordState.ATTENTION and view.entries:
        entry = view.entries[0]
        kind = attention.KINDS[entry.kind]
        url = entry.url if kind.is_solved_on_page else ""
        state = humanize.badge(colour_of(view), kind.icon, capfirst(kind.nouns[0]), url=url, title=reason)
    return format_html('{}<span class="npd-why" title="{}">{}</span>', state, reason, reason)


def record_item_link(view: record_view.RecordView, text: str = "Open") -> SafeString | str:
    if not view.item_url:
        return humanize.DASH
    return admin_base.external_link(view.item_url, text, f"Open the item of {view.record} on Monday, in a new tab")


_AFTER_QUIET_TIME = {
    RemovedItemPolicy.ASK: "you choose here what happens",
    RemovedItemPolicy.UNLINK: "NPD Sync unlinks the records, as the board's setting says",
    RemovedItemPolicy.DELETE: "NPD Sync deletes the records in NPD, as the board's setting says",
    RemovedItemPolicy.CREATE: "NPD Sync creates the items again, as the board's setting says",
}


def quiet_end(noticed: datetime | None) -> datetime | None:
    """Return until when nothing follows from a removal that a pass noticed then."""
    return noticed + timedelta(seconds=settings.REMOVED_ITEM_QUIET_SECONDS) if noticed else None


def removal_sentence(noticed: datetime | None, state: str, link: BoardLink | None, now: datetime) -> str:
    """Return what will happen, and when, to records whose items were archived, deleted or moved."""
    # The quiet time: who removed items by mistake can restore them before anything follows.
    until = quiet_end(noticed) or now
    if until <= now or link is None:
        return "Nothing is synced until somebody chooses here, or restores the item on Monday."
    # The board's setting doesn't cover moved items: a person decides.
    policy = RemovedItemPolicy.ASK if state == "moved" else RemovedItemPolicy(link.removed_item_policy)
    edited = "" if policy is RemovedItemPolicy.ASK else " If a record was edited since, you are asked."
    then = _AFTER_QUIET_TIME[policy]
    if policy is RemovedItemPolicy.DELETE and is_over_deletion_limit(link):
        then = "the records wait for approval before NPD Sync deletes them, because they are so many"
    return (
        f"Nothing changes until {humanize.due_time(until)}. What is restored on Monday by then is synced as before. "
        f"After that, {then}.{edited}"
    )


# The badge of a field's difference, by its reason: all but NOT_SYNCED.
FIELD_BADGES = {
    # Shown only with a note: Monday changed the spelling, and nothing was lost.
    record_view.FieldReason.IN_SYNC: ("ok", "check", "The same for sync"),
    record_view.FieldReason.KEPT_DIFFERENT: ("off", "front_hand", "Left as it is"),
    record_view.FieldReason.RELATION_SKIPPED: ("off", "block", "Not sent"),
    record_view.FieldReason.NO_BASE: ("wait", "schedule", "Not synced yet"),
    record_view.FieldReason.NPD_CHANGED: ("wait", "arrow_upward", "Changed in NPD"),
    record_view.FieldReason.MONDAY_CHANGED: ("wait", "arrow_downward", "Changed on Monday"),
    record_view.FieldReason.BOTH_CHANGED: ("warn", "call_split", "Changed on both sides"),
    record_view.FieldReason.UNKNOWN: ("wait", "question_mark", "Not known"),
    record_view.FieldReason.CONFLICT: ("warn", "call_split", "In conflict"),
    record_view.FieldReason.REJECTED: ("warn", "front_hand", "Rejected by Monday"),
    record_view.FieldReason.BLOCKED: ("warn", "front_hand", "Blocked"),
}

# The next sync leaves the values of such fields as they are.
_NOT_TO_BE_WRITTEN = (
    record_view.FieldReason.IN_SYNC,
    record_view.FieldReason.KEPT_DIFFERENT,
    record_view.FieldReason.RELATION_SKIPPED,
    record_view.FieldReason.NOT_SYNCED,
)

# The reasons with a mark below the form's field.
_MARKED = (record_view.FieldReason.CONFLICT, record_view.FieldReason.REJECTED, record_view.FieldReason.BLOCKED)


def differing_sides(record: SyncedModel, view: record_view.RecordView, reader: Any) -> list[dict[str, Any]]:
    """Return a row for each differing field, with its badge and the reason, unless a screen of its own shows both."""
    if not record.monday_id:
        return []
    shown_elsewhere = {
        key
        for entry in view.entries
        if entry.kind in (attention.Kind.CONFLICT, attention.Kind.REJECTED)
        and permissions.may_view(reader, attention.KINDS[entry.kind].model)
        for key in (entry.field, *(value.key for value in entry.values))
    }
    sides = []
    for field in view.fields:
        is_marked = field.reason_code in _MARKED
        differs = field.reason_code in FIELD_BADGES and field.local != field.remote
        is_shown = is_marked or (differs and (field.reason_code is not record_view.FieldReason.IN_SYNC or field.detail))
        if not is_shown or field.key in shown_elsewhere:
            continue
        # The form says above, or below the field, why it is blocked.
        detail = "" if is_marked else humanize.without_request_id(field.detail)
        if view.state is record_view.RecordState.OFF and field.reason_code is record_view.FieldReason.NPD_CHANGED:
            detail = "While its sync is off, it isn't known whether it was changed on Monday, too."
        badge = humanize.badge(*FIELD_BADGES[field.reason_code])
        sides.append(
            {
                "field": field,
                "badge": badge,
                "detail": detail,
                "has_no_column": field.key in view.without_column,
                "is_known": field.reason_code is not record_view.FieldReason.NO_BASE or bool(field.read_at),
            }
        )
    return sides


def buttons_of(record: SyncedModel, view: record_view.RecordView, user: Any, *, may_change: bool) -> list[Button]:
    """Return the buttons for this person, the most helpful first."""
    buttons: list[Button] = []
    page_url = addresses.record_url(record.entity_type(), record.pk)
    if view.is_explained_by_entries:
        buttons += buttons_of_entry(view.entries[0], user, page_url)
    elif view.state is record_view.RecordState.PENDING and not view.is_connected:
        if may_see_connection(user):
            url = reverse("admin:sync_wizard_connect")
            buttons.append(Button("Connect Monday", "connect", url))
    elif may_change:
        if not record.monday_id and unlinked_item(record) is not None:
            # Before “Turn sync on”, which may link another item.
            buttons.append(_record_button(record, "link_again"))
        if not record.sync_enabled:
            buttons.append(list_button(record, "turn_sync_on", page_url))
        elif record.sync_direction == SyncDirection.NONE:
            hidden = {"shown": SyncDirection.NONE.value, "direction": SyncDirection.BIDIRECTIONAL.value}
            direction = _record_button(record, "direction")
            act = ACTS["turn_sync_on"]
            buttons.append(replace(direction, label=act.button, code=act.code, hidden=hidden))
    if may_change and not view.stop_reason:
        buttons.append(_record_button(record, "sync_now"))
    return buttons


def menu_buttons(record: SyncedModel) -> list[Button]:
    """Return the rare acts, which ask first, for the record's menu."""
    page_url = addresses.record_url(record.entity_type(), record.pk)
    buttons = [_record_button(record, "direction")]
    if record.may_sync:
        buttons.append(list_button(record, "turn_sync_off", page_url))
    if record.monday_id:
        buttons.append(list_button(record, "unlink", page_url))
    return buttons


def _record_button(record: SyncedModel, code: str) -> Button:
    """Return the button of an act with an address of its own (`get_urls` in record_pages.py)."""
    url = reverse(f"admin:{record._meta.app_label}_{record._meta.model_name}_{code}", args=[record.pk])
    return Button(ACTS[code].button, code, post_to=url)


def record_removal_sentence(record: SyncedModel, view: record_view.RecordView) -> str:
    """Return what will happen, and when, to a record whose item was removed; empty for other records."""
    entry = next((entry for entry in view.entries if entry.kind is attention.Kind.REMOVED), None)
    if entry is None or view.state is not record_view.RecordState.ATTENTION:
        return ""
    return removal_sentence(entry.noticed, entry.code, lookups.link_of(record.entity_type()), view.now)


def buttons_of_entry(entry: attention.Entry, user: Any, page_url: str) -> Iterator[Button]:
    """Yield the acts that this person may do, or a link to the page that solves it, for the page at `page_url`."""
    kind = attention.KINDS[entry.kind]
    if not permissions.may_view(user, kind.model):
        return
    is_column = entry.kind is attention.Kind.BLOCKED and entry.entity_id is None
    buttons = [] if kind.is_solved_on_page else home_acts.act_buttons(entry, user, page_url)
    if is_column and may_set_up(user):
        # The board's page has all acts for a missing column.
        board = BoardLink.objects.get(entity_type=entry.entity_type)
        url = reverse("admin:sync_boardlink_change", args=[board.pk])
        yield Button("Fix the column", "map_field", url)
    elif not buttons and entry.url != page_url:
        label = kind.button if attention.may_act_on(user, entry.kind, entry.entity_type) else "View"
        yield Button(label, entry.kind.value, entry.url, icon=kind.icon)
    link = lookups.link_of(entry.entity_type)
    if buttons and link is not None and entry.kind is attention.Kind.REMOVED:
        yield replace(restore_button(link, entry.code), code="restore")
    yield from buttons


def restore_button(link: BoardLink, code: str) -> Button:
    """Return the button to the board, on which people restore a removed item."""
    label = "Move back on Monday" if code == "moved" else "Restore on Monday"
    return Button(label, url=addresses.board_url(link), is_on_monday=True)


_NO_COLUMN = "Only in NPD: the board has no column for it."


def mark_fields(form: Any, record: SyncedModel, view: record_view.RecordView, user: Any) -> None:
    """Put below each field of a form why a person has to act on it: into its help text, which screen readers read.

    Other mapped fields have an empty mark, which the live page may fill later.
    """
    entries = {key: entry for entry in view.entries for key in (entry.field, *(value.key for value in entry.values))}
    fields = {name: field for field in view.fields for name in field.names}
    own = {field.name for field in registry.own_fields(type(record))} if fields else set()
    link = lookups.link_of(record.entity_type()) if may_set_up(user) else None
    board_page = (
        admin_base.link_to(reverse("admin:sync_boardlink_change", args=[link.pk]), "Choose a column.") if link else ""
    )
    for name, form_field in form.fields.items():
        field = fields.get(name)
        if field is None and name not in own:
            continue
        if field is None:
            mark = format_html('<span class="npd-muted">{} {} </span>', _NO_COLUMN, board_page)
        elif field.reason_code not in _MARKED:
            mark = format_html('<span class="npd-mark" id="npd-mark-{}" data-live></span>', name)
        else:
            entry = entries.get(field.key)
            _colour, icon, text = FIELD_BADGES[field.reason_code]
            is_approval = entry is not None and entry.kind is attention.Kind.APPROVAL
            # What waits for a person is explained above the form, but for an approval.
            detail = field.detail if entry is None or is_approval else ""
            mark = format_html(
                '<span class="npd-mark" id="npd-mark-{}" data-live>{} <strong>{}.</strong> {}</span>',
                name,
                humanize.icon(icon),
                ApprovalState.PENDING.label if is_approval else text,
                humanize.without_request_id(detail),
            )
        help_text = format_html("<span>{}</span>", form_field.help_text) if form_field.help_text else ""
        form_field.help_text = format_html("{}{}", mark, help_text)


DIRECTION_EFFECTS = {
    SyncDirection.BIDIRECTIONAL: "What either side changes is synced to the other.",
    SyncDirection.NPD_TO_MONDAY: (
        "NPD's values go to Monday. The next sync overwrites edits on the board; the activity keeps them."
    ),
    SyncDirection.MONDAY_TO_NPD: (
        "Monday's values go to NPD. The next sync overwrites edits in NPD; the activity keeps them."
    ),
    SyncDirection.NONE: "Nothing is synced; both sides keep what they have.",
}


def values_to_overwrite(record: SyncedModel) -> RecordTable:
    """Return a table of the fields that differ; a one-way direction would overwrite one side of each."""
    # The record's own direction would hide fields as not synced.
    both_ways = copy(record)
    both_ways.sync_direction = SyncDirection.BIDIRECTIONAL
    rows = [
        (field.label, field.local or "(empty)", field.remote or "(empty)")
        for field in record_view.view_of(both_ways).fields
        if field.reason_code not in _NOT_TO_BE_WRITTEN and field.local != field.remote
    ]
    return RecordTable(("Field", "In NPD", "On Monday"), rows, len(rows), "Either direction alone overwrites one side")
