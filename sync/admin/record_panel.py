"""What a record's page says of its sync: its state and why, one button, and both sides of what differs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from conflicts.reports import KIND_UNDO, OpenConflict
from conflicts.store import open_conflicts
from sync import registry
from sync.admin import admin_base
from sync.admin.board_cards import STATE_BADGES
from sync.admin.confirmed_action import RecordTable
from sync.admin.deletion_pages import KIND_LABELS
from sync.attention import WHERE_TO_UNBLOCK, Kind, may_act_on
from sync.boards.mapping import needs_column
from sync.choices import ApprovalKind, ApprovalState, BlockedCode, RecordSyncStatus, RemovedItemPolicy, SyncDirection
from sync.clock import sync_now
from sync.kernel import humanize
from sync.kernel.acts import ACTS
from sync.models import ApprovalRequest, SyncedModel
from sync.models.jobs import QueueAction, is_allowed
from sync.records.availability import Overview
from sync.records.blocked_fields import throttle_reason, throttled_fields
from sync.records.item_links import unlinked_item
from sync.registry import link_of, page_url
from sync.state.record_view import FieldReason, FieldView, Part, RecordState, RecordView, describe, describe_one

_CAUSES = {
    Part.CONFLICT: "Conflict",
    Part.FAILED: "Failed",
    Part.APPROVAL: "Approval",
    Part.GONE: "Removed",
    Part.BLOCKED: "Blocked",
    Part.COLUMN: "Column",
}

_OR_ASKED = "as the board's setting says; if it was edited since, you are asked here"
_AFTER_QUIET_TIME = {
    RemovedItemPolicy.ASK: "you are asked here",
    RemovedItemPolicy.UNLINK: f"the record is unlinked, {_OR_ASKED}",
    RemovedItemPolicy.DELETE: f"the record is deleted in NPD too, {_OR_ASKED}",
    RemovedItemPolicy.CREATE: f"its item is created again, {_OR_ASKED}",
}


@dataclass(frozen=True)
class RecordSyncView:
    """What a page shows of one record's sync: its state, its open conflicts, and the time of the page."""

    record_id: UUID
    state: RecordView
    now: datetime
    conflicts: Sequence[OpenConflict] = field(default_factory=tuple)

    @property
    def has_failed(self) -> bool:
        """Whether all attempts failed, so that nothing happens before a person acts."""
        return self.state.reason_code is Part.FAILED

    @property
    def agrees(self) -> bool:
        """Whether both sides say the same, and nothing else is to be said."""
        return self.state.state is RecordState.SYNCED and not self.reason

    @property
    def next_try(self) -> str:
        """When the next look comes, in words; empty when none is planned."""
        moment = self.state.next_try
        # Of a stop, or a removed item, the reason says until when.
        if self.state.status != RecordSyncStatus.PENDING or moment is None or self.state.stop_reason or self.quiet_time:
            return ""
        return "now" if moment <= self.now else humanize.relative_time(moment, self.now)

    @property
    def reason(self) -> str:
        """The reason, as a sentence; the time of the next look is beside it, and what ends a stop above the page."""
        words = humanize.without_request_id(self.state.words)
        if words and self.state.status != RecordSyncStatus.SYNCED and words.startswith(self.stop):
            words = self.stop or words
        return words

    @property
    def quiet_time(self) -> str:
        """Until when its removed item may come back, and what happens then, as a sentence; empty once that is over."""
        until = self.state.quiet_until
        if until is None or until <= self.now or self.state.stop_reason:
            return ""
        at, then = humanize.due_time(until, self.now), _AFTER_QUIET_TIME[self.state.removed_item_policy]
        return f"If the item comes back until {at}, nothing happens; then {then}."

    @property
    def stop(self) -> str:
        """Why nothing is sent to Monday now, in one sentence; of a person's pause all that is known."""
        reason = self.state.stop_reason
        return reason if self.state.pause else humanize.first_sentence(reason)

    @property
    def headline(self) -> str:
        """The reason; of blocked fields only which they are, as each says why in the form, after what else waits."""
        if self.answered:
            names = humanize.join_first([self.state.labels.get(key, key) for key in self.answered])
            what = (
                "the choice is applied once it isn't blocked" if self.is_answer_blocked else "a choice is being applied"
            )
            return f"{names}: {what}."
        if self.state.reason_code not in (Part.BLOCKED, Part.COLUMN):
            return f"{self.reason} {self.quiet_time}".rstrip()
        rejected, blocked = self.state.rejected_to_fix, self.state.blocked_by_others
        differing = [one for one in self.state.fields if one.local != one.remote] if self.stop else []
        waiting = [one.label for one in differing if one.state is RecordState.PENDING]
        wait = f"{humanize.join_first(waiting)} {humanize.plural(len(waiting), 'waits', 'wait')}: {self.stop} "
        said = ((rejected, "was", "were", "rejected by Monday"), (blocked, "is", "are", "blocked"))
        return (wait if waiting else "") + " ".join(
            f"{humanize.join_first([self.state.labels.get(key, key) for key in keys])} "
            f"{humanize.plural(len(keys), one, many)} {what}."
            for keys, one, many, what in said
            if keys
        )

    @property
    def answered(self) -> tuple[str, ...]:
        """The fields in conflict, where of each a person has chosen, and the next sync applies it."""
        is_answered = all(one.fields and set(one.fields) <= set(one.resolutions) for one in self.conflicts)
        return tuple(key for one in self.conflicts for key in one.fields) if is_answered else ()

    @property
    def is_answer_blocked(self) -> bool:
        """Whether a choice waits for a blocked field."""
        return not set(self.answered).isdisjoint(self.state.blocked_by_others)

    @property
    def requests(self) -> list[str]:
        """The ids of the requests to Monday that the reason names, for administrators."""
        return humanize.request_ids(self.state.words)

    @property
    def fields_in_conflict(self) -> str:
        labels = self.state.labels
        return humanize.join_first([labels.get(key, key) for key in self.state.conflict_fields])

    @property
    def conflict_url(self) -> str:
        """The screen that settles it; the filtered list when several are open."""
        return conflict_url(self.record_id, self.conflicts)

    @property
    def badge(self) -> SafeString:
        """The state as a label with an icon; a conflict's leads to its screen."""
        return self._badge(str(self.state.state.label))

    @property
    def list_badge(self) -> SafeString:
        """The badge of a list, where what needs attention says why."""
        is_rejected = self.state.reason_code is Part.BLOCKED and self.state.rejected_to_fix
        cause = "Rejected" if is_rejected else _CAUSES.get(self.state.reason_code, "")
        return self._badge(cause or str(self.state.state.label))

    def _badge(self, label: str) -> SafeString:
        icon, kind = STATE_BADGES[self.state.state]
        if self.state.reason_code is Part.CONFLICT:
            return admin_base.badge("warn", "call_split", label, url=self.conflict_url, title="Resolve this conflict")
        return admin_base.badge(kind, icon, label, title=self.detail)

    @property
    def detail(self) -> str:
        """What stands beside the badge in a list: when it is tried again, and why it waits."""
        if self.state.reason_code is Part.CONFLICT:
            return f"{Part.CONFLICT.label}: {self.fields_in_conflict}"
        if self.state.state is RecordState.SYNCED:
            return ""
        tried = (f"Next attempt {self.next_try}.") if self.next_try and not self.has_failed else ""
        return " ".join(part for part in (tried, humanize.shorten(self.reason, 120)) if part)


def views_of(
    records: Sequence[SyncedModel], now: datetime, boards: Overview | None = None
) -> dict[UUID, RecordSyncView]:
    """Return what a page shows of these records; the number of queries doesn't grow with theirs.

    `boards`: how all boards stand, where that was read.
    """
    if not records:
        return {}
    states = describe(records, boards=boards)
    conflicts = open_conflicts(records[0].entity_type(), [record.id for record in records])
    return {key: RecordSyncView(key, state, now, tuple(conflicts.get(key, ()))) for key, state in states.items()}


def view_of(record: SyncedModel) -> RecordSyncView:
    return views_of([record], sync_now())[record.id]


def respell(record: Any, view: RecordSyncView | None) -> None:
    """Let a record that is shown, and never saved, say its texts in the spelling of all pages."""
    for name, text in view.state.spellings.items() if view else ():
        setattr(record, name, text)


def conflict_url(record_id: UUID, conflicts: Sequence[OpenConflict]) -> str:
    """Return the screen of the one open conflict, or the record's list of several.

    Empty without conflicts, and where no application shows them.
    """
    if len(conflicts) == 1:
        return page_url("conflicts_syncconflict_screen", conflicts[0].conflict_id)
    return page_url("conflicts_syncconflict_changelist", query=f"entity_id__exact={record_id}") if conflicts else ""


def in_conflict(records: Iterable[SyncedModel], user: Any) -> list[tuple[str, str]]:
    """Return the names of those of one type with open conflicts, each with where these are resolved; one query.

    The address is empty for who may not see conflicts.
    """
    by_key = {record.pk: record for record in records}
    if not by_key:
        return []
    entity_type, may_view = next(iter(by_key.values())).entity_type(), user.has_perm("conflicts.view_syncconflict")
    found = open_conflicts(entity_type, by_key)
    unresolved = {key: [one for one in conflicts if one.kind != KIND_UNDO] for key, conflicts in found.items()}
    return [
        (str(by_key[key]), conflict_url(key, conflicts) if may_view else "")
        for key, conflicts in unresolved.items()
        if conflicts
    ]


def rejected_value_url(record: SyncedModel, key: str, state: RecordView) -> str:
    """Return the screen on which a refused value is settled; empty where Monday refuses none, or nothing shows it."""
    if key not in state.rejected_fields:
        return ""
    return page_url("conflicts_syncconflict_rejected_screen", record.entity_type(), record.pk, key)


def may_resolve_cases(user: Any) -> bool:
    """Whether this person may resolve conflicts and answer rejected values; who may only view them is told so."""
    return bool(user.has_perm("conflicts.change_syncconflict"))


def rejection_act(user: Any, entity_type: str = "") -> str:
    """What this person may do with rejected values of a type, or of any: correct, only choose a side, or view them."""
    types = [entity_type] if entity_type else [spec.entity_type for spec in registry.entities()]
    if not may_resolve_cases(user):
        return "View"
    return "Fix" if any(registry.may_act(user, "change", one) for one in types) else "Decide"


def list_cell(view: RecordSyncView | None) -> SafeString | str:
    """Return the list's column: the badge with its reason beside it, whole where the mouse rests."""
    if view is None:
        return humanize.DASH
    state = view.state.state
    if state in (RecordState.SYNCED, RecordState.PAUSED):
        # What nearly every row says takes no room from the names; its word is where the mouse rests and for a reader.
        symbol, kind = STATE_BADGES[state]
        words = format_html('<span class="npd-hidden">{}</span>', state.label)
        return admin_base.badge(kind, symbol, words, title=view.detail or str(state.label))
    return format_html('{}<span class="npd-why" title="{}">{}</span>', view.list_badge, view.detail, view.detail)


def record_item_link(state: RecordView | None, record: Any, text: str = "") -> SafeString | str:
    """Return a link to the record's item on Monday; a dash where it has none."""
    if state is None or not state.item_url:
        return humanize.DASH
    return admin_base.external_link(
        state.item_url, text or "Open", (f"Open the item of {record} on Monday, in a new tab")
    )


# Both sides of the fields that differ.


FIELD_BADGES = {
    # With a note only: Monday changed how it is written, by which nothing is lost.
    FieldReason.IN_SYNC: ("ok", "check", "The same for sync"),
    FieldReason.KEPT_DIFFERENT: ("off", "front_hand", "Kept different"),
    FieldReason.LEFT_OUT: ("off", "block", "Left out"),
    FieldReason.NO_BASE: ("wait", "schedule", "Not synced yet"),
    FieldReason.NPD_CHANGED: ("wait", "arrow_upward", "Changed in NPD"),
    FieldReason.MONDAY_CHANGED: ("wait", "arrow_downward", "Changed on Monday"),
    FieldReason.BOTH_CHANGED: ("warn", "call_split", "Changed on both sides"),
    FieldReason.UNKNOWN: ("wait", "question_mark", "Not known"),
    FieldReason.CONFLICT: ("warn", "call_split", "In conflict"),
    FieldReason.REJECTED: ("warn", "front_hand", "Rejected by Monday"),
    FieldReason.BLOCKED: ("warn", "front_hand", "Blocked"),
}
"""How a field's difference is marked, by its reason; a field without one is the same on both sides, or isn't synced."""

_MARKED = (FieldReason.CONFLICT, FieldReason.REJECTED, FieldReason.BLOCKED)
"""What a mark below the form's field explains."""


def differing_sides(record: SyncedModel, view: RecordView, reader: Any) -> list[dict[str, Any]]:
    """Return the rows of the table of both sides: a field each that differs, with its badge and why it does."""
    if not record.monday_id:
        return []
    has_form = registry.may_act(reader, "change", record.entity_type())
    return [
        {
            "field": side,
            "badge": admin_base.badge(*FIELD_BADGES[side.reason_code]),
            # What keeps a field from being in sync is explained once: below it in the form, for who has one.
            "detail": ""
            if has_form and side.reason_code in _MARKED
            else linked(humanize.without_request_id(side.detail), reader),
            "has_no_column": side.key in view.without_column,
        }
        for side in view.fields
        if side.reason_code in _MARKED or _is_shown_different(side)
    ]


def _is_shown_different(side: FieldView) -> bool:
    if side.reason_code not in FIELD_BADGES or side.local == side.remote:
        return False
    return side.reason_code is not FieldReason.IN_SYNC or bool(side.detail)


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
    leaves: bool = False  # whether it leads to the board, outside NPD


_TONES = {
    RecordState.SYNCED: "ok",
    RecordState.PENDING: "wait",
    RecordState.ATTENTION: "warn",
    RecordState.OFF: "off",
    RecordState.PAUSED: "off",
}


def tone_of(view: RecordSyncView) -> str:
    return "bad" if view.has_failed else _TONES[view.state.state]


CHECK_LABEL = ACTS["check_column"].label
"""What asks Monday whether a column is back."""


def buttons_of(
    record: SyncedModel, view: RecordSyncView, user: Any, urls: Mapping[str, str], *, may_change: bool
) -> list[Button]:
    """Return what this person may do about a record in its state, what helps most first.

    `urls` are those of the record's own acts by name. Who may not change it gets none of these but the retry of a job.
    """
    match view.state.reason_code:
        case Part.CONFLICT | Part.GONE if view.conflicts:
            return _conflict_buttons(record, view, user, may_change=may_change)
        case Part.BLOCKED | Part.COLUMN:
            return list(_blocked_buttons(record, view, user, may_change=may_change))
        case Part.APPROVAL if user.has_perm("sync.view_approvalrequest"):
            return [Button("approve", "gpp_maybe", "Review the approval", approvals_url(record), is_link=True)]
        case Part.FAILED if is_allowed(user, QueueAction.RETRY):
            return [Button("retry", "replay", "Retry", urls["retry"])]
        case Part.PENDING if not view.state.is_connected and user.has_perm("sync.view_mondayaccount"):
            return [Button("connect", "link", "Connect Monday", reverse("admin:sync_wizard_connect"), is_link=True)]
        case _:
            return list(_own_buttons(record, view, urls)) if may_change else []


def _own_buttons(record: SyncedModel, view: RecordSyncView, urls: Mapping[str, str]) -> Iterator[Button]:
    """The acts of the record's own page."""
    state = view.state
    if state.reason_code is Part.FAILED:
        # A sync that succeeds ends the failed job, too.
        yield Button("retry", "replay", "Retry", urls["sync_now"])
    elif state.reason_code is Part.SYNC_OFF:
        yield Button("switch_on", "play_arrow", "Turn sync on", urls["sync_on"])
    elif state.reason_code is Part.NO_SYNC:
        hidden = {"shown": SyncDirection.NONE.value, "direction": SyncDirection.BIDIRECTIONAL.value}
        yield Button("sync_both_ways", "sync_alt", "Sync both ways", urls["direction"], hidden)
    if not record.monday_id and unlinked_item(record) is not None:
        yield Button("link_again", "link", "Link again…", urls["link_again"])
    if state.removed_item in ("archived", "deleted") and state.item_url:
        label = "Restore it on Monday"
        yield Button("restore", "restore_from_trash", label, state.item_url, is_link=True, leaves=True)
    can_create = state.removed_item not in ("", "missing") and record.sync_direction != SyncDirection.MONDAY_TO_NPD
    if can_create:
        yield Button("create_again", "add_circle", "Create the item again…", urls["create_again"])


def _conflict_buttons(record: SyncedModel, view: RecordSyncView, user: Any, *, may_change: bool) -> list[Button]:
    blocked = list(_blocked_buttons(record, view, user, may_change=may_change)) if view.is_answer_blocked else []
    if not user.has_perm("conflicts.view_syncconflict") or not view.conflict_url:
        return blocked
    what = "the conflict" if len(view.conflicts) < 2 else "the conflicts"
    label = f"{'Resolve' if may_resolve_cases(user) and not view.answered else 'View'} {what}"
    return [*blocked, Button("resolve", "call_split", label, view.conflict_url, is_link=True)]


def _blocked_buttons(record: SyncedModel, view: RecordSyncView, user: Any, *, may_change: bool) -> Iterator[Button]:
    state = view.state
    may_view_cases = user.has_perm("conflicts.view_syncconflict")
    for key in state.rejected_to_fix:
        url = rejected_value_url(record, key, state) if may_view_cases else ""
        word = _word(record, state, key)
        if may_resolve_cases(user) and url:
            yield Button("fix", "edit", f"{'Fix' if may_change else 'Decide'} {word}", url, is_link=True)
        elif may_change:
            yield Button("fix", "edit", f"Fix {word}", f"#id_{state.field_names(key)[0]}", is_link=True)
        elif url:
            yield Button("fix", "visibility", f"View rejected {word}", url, is_link=True)
    lost = [mapping for mapping in state.without_column.values() if needs_column(mapping)]
    may_map = may_change_mapping(user)
    if lost and may_map:
        # A lost column is the board's matter: its page has all that can be done about it.
        url = reverse("admin:sync_boardlink_change", args=[lost[0].link_id])
        yield Button("map_field", "view_column", "Mend the column", url, is_link=True)
    elif state.blocked_by_others and user.has_perm("sync.view_syncmetadata"):
        names = humanize.join_first([_word(record, state, key) for key in state.blocked_by_others])
        may_unblock = may_act_on(user, Kind.BLOCKED, record.entity_type())
        label = f"Unblock {names}" if may_unblock else "See why"
        yield Button("unblock", "lock_open", label, reverse("admin:index"), is_link=True)


def _word(record: SyncedModel, state: RecordView, key: str) -> str:
    """Return what the form calls a field, as it stands within a sentence."""
    names = state.field_names(key)
    if len(names) != 1:
        return state.labels.get(key, key).lower()
    return str(record._meta.get_field(names[0]).verbose_name)  # type: ignore[union-attr]


def may_change_mapping(user: Any) -> bool:
    return bool(user.has_perm("sync.change_boardlink") and user.has_perm("sync.change_fieldmapping"))


def linked(text: str, user: Any) -> SafeString | str:
    """Return a sentence on a blocked field in which the page of these is a link, for who may see that."""
    before, where, after = text.partition(WHERE_TO_UNBLOCK)
    if not where or not user.has_perm("sync.view_syncmetadata"):
        return text
    preposition, name = where.rsplit("“")
    link = format_html('<a class="npd-link" href="{}">“{}</a>', reverse("admin:index"), name)
    return format_html("{}{}{}{}", before, preposition, link, after)


def approvals_url(record: SyncedModel) -> str:
    return f"{reverse('admin:sync_approvalrequest_changelist')}?state__exact=pending&q={record.pk}"


def mark_fields(form: Any, record: SyncedModel, view: RecordSyncView, user: Any) -> None:
    """Put below each field of a form what keeps it from being in sync, where a screen reader reads it with the field.

    Also where nothing does: the mark is a live part of the page, which may be filled later.
    """
    problems = {name: one for one in view.state.fields if one.reason_code in _MARKED for name in one.names}
    mapped = {name for one in view.state.fields for name in one.names}
    own = {field.name for field in registry.own_fields(type(record))} if mapped else set()
    for name, shown in form.fields.items():
        if name in mapped:
            mark = _field_mark(record, view, name, problems.get(name), user)
        elif name in own:
            mark = format_html('<span class="npd-muted">{} </span>', "Only in NPD.")
        else:
            continue
        help_text = format_html("<span>{}</span>", shown.help_text) if shown.help_text else ""
        shown.help_text = format_html("{}{}", mark, help_text)


def _field_mark(
    record: SyncedModel, view: RecordSyncView, name: str, problem: FieldView | None, user: Any
) -> SafeString:
    if problem is None:
        return format_html('<span class="npd-mark" id="npd-mark-{}" data-live></span>', name)
    icon, text = FIELD_BADGES[problem.reason_code][1:]
    url, link = "", ""
    if problem.reason_code is FieldReason.CONFLICT:
        url, link = view.conflict_url, "Resolve"
    elif problem.reason_code is FieldReason.REJECTED:
        url, link = rejected_value_url(record, problem.key, view.state), rejection_act(user, record.entity_type())
    link = link if may_resolve_cases(user) else "View"
    may_view = user.has_perm("conflicts.view_syncconflict")
    if problem.reason_code is FieldReason.BLOCKED:
        url, link = reverse("admin:index"), "Unblock"
        may_view = user.has_perm("sync.view_syncmetadata")
        if view.state.ledger.blocked_fields.get(problem.key, {}).get("code") == BlockedCode.APPROVAL:
            text, url, link = Part.APPROVAL.label, approvals_url(record), "Review"
            may_view = user.has_perm("sync.view_approvalrequest")
    detail = linked(humanize.without_request_id(problem.detail), user)
    if isinstance(detail, SafeString):
        url = ""
    return format_html(
        '<span class="npd-mark" id="npd-mark-{}" data-live>{} <strong>{}.</strong> {} {}</span>',
        name,
        humanize.icon(icon),
        text,
        detail,
        format_html('<a class="npd-take" href="{}">{}</a>', url, link) if url and may_view else "",
    )


# The record's direction, and what else is open.


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
    """Return what the next sync would overwrite for this direction, field by field, as far as is known.

    None where the direction overwrites nothing that isn't overwritten now.
    """
    loser = _OVERWRITTEN_SIDE.get(SyncDirection(direction)) if direction in SyncDirection.values else None
    if loser is None or record.sync_direction == direction:
        return None
    differing = [
        (one.label, one.remote or "(empty)", one.local or "(empty)")
        for one in describe_one(record).fields
        if one.state not in (RecordState.SYNCED, RecordState.OFF) and one.local != one.remote
    ]
    if loser == "monday":
        return RecordTable(("Field", "On Monday, is overwritten", "In NPD"), differing, len(differing))
    rows = [(label, local, remote) for label, remote, local in differing]
    return RecordTable(("Field", "In NPD, is overwritten", "On Monday"), rows, len(rows))


def missing_item_text(record: SyncedModel) -> str:
    """Say what becomes of a record that has no item; empty for any other."""
    if record.monday_id:
        return ""
    if not record.may_sync:
        return "It has no item on Monday, and gets none while its sync is off."
    if record.is_left_out:
        return "It has no item on Monday, and gets none while the filter leaves it out."
    if record.sync_direction == SyncDirection.MONDAY_TO_NPD:
        return "It has no item on Monday, and gets none in this direction."
    link = link_of(record.entity_type())
    if link is None:
        return ""
    spec = registry.entity(record.entity_type())
    match = next((mapping.label for mapping in spec.mappings if mapping.key == link.match_key), link.match_key)
    return (
        f"It has no item on Monday yet. Its next sync links the item that has the same “{match}”, if there is one, "
        "and creates one otherwise."
    )


@dataclass(frozen=True)
class OpenItem:
    """Something about the record that waits for a person, with the page on which it is settled."""

    icon: str
    words: str
    url: str
    button: str


def open_items(record: SyncedModel, view: RecordView, user: Any) -> list[OpenItem]:
    """Return what waits for approval beside what the record is said to wait for, and what is rewritten all the time."""
    entity_type = record.entity_type()
    items = []
    if view.reason_code is not Part.APPROVAL and user.has_perm("sync.view_approvalrequest"):
        pending = ApprovalRequest.objects.filter(entity_type=entity_type, entity_id=record.pk)
        for act in pending.filter(state=ApprovalState.PENDING):
            words = f"Waits for approval: {KIND_LABELS[ApprovalKind(act.kind)]} ({act.label or record})."
            items.append(OpenItem("gpp_maybe", words, approvals_url(record), "Decide"))
    labels = {mapping.key: mapping.label for mapping in registry.entity(entity_type).mappings}
    for loop in throttled_fields().filter(entity_type=entity_type, entity_id=record.pk):
        words = throttle_reason(loop, labels.get(loop.key, loop.key))
        items.append(OpenItem("sync_problem", words, reverse("admin:index"), "See the options"))
    return items
