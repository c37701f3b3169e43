"""Home: the state of the sync, a line for each board, and what needs attention, in the groups of `sync.attention`."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple

from django.conf import settings
from django.db import models
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.safestring import SafeString
from django.views.decorators.http import require_GET

from conflicts.reports import DELETED_RECORD
from sync import addresses, attention, permissions, registry
from sync.admin import admin_base, home_acts, items_and_approvals, queue_pages, record_panel
from sync.admin.admin_base import Button
from sync.boards import availability
from sync.choices import ApprovalKind, BlockedCode, QueueStatus
from sync.clock import readers_mark
from sync.fields import lookups
from sync.kernel import grouped, humanize
from sync.kernel.acts import ACTS, Act
from sync.limits import api_quota
from sync.limits.board_limits import BoardAvailability
from sync.models import BoardLink, FieldMapping, SyncQueue
from sync.operations import readiness, verification
from sync.operations.setup import connection
from sync.operations.setup.selection import may_set_up
from sync.outbox import pauses
from sync.outbox.wakeups import broker_problem
from sync.records import authors, item_links
from sync.state import record_view

MAX_GROUPS = 50
ROWS_ON_A_PAGE = 50

# A group with more rows is folded.
SHOWN_AT_ONCE = 5

# A first load is over this long after its set-up started, even if records are still pending.
LONGEST_FIRST_LOAD = timedelta(days=1)

# The time left is shown once so many records are finished: until then, the set-up itself took most of the time.
FINISHED_TO_FORECAST = 20

# How people bring items back, by how these were removed.
RESTORE_STEPS = {
    "archived": "On Monday, open the archive in the board's menu (⋯), select the items and restore them.",
    "deleted": "On Monday, open the recycle bin within 30 days, select the items and restore them.",
    "moved": "On Monday, select the items on the other board and move them back.",
}

# The next step of a new installation, and its button.
SETUP_STEPS = {
    "run": ("The set-up that you started is running.", "See how far it is"),
    "boards": ("Three steps are left: boards, fields, plan. Nothing is written before “Start”.", "Choose boards"),
    "connect": ("Four steps: token, boards, fields, plan. Nothing is written before “Start”.", "Connect Monday"),
}


# For longer, programs that follow changes by the API's mark read the same changes again.
MARK_STANDS_STILL = timedelta(minutes=10)

OPEN_TRANSACTION = (
    "Find it by “SELECT pid, application_name, query FROM pg_stat_activity WHERE backend_xid IS NOT NULL ORDER BY "
    "xact_start”, and end it by “SELECT pg_terminate_backend(pid)”."
)


@dataclass(frozen=True)
class StateLine:
    """The state of the sync; the banner of every page shows stops and pauses instead."""

    colour: str
    icon: str
    words: str
    detail: str = ""
    button: Button | None = None  # the next step of the set-up, or asks Monday for its limit again
    for_administrator: str = ""  # what the server needs: workers, the end of a transaction, or the right time


@lru_cache(maxsize=1)
def _mark_of_minute(minute: datetime) -> datetime:
    """Return the mark of readers, asked for once a minute, because most of Home's readers would wait for nothing."""
    return readers_mark()


def _state_line(
    request: HttpRequest, boards: Sequence[BoardLine], things: int, others: str, overview: availability.Overview
) -> StateLine:
    """Return the state; `things` is the number of groups that need this person, `others` says what needs others."""
    if not any(board.is_chosen for board in overview.displayed_boards):
        step = "boards" if connection.has_answered(overview) else "connect"
        if any(link.is_being_set_up for link in overview.links.values()):
            step = "run"
        detail, label = SETUP_STEPS[step]
        next_step = Button(label, url=reverse(f"admin:sync_wizard_{step}")) if may_set_up(request.user) else None
        # The boards that the environment names.
        types = [spec.entity_type for spec in registry.entities() if registry.configured_board_id(spec.entity_type)]
        on_server = " ".join(map(lookups.no_board_reason, types))
        numbers = {spec.entity_type: spec.model.objects.count() for spec in registry.entities()}
        counts = [registry.count_of_type(number, name) for name, number in numbers.items() if number]
        if step != "run":  # which creates records, too
            detail = f"{detail} NPD has {humanize.join_first(counts) or 'no records yet'}."
        words = "Not set up: nothing is synced yet"
        return StateLine("off", "link_off", words, detail, next_step, for_administrator=on_server)
    if standstill := _standstill(overview):
        return standstill
    if slowed := [*filter(None, map(overview.slowed_until, overview.displayed_boards))]:
        until = humanize.due_time(max(slowed), overview.now)
        used = overview.quota.used_text
        words = f"Slowed by Monday's daily limit until {until}"
        detail = f"{used} are used." if used else ""
        return StateLine("warn", "hourglass", words, detail, queue_pages.go_on_button(request, "try_again"))
    if server_problem := _server_problem(overview):
        return server_problem
    paused = ", ".join(f"{pauses.pause_label(pause.entity_type)} paused{pause.end}" for pause in overview.pauses)
    pending = sum(board.counts[record_view.RecordState.PENDING] for board in boards)
    # Else what is tried again is listed below, or is not about a record.
    retries = overview.retries if pending else ""
    if things:
        need = humanize.count_with_noun(things, "thing needs", "things need")
        number = sum(board.counts[record_view.RecordState.ATTENTION] for board in boards)
        detail = f"That holds up {humanize.count_with_noun(number, 'record')}." if number else ""
        rest = paused or retries or others
        if any(board.holds_pending for board in boards):
            # How many of the pending records wait for it isn't counted.
            detail = ""
        elif not rest:
            rest = "everything else syncs as usual"
        return StateLine("warn", "notifications", "; ".join(filter(None, (f"{need} attention", rest))), detail)
    if others:
        return StateLine("off", "group", f"Nothing to do for you; {others}")
    if pending:
        records = humanize.count_with_noun(pending, "record is", "records are")
        return StateLine("wait", "sync", f"Sync runs; {records} pending", f"{retries}." if retries else "")
    words = f"{paused}; all else is well" if paused else "All is well"
    return StateLine("ok", "check_circle", words, verification.verification_sentence(BoardLink.objects.all()))


def _server_problem(overview: availability.Overview) -> StateLine | None:
    """Return what the administrator has to mend on a server while the sync runs: an open transaction, or a clock."""
    mark = _mark_of_minute(overview.now.replace(second=0, microsecond=0))
    if overview.now - mark > MARK_STANDS_STILL:
        span = humanize.time_span((overview.now - mark).total_seconds())
        words = f"A transaction has been open for {span}: programs that read changes stand still"
        detail = "They lose nothing, but read everything since then again each time."
        return StateLine("warn", "hourglass", words, detail, for_administrator=OPEN_TRANSACTION)
    if clock := readiness.monday_clock_problem(overview.quota.monday_ahead):
        words = "A server's clock is wrong: edits may be missed until it is set"
        return StateLine("warn", "schedule", words, for_administrator=clock)
    return None


def _standstill(overview: availability.Overview) -> StateLine | None:
    """Return what stands still and, for the administrator, why; None if nothing does."""
    if not_scheduled := readiness.schedule_problem():
        return StateLine("bad", "block", "Changes may wait for ever", for_administrator=not_scheduled)
    stalled = readiness.overdue_boards(settings.READY_MAX_DUE_SECONDS, overview)
    if not stalled:
        return None
    span = humanize.time_span(max(overdue.seconds for overdue in stalled))
    titles = humanize.join_first([registry.board_title(overdue.entity_type) for overdue in stalled])
    reasons = broker_problem() or " ".join(dict.fromkeys(f"{overdue.reason}." for overdue in stalled))
    words = f"Nothing is synced: changes have waited for {span}"
    return StateLine("bad", "block", words, titles, for_administrator=reasons)


class FirstLoad(NamedTuple):
    """The progress of the first load after a set-up."""

    synced: int
    records: int
    time_left: str  # in words; empty as long as it isn't known


@dataclass(frozen=True)
class BoardLine:
    """A board's line on Home."""

    spec: registry.EntitySpec
    availability: BoardAvailability
    counts: Mapping[record_view.RecordState, int]
    blocked: Sequence[FieldMapping]  # its fields whose columns can't be used
    first_load: FirstLoad | None  # if it is going on

    @property
    def title(self) -> str:
        return self.spec.board_title

    @property
    def badge(self) -> SafeString:
        return admin_base.board_badge(self.availability, self.blocked)

    @property
    def holds_pending(self) -> bool:
        """Whether a problem of the board may hold up records that are pending."""
        link = self.availability.link
        return bool(self.blocked or (link and (link.stops or link.creates_held or link.npd_id_problem)))

    @property
    def wait(self) -> str:
        """Why changes wait although nothing is wrong."""
        return self.availability.detail if self.availability.waits_for_quota else ""

    @property
    def url(self) -> str:
        link = self.availability.link
        return reverse("admin:sync_boardlink_change", args=[link.pk]) if link else ""

    @property
    def figures(self) -> list[tuple[str, int, str]]:
        """The number of all records, then of those in each state, with the addresses of their lists."""
        return [
            ("records", sum(self.counts.values()), admin_base.records_url(self.spec)),
            *(
                (state.label.lower(), self.counts[state], admin_base.records_url(self.spec, state.value))
                for state in record_view.RecordState
            ),
        ]


def _board_lines(request: HttpRequest, overview: availability.Overview, wording: attention.Wording) -> list[BoardLine]:
    boards = [
        (registry.entity(board.entity_type), board)
        for board in overview.displayed_boards
        if permissions.may_view(request.user, registry.entity(board.entity_type).model._meta.label_lower)
    ]
    counts = record_view.state_counts(*(spec.model.objects.all() for spec, _board in boards))
    lines = []
    for (spec, board), by_state in zip(boards, counts, strict=True):
        lines.append(
            BoardLine(
                spec=spec,
                availability=board,
                counts=by_state,
                # The mappings were read for the labels already.
                blocked=[
                    mapping
                    for (entity_type, _key), mapping in wording.mappings.items()
                    if entity_type == spec.entity_type and mapping.is_blocked
                ],
                first_load=first_load(spec, board.link, by_state, overview.now),
            )
        )
    return lines


def first_load(
    spec: registry.EntitySpec, link: BoardLink | None, counts: Mapping[record_view.RecordState, int], now: datetime
) -> FirstLoad | None:
    """Return the progress of a board's first load; None if none has begun recently, or each record was synced."""
    # Until the set-up is done, the records are as on the board before.
    if link is None or not link.setup or link.is_being_set_up or not counts[record_view.RecordState.PENDING]:
        return None
    started = datetime.fromisoformat(link.setup["started"])
    if now - started > LONGEST_FIRST_LOAD:
        return None
    # Later edits, records that were added later, and those that a pass has left as they are, for a reason that their
    # pages say, are no part of the load. After a change of the board, its records were synced before it.
    is_to_come = models.Q(monday_last_synced=None) | models.Q(monday_last_synced__lt=started)
    jobs = SyncQueue.objects.filter(
        entity_type=spec.entity_type, status__in=(QueueStatus.PENDING, QueueStatus.IN_PROGRESS)
    )
    # One that just got its item has no job, and is pending until the webhooks about that are checked.
    is_to_come &= models.Q(pk__in=jobs.values("entity_id")) | ~models.Q(monday_id=None)
    to_come = spec.model.objects.filter(is_to_come, created_at__lte=started)
    pending = record_view.filter_by_state(to_come, record_view.RecordState.PENDING.value).count()
    if not pending:
        return None
    finished = spec.model.objects.filter(monday_last_synced__gte=started).count()
    records = finished + pending
    time_left = ""
    if finished >= max(FINISHED_TO_FORECAST, records / 10):
        time_left = f"about {humanize.time_span((now - started).total_seconds() / finished * pending)} left"
    return FirstLoad(finished, records, time_left)


@dataclass(frozen=True)
class Row:
    """An entry of a group, with the acts that this person may do on it."""

    entry: attention.Entry
    acts: Sequence[Act] = ()
    values_json: str = ""  # the shown values, which the form sends back
    badge: SafeString | str = ""  # the next attempt, or a request that is not done yet
    links: Sequence[Button] = ()


@dataclass(frozen=True)
class GroupBox:
    """A group of entries on Home, with its buttons."""

    group: attention.Group
    rows: Sequence[Row]
    folds: bool  # whether it can be folded
    is_open: bool
    lead: str  # what happens with its entries, and when
    buttons: Sequence[Button]  # the main one, then the menu's

    @property
    def title(self) -> str:
        """What the group is about; a job's error stands below it, or in its only row."""
        return "Failed" if self.group.kind is attention.Kind.FAILED else self.group.title

    @property
    def is_notice(self) -> bool:
        return not self.group.needs_somebody

    @property
    def only_key(self) -> str:
        """The key of a group's only entry, so that its buttons never act on another with the same cause."""
        return self.rows[0].entry.key if self.group.number == 1 and self.rows else ""

    @property
    def more_url(self) -> str:
        return rows_url(self.group.cause, 2 if self.rows else 1) if len(self.rows) < self.group.number else ""


def rows_url(cause: str, page: int) -> str:
    return reverse("npd-home-rows", query={"cause": cause, "p": page})


def _boxes(
    request: HttpRequest, shown: attention.ShownKinds, opened: Collection[str], wording: attention.Wording
) -> list[GroupBox]:
    """Return the groups, with the first rows of open ones."""
    groups = attention.groups(attention.waiting(shown), limit=MAX_GROUPS, wording=wording)
    if not groups:
        return []
    waiting = attention.waiting(shown).filter(cause__in=[group.cause for group in groups])
    first_rows = attention.oldest_of_each_cause(waiting, ROWS_ON_A_PAGE if opened else SHOWN_AT_ONCE)
    entries = attention.entries(first_rows, limit=MAX_GROUPS * ROWS_ON_A_PAGE, wording=wording)
    rows_by_cause = grouped(_rows(request, entries, wording), lambda row: row.entry.cause)
    boxes = []
    earlier_sentences: set[str] = set()
    for group in map(_with_author, groups):
        rows = rows_by_cause.get(group.cause, [])
        folds = group.number > SHOWN_AT_ONCE or not group.needs_somebody
        is_open = not folds or group.cause in opened
        act_buttons = _act_buttons(group, rows, request.user.get_username())
        sentences = humanize.sentences(_lead(request, group, has_acts=bool(act_buttons)))
        # If several groups wait for the same, each sentence is shown once; but a removal's deadline always.
        deadline = sentences[:1] if group.kind is attention.Kind.REMOVED else []
        new_sentences = [
            sentence for sentence in sentences if sentence in deadline or sentence not in earlier_sentences
        ]
        earlier_sentences.update(new_sentences)
        boxes.append(
            GroupBox(
                group=group,
                rows=rows[:ROWS_ON_A_PAGE] if is_open else [],
                folds=folds,
                is_open=is_open,
                lead=" ".join(new_sentences),
                buttons=_group_buttons(request, group, rows, act_buttons),
            )
        )
    return boxes


def _with_author(group: attention.Group) -> attention.Group:
    """Return the group with the person who deleted all its records in NPD, if it was one."""
    if (group.kind, group.code) != (attention.Kind.APPROVAL, ApprovalKind.ITEMS):
        return group
    rows = attention.waiting(kinds=[group.kind]).filter(cause=group.cause).values_list("entity_type", "entity_id")
    deletions = authors.deletion_authors((entity_type, pk) for entity_type, pk in rows if pk is not None)
    people = {author.by for author in deletions.values()}
    is_one = len(people) == 1 and len(deletions) == group.number
    return replace(group, deleted_by=people.pop() if is_one else "")


def _lead(request: HttpRequest, group: attention.Group, *, has_acts: bool) -> str:
    """Return what happens with a group's entries, and when."""
    overview = admin_base.overview_of(request)
    link = overview.links.get(group.entity_type)
    if group.kind is attention.Kind.FAILED and group.number > 1:
        return group.title
    if group.kind is attention.Kind.REMOVED and link is not None:
        steps = RESTORE_STEPS[group.code] if has_acts else ""
        return f"{record_panel.removal_sentence(group.noticed, group.code, link, overview.now)} {steps}"
    return group.sentence


def _group_buttons(
    request: HttpRequest, group: attention.Group, rows: Sequence[Row], act_buttons: Sequence[Button]
) -> list[Button]:
    """Return the group's buttons, the main one first: its acts, pages, and what people do on the board itself."""
    link = admin_base.overview_of(request).links.get(group.entity_type)
    is_solved_on_page = attention.KINDS[group.kind].is_solved_on_page
    pages = []
    if rows and rows[0].entry.url and (is_solved_on_page or not any(row.acts for row in rows)):
        pages.append(Button(group.button, url=rows[0].entry.url))
    if group.number == 1 and rows:
        pages += rows[0].links
    is_about_column = (group.kind, group.code) == (attention.Kind.BLOCKED, BlockedCode.COLUMN)
    # Another column, direction or rule may solve these.
    solved_by_mapping = is_about_column or group.kind is attention.Kind.REJECTED or group.code == BlockedCode.THROTTLED
    if link and solved_by_mapping and may_set_up(request.user):
        pages.append(Button("Change the mapping", url=reverse("admin:sync_boardlink_change", args=[link.pk])))
    if group.kind is attention.Kind.BOARD and group.code.startswith("refused_"):
        # Such as a board that is full: somebody has made room.
        pages += filter(None, [queue_pages.go_on_button(request, "try_again")])
    if link and act_buttons and is_about_column:
        pages.append(Button("Open the board", url=addresses.board_url(link), is_on_monday=True))
    if group.kind is attention.Kind.REMOVED:
        # People restore removed items on the board.
        on_monday = [record_panel.restore_button(link, group.code)] if link and act_buttons else []
        return [*on_monday, *act_buttons, *pages]
    if is_solved_on_page or not act_buttons:
        return [*pages[:1], *act_buttons, *pages[1:]]
    return [*act_buttons, *pages]


def _act_buttons(group: attention.Group, rows: Sequence[Row], username: str) -> list[Button]:
    """Return buttons for the acts that are possible on all rows of a kind that this person may act on now."""
    buttons = []
    for kind, open_rows in grouped([row for row in rows if row.acts], lambda row: row.entry.kind).items():
        number = group.items if kind is attention.Kind.UNMATCHED else group.number - group.items
        entries = [row.entry for row in open_rows]
        possible = set.intersection(*({act.code for act in row.acts} for row in open_rows))
        buttons += [
            _group_button(act.code, number, group.entity_type, entries)
            for act in attention.acts_of(kind, group.code)
            if act.code in possible and (number == 1 or act.many)
        ]
    if group.deleted_by == username:  # this person has asked for it
        return buttons
    # Else a deletion is never the first choice.
    return sorted(buttons, key=lambda button: button.deletes)


def _group_button(code: str, number: int, entity_type: str, entries: Sequence[attention.Entry]) -> Button:
    """Return an act's button for a whole group of this number; `entries` are those that the page shows."""
    act = entries[0].act(code)
    button = Button(act.button, code, key=act.key, deletes=any(entry.act(code).deletes for entry in entries))
    if number == 1:
        return button
    label = attention.filled_label(act.many.replace("{number}", "all {number}"), number, entity_type)
    if home_acts.needs_question(code, entries, is_all=True):
        label = f"{label}…"
    words = "the selected"
    # The label for several may say “all”.
    selected = act.many.format(number=words, records=words, items=words, fields=words).replace(" all ", f" {words} ")
    return replace(button, label=label, label_if_selected=f"{selected}…" if act.asks else selected)


def _rows(request: HttpRequest, entries: Sequence[attention.Entry], wording: attention.Wording) -> list[Row]:
    """Return the entries with both sides' values, their editors, and this person's acts."""
    overview = admin_base.overview_of(request)
    entries = _with_editors(home_acts.with_values(entries, wording), wording, overview.now)
    items = [entry.item_id for entry in entries if entry.kind is attention.Kind.UNMATCHED]
    item_jobs = item_links.open_jobs(items)
    jobs = SyncQueue.objects.in_bulk({entry.job for entry in entries if entry.is_being_retried})
    return [_row(request, entry, item_jobs, jobs.get(entry.job)) for entry in entries]


def _with_editors(
    entries: Sequence[attention.Entry], wording: attention.Wording, now: datetime
) -> list[attention.Entry]:
    """Return the entries; those of values in conflict say who wrote each side's, and when."""
    conflicts = [entry for entry in entries if entry.kind is attention.Kind.CONFLICT and entry.values]
    npd_edits: dict[Any, dict[str, authors.LastEdit]] = {}
    for entity_type, group in grouped(conflicts, lambda entry: entry.entity_type).items():
        names = {key: mapping.fields for (name, key), mapping in wording.mappings.items() if name == entity_type}
        fields: dict[Any, dict[str, Sequence[str]]] = {
            entry.entity_id: {value.key: names.get(value.key, ()) for value in entry.values} for entry in group
        }
        npd_edits |= authors.last_edits_of_records(registry.entity(entity_type).model, fields)
        deleted: set[Any] = {entry.entity_id for entry in group if entry.code == DELETED_RECORD}
        deletions = authors.last_deletions(entity_type, deleted)
        npd_edits |= {key: dict.fromkeys(fields[key], deletions[key]) if key in deletions else {} for key in deleted}
    edited = {}
    for entry in conflicts:
        edits = npd_edits.get(entry.entity_id, {})
        edited[entry.key] = tuple(_edited(value, edits.get(value.key), now) for value in entry.values)
    return [replace(entry, values=edited.get(entry.key, entry.values)) for entry in entries]


def _edited(value: attention.SideValues, npd_edit: authors.LastEdit | None, now: datetime) -> attention.SideValues:
    """Return the value with who wrote each side's, and when, in its headings."""
    npd_heading, monday_heading = value.headings
    if npd_edit:
        npd_heading += f" · {npd_edit.who}, {humanize.relative_time(npd_edit.at, now)}"
    if edit := value.monday_edit:
        monday_heading += f" · {edit['who']}, {humanize.relative_time(datetime.fromisoformat(edit['at']), now)}"
    return replace(value, headings=(npd_heading, monday_heading))


def _row(
    request: HttpRequest, entry: attention.Entry, item_jobs: Mapping[tuple[str, str], SyncQueue], job: SyncQueue | None
) -> Row:
    overview = admin_base.overview_of(request)
    links: list[Button] = []
    if entry.kind is attention.Kind.UNMATCHED:
        if progress := items_and_approvals.request_badge(item_jobs.get((entry.entity_type, entry.item_id))):
            return Row(entry, badge=progress)
        links += items_and_approvals.link_buttons(request.user, entry.entity_type, entry.source)
    if job is not None and job.status == QueueStatus.IN_PROGRESS:
        return Row(entry, badge=humanize.badge("wait", "sync", "In progress"))
    if entry.code == BlockedCode.THROTTLED and entry.record_url:
        links.append(Button(ACTS["turn_sync_off"].button, url=f"{entry.record_url}#npd-turn_sync_off"))
    values = {value.key: [value.npd, value.monday] for value in entry.values}
    if values and all(npd == monday for npd, monday in values.values()):
        # Somebody chose already, and the next pass closes it.
        return Row(entry, badge=humanize.badge("wait", "sync", "Saving"))
    badge: SafeString | str = ""
    if job is not None:
        badge = humanize.badge("wait", "sync", f"Next attempt {overview.next_attempt_words(job)}")
    offered = attention.offered_acts(request.user, entry)
    return Row(entry, offered, json.dumps(values) if values else "", badge, links)


def _others_sentence(request: HttpRequest) -> str:
    """Return how many more things need only other people."""
    kinds_of_others = attention.ShownKinds(admin_base.kinds_on_home(request.user).others)
    things = sum(attention.group_counts(kinds_of_others).values())
    return f"{humanize.count_with_noun(things, 'thing needs', 'things need')} somebody else" if things else ""


def dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Add Home's context to the index page, with a constant number of queries."""
    overview = admin_base.overview_of(request)
    shown = admin_base.kinds_on_home(request.user)
    wording = attention.Wording.of_boards()
    boards = _board_lines(request, overview, wording)
    boxes = _boxes(request, shown, request.GET.getlist("cause"), wording)
    counts = admin_base.counts_of(request)
    things = sum(counts[kind] for kind in shown.kinds)
    listed = sum(box.group.needs_somebody for box in boxes)
    is_loading = any(board.first_load for board in boards)
    shows_calls = not overview.no_token_reason and (is_loading or overview.quota.is_low)
    is_paused = all(board.is_paused for board in overview.displayed_boards)
    pause_button = None if is_paused else queue_pages.pause_button(request, back=reverse("admin:index"))
    sees_state = bool(boards or shown.kinds or pause_button)
    others = _others_sentence(request)
    state = _state_line(request, boards, things, others, overview) if sees_state else None
    home = {
        "home_state": state,
        "boards": boards,
        "is_set_up": any(board.availability.is_chosen for board in boards),
        "boxes": boxes,
        # The keyboard shortcuts of the rows' acts.
        "keys": {act.key for box in boxes for row in box.rows for act in row.acts},
        "unlisted": things - listed if len(boxes) == MAX_GROUPS else 0,
        "reads_only": shown.reads_only,
        # Mostly, the state line says it.
        "others": others if things and state and others not in state.words else "",
        "calls": api_quota.usage_sentence(overview.quota) if shows_calls else "",
        "pause_button": pause_button,
        "now": overview.now,
    }
    return context | home | home_acts.last_act(request)


@require_GET
def home_rows(request: HttpRequest) -> HttpResponse:
    """Render the rows of an unfolded group, and its next ones after “Show more”."""
    cause = request.GET.get("cause", "")
    text = request.GET.get("p", "")
    page = max(1, int(text[:6])) if text.isdecimal() and text.isascii() else 1
    wording = attention.Wording.of_boards()
    # PostgreSQL refuses NUL in a text.
    waiting = attention.waiting(admin_base.kinds_on_home(request.user)).filter(cause=cause.replace("\0", ""))
    # One more than is shown, to know whether there are more.
    offset = (page - 1) * ROWS_ON_A_PAGE
    entries = attention.entries(waiting, limit=ROWS_ON_A_PAGE + 1, offset=offset, wording=wording)
    context = {
        "rows": _rows(request, entries[:ROWS_ON_A_PAGE], wording),
        "more_url": rows_url(cause, page + 1) if len(entries) > ROWS_ON_A_PAGE else "",
        "oldest": waiting.aggregate(oldest=models.Min("since"))["oldest"],
        "now": admin_base.overview_of(request).now,
    }
    return render(request, "sync/home_rows.html", context)
