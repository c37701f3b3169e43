"""What a record's page says of its sync: its state and why, one button, and both sides of what differs.

Why it waits for a person is said by its rows of `sync.attention`; what a person does about that are their acts.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import capfirst

from sync import attention, registry
from sync.admin import admin_base, handlers
from sync.admin.confirmed_action import RecordTable
from sync.attention import KINDS, Entry, Kind
from sync.choices import RemovedItemPolicy, SyncDirection
from sync.kernel import humanize
from sync.models import BoardLink, SyncedModel
from sync.records.approvals import removals_wait
from sync.records.item_links import unlinked_item
from sync.state import record_view

STATE_BADGES = {
    record_view.RecordState.SYNCED: ("check_circle", "ok"),
    record_view.RecordState.PENDING: ("schedule", "wait"),
    record_view.RecordState.ATTENTION: ("front_hand", "warn"),
    record_view.RecordState.OFF: ("sync_disabled", "off"),
}


def state_badge(view: record_view.RecordView) -> SafeString:
    """Return the state as a label with an icon."""
    icon, colour = STATE_BADGES[view.state]
    return admin_base.badge(colour, icon, str(view.state.label), title=_beside(view))


def _beside(view: record_view.RecordView) -> str:
    """Say what stands beside the badge in a list: when it is tried again, and why it waits."""
    if view.state is record_view.RecordState.SYNCED:
        return ""
    tried = f"Next attempt {view.next_try_words}." if view.next_try_words and not view.has_failed else ""
    return " ".join(part for part in (tried, humanize.shorten(view.reason, 120)) if part)


def respell(record: Any, view: record_view.RecordView) -> None:
    """Let a record that is shown, and never saved, say its texts in the spelling of all pages."""
    for name, text in view.spellings.items():
        setattr(record, name, text)


def in_conflict(records: Iterable[SyncedModel], user: Any) -> list[tuple[str, str]]:
    """Return the names of those of one type with open conflicts, each with where these are resolved.

    The address is empty for who may not see conflicts.
    """
    names = {record.pk: str(record) for record in records}
    kinds = (Kind.CONFLICT, Kind.DUPLICATE)
    rows = attention.waiting(kinds=kinds).filter(entity_id__in=names).order_by("since", "source")
    may_view = registry.may_view(user, KINDS[Kind.CONFLICT].seen_with)
    urls = {entry.entity_id: entry.url if may_view else "" for entry in attention.as_entries(list(rows))}
    return [(names[key], url) for key, url in urls.items() if key]


def list_cell(view: record_view.RecordView) -> SafeString:
    """Return the list's column: the badge with its reason beside it, whole where the mouse rests.

    What needs attention says why, and leads to the page where it is dealt with.
    """
    beside = _beside(view)
    if view.state is record_view.RecordState.SYNCED:
        # What nearly every row says takes no room from the names; its word is where the mouse rests and for a reader.
        icon, colour = STATE_BADGES[view.state]
        words = format_html('<span class="npd-hidden">{}</span>', view.state.label)
        return admin_base.badge(colour, icon, words, title=beside or str(view.state.label))
    shown = state_badge(view)
    if view.state is record_view.RecordState.ATTENTION and view.entries:
        entry = view.entries[0]
        kind = KINDS[entry.kind]
        url = entry.url if kind.has_page else ""
        shown = admin_base.badge("warn", kind.icon, capfirst(kind.nouns[0]), url=url, title=beside)
    return format_html('{}<span class="npd-why" title="{}">{}</span>', shown, beside, beside)


def record_item_link(view: record_view.RecordView, text: str = "Open") -> SafeString | str:
    """Return a link to the record's item on Monday; a dash where it has none."""
    if not view.item_url:
        return humanize.DASH
    return admin_base.external_link(view.item_url, text, f"Open the item of {view.record} on Monday, in a new tab")


_AFTER_QUIET_TIME = {
    RemovedItemPolicy.ASK: "you are asked here",
    RemovedItemPolicy.UNLINK: "each record is unlinked, as the board's setting says",
    RemovedItemPolicy.DELETE: "each record is deleted in NPD, too, as the board's setting says",
    RemovedItemPolicy.CREATE: "each item is created again, as the board's setting says",
}


def removal_sentence(noticed: datetime | None, state: str, link: BoardLink | None, now: datetime) -> str:
    """Say what becomes of records whose items were archived, deleted or moved, and when."""
    until = noticed + timedelta(seconds=settings.GONE_QUIET_SECONDS) if noticed else now
    if until <= now or link is None:
        return "Nothing is changed or synced until somebody answers, or what was removed is restored on Monday."
    # An item on another board is somebody's to decide, whatever the setting says.
    policy = RemovedItemPolicy.ASK if state == "moved" else RemovedItemPolicy(link.removed_item_policy)
    edited = "" if policy is RemovedItemPolicy.ASK else "; what was edited since is asked about"
    outcome = _AFTER_QUIET_TIME[policy]
    if policy is RemovedItemPolicy.DELETE and removals_wait(link):
        outcome = "so many at once wait for your approval before they are deleted in NPD"
    return (
        f"Nothing is changed until {humanize.due_time(until)}: what is restored by then is synced as before. Then "
        f"{outcome}{edited}."
    )


# Both sides of the fields that differ.


# How a field's difference is marked, by its reason; a field without one is the same on both sides, or isn't synced.
FIELD_BADGES = {
    # With a note only: Monday changed how it is written, by which nothing is lost.
    record_view.FieldReason.IN_SYNC: ("ok", "check", "The same for sync"),
    record_view.FieldReason.KEPT_DIFFERENT: ("off", "front_hand", "Kept different"),
    record_view.FieldReason.LEFT_OUT: ("off", "block", "Left out"),
    record_view.FieldReason.NO_BASE: ("wait", "schedule", "Not synced yet"),
    record_view.FieldReason.NPD_CHANGED: ("wait", "arrow_upward", "Changed in NPD"),
    record_view.FieldReason.MONDAY_CHANGED: ("wait", "arrow_downward", "Changed on Monday"),
    record_view.FieldReason.BOTH_CHANGED: ("warn", "call_split", "Changed on both sides"),
    record_view.FieldReason.UNKNOWN: ("wait", "question_mark", "Not known"),
    record_view.FieldReason.CONFLICT: ("warn", "call_split", "In conflict"),
    record_view.FieldReason.REJECTED: ("warn", "front_hand", "Rejected by Monday"),
    record_view.FieldReason.BLOCKED: ("warn", "front_hand", "Blocked"),
}

# What a mark below the form's field explains.
_MARKED = (record_view.FieldReason.CONFLICT, record_view.FieldReason.REJECTED, record_view.FieldReason.BLOCKED)


def differing_sides(record: SyncedModel, view: record_view.RecordView, reader: Any) -> list[dict[str, Any]]:
    """Return the rows of the table of both sides: a field each that differs, with its badge and why it does."""
    if not record.monday_id:
        return []
    has_form = registry.may_act(reader, "change", record.entity_type())
    sides = []
    for side in view.fields:
        is_marked = side.reason_code in _MARKED
        differs = side.reason_code in FIELD_BADGES and side.local != side.remote
        if not is_marked and not (differs and (side.reason_code is not record_view.FieldReason.IN_SYNC or side.detail)):
            continue
        # What keeps a field from being in sync is explained once: below it in the form, for who has one.
        detail = "" if has_form and is_marked else humanize.without_request_id(side.detail)
        badge = admin_base.badge(*FIELD_BADGES[side.reason_code])
        has_no_column = side.key in view.without_column
        sides.append({"field": side, "badge": badge, "detail": detail, "has_no_column": has_no_column})
    return sides


# What a person may do about a record: one button, and a menu of the others.


@dataclass(frozen=True)
class Button:
    """A button of the panel or a line of its menu: a form that sends `hidden` to `url`, else a link."""

    code: str
    icon: str
    label: str
    url: str
    hidden: Mapping[str, str] = field(default_factory=dict)
    is_link: bool = False
    takes_away: bool = False
    impossible: str = ""  # why it can't be pressed now


def buttons_of(
    record: SyncedModel, view: record_view.RecordView, user: Any, urls: Mapping[str, str], *, may_change: bool
) -> list[Button]:
    """Return what this person may do about a record in its state, what helps most first.

    `urls` are those of the record's own acts by name.
    """
    buttons: list[Button] = []
    if view.is_explained_by_entries:
        buttons += _buttons_of_entry(record, view.entries[0], user) if view.entries else ()
    elif view.reason_code is record_view.Part.PENDING and not view.is_connected:
        if user.has_perm("sync.view_mondayaccount"):
            url = reverse("admin:sync_wizard_connect")
            buttons.append(Button("connect", "link", "Connect Monday", url, is_link=True))
    elif may_change:
        if view.reason_code is record_view.Part.SYNC_OFF:
            buttons.append(Button("switch_on", "play_arrow", "Turn sync on", urls["sync_on"]))
        elif view.reason_code is record_view.Part.NO_SYNC:
            hidden = {"shown": SyncDirection.NONE.value, "direction": SyncDirection.BIDIRECTIONAL.value}
            buttons.append(Button("sync_both_ways", "sync_alt", "Sync both ways", urls["direction"], hidden))
        if not record.monday_id and unlinked_item(record) is not None:
            buttons.append(Button("link_again", "link", "Link again…", urls["link_again"]))
    if may_change:
        buttons.append(Button("sync_now", "sync", "Sync now", urls["sync_now"], impossible=view.stop))
    return buttons


def others_of(record: SyncedModel, view: record_view.RecordView, user: Any) -> list[tuple[Entry, list[Button]]]:
    """Return what waits beside the reason, each with what this person may do about it."""
    return [(entry, list(_buttons_of_entry(record, entry, user))) for entry in view.others]


def removal_of(record: SyncedModel, view: record_view.RecordView) -> str:
    """Say what becomes of a record whose item was removed, and when; empty for any other."""
    entry = next((entry for entry in view.entries if entry.kind is Kind.REMOVED), None)
    if entry is None or view.state is not record_view.RecordState.ATTENTION:
        return ""
    return removal_sentence(entry.noticed, entry.cause_code, registry.link_of(record.entity_type()), view.now)


def _buttons_of_entry(record: SyncedModel, entry: Entry, user: Any) -> Iterator[Button]:
    """The page on which it is dealt with, or what this person may do about it."""
    kind = KINDS[entry.kind]
    if not registry.may_view(user, kind.seen_with):
        return
    page_url = registry.record_url(record.entity_type(), record.pk)
    is_column = entry.entity_id is None
    offered = [] if kind.has_page else handlers.offered_to(user, entry)
    if is_column and may_change_mapping(user):
        # A lost column is the board's matter: its page has all that can be done about it.
        board = BoardLink.objects.get(entity_type=entry.entity_type)
        url = reverse("admin:sync_boardlink_change", args=[board.pk])
        yield Button("map_field", "view_column", "Mend the column", url, is_link=True)
    elif not offered and entry.url != page_url:
        yield Button(entry.kind.value, kind.icon, door_label(entry, user), entry.url, is_link=True)
    act_url = reverse("npd-home-act")
    for handler in sorted(offered, key=lambda handler: handler.takes_away(entry)):
        hidden = {"one": f"{handler.code} {entry.key}", "back": page_url}
        yield Button(handler.code, "", handler.label(entry), act_url, hidden, takes_away=handler.takes_away(entry))


def door_label(entry: Entry, user: Any) -> str:
    """What the way to the page of a thing is called: who may only look is told so."""
    return KINDS[entry.kind].button if attention.may_act_on(user, entry.kind, entry.entity_type) else "View"


def may_change_mapping(user: Any) -> bool:
    return bool(user.has_perm("sync.change_boardlink") and user.has_perm("sync.change_fieldmapping"))


def mark_fields(form: Any, record: SyncedModel, view: record_view.RecordView, user: Any) -> None:
    """Put below each field of a form what keeps it from being in sync, where a screen reader reads it with the field.

    Also where nothing does: the mark is a live part of the page, which may be filled later.
    """
    entries = {key: entry for entry in view.entries for key in (entry.field, *(value.key for value in entry.values))}
    sides = {name: side for side in view.fields for name in side.names}
    own = {field.name for field in registry.own_fields(type(record))} if sides else set()
    for name, form_field in form.fields.items():
        if name in sides:
            mark = _field_mark(record, name, sides[name], entries.get(sides[name].key), user)
        elif name in own:
            mark = format_html('<span class="npd-muted">{} </span>', "Only in NPD.")
        else:
            continue
        help_text = format_html("<span>{}</span>", form_field.help_text) if form_field.help_text else ""
        form_field.help_text = format_html("{}{}", mark, help_text)


def _field_mark(
    record: SyncedModel, name: str, side: record_view.FieldView, entry: Entry | None, user: Any
) -> SafeString:
    if side.reason_code not in _MARKED:
        return format_html('<span class="npd-mark" id="npd-mark-{}" data-live></span>', name)
    _colour, icon, text = FIELD_BADGES[side.reason_code]
    link: SafeString | str = ""
    if entry and entry.kind is Kind.APPROVAL:
        text = record_view.Part.APPROVAL.label
    page_url = registry.record_url(record.entity_type(), record.pk)
    if entry and entry.url != page_url and registry.may_view(user, KINDS[entry.kind].seen_with):
        link = format_html('<a class="npd-take" href="{}">{}</a>', entry.url, door_label(entry, user))
    return format_html(
        '<span class="npd-mark" id="npd-mark-{}" data-live>{} <strong>{}.</strong> {} {}</span>',
        name,
        humanize.icon(icon),
        text,
        humanize.without_request_id(side.detail),
        link,
    )


# The record's direction.


DIRECTION_EFFECTS = {
    SyncDirection.BIDIRECTIONAL: "What either side changes is synced to the other.",
    SyncDirection.NPD_TO_MONDAY: (
        "NPD's values are mirrored: an edit on the board is overwritten at the next sync, and kept in the activity."
    ),
    SyncDirection.MONDAY_TO_NPD: (
        "The board's values are mirrored: an edit in NPD is overwritten at the next sync, and kept in the activity."
    ),
    SyncDirection.NONE: "Nothing is synced; both sides keep what they have.",
}

_OVERWRITTEN_SIDE = {SyncDirection.NPD_TO_MONDAY: "monday", SyncDirection.MONDAY_TO_NPD: "npd"}


def overwritten_values(record: SyncedModel, direction: str) -> RecordTable | None:
    """Return what the next sync would overwrite for this direction, field by field, as far as we know.

    None where the direction overwrites nothing that isn't overwritten now.
    """
    loser = _OVERWRITTEN_SIDE.get(SyncDirection(direction)) if direction in SyncDirection.values else None
    if loser is None or record.sync_direction == direction:
        return None
    differing = [
        (field.label, field.remote or "(empty)", field.local or "(empty)")
        for field in record_view.describe_one(record).fields
        if field.state not in (record_view.RecordState.SYNCED, record_view.RecordState.OFF)
        and field.local != field.remote
    ]
    if loser == "monday":
        return RecordTable(("Field", "On Monday, is overwritten", "In NPD"), differing, len(differing))
    rows = [(label, local, remote) for label, remote, local in differing]
    return RecordTable(("Field", "In NPD, is overwritten", "On Monday"), rows, len(rows))
