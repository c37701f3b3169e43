"""The page of blocked fields: what can't be synced until somebody acts, and fields in an update loop; each with its
cause and a button for each option.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.db import connection
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST

from sync import registry
from sync.admin import admin_base
from sync.admin.confirmed_action import MAX_ROWS_SHOWN, Question, RecordTable, Report, posted_number, run_action
from sync.admin.record_panel import (
    CHECK_LABEL,
    DIRECTION_EFFECTS,
    blocked_fields_url,
    first_case_url,
    may_change_mapping,
    rejection_act,
    rejections_url,
)
from sync.api.request_limits import count_request, monday_throttle_reason
from sync.boards.board_columns import accept_title, renamed_columns
from sync.boards.mapping import (
    blocked_records,
    check_board,
    column_choices,
    create_column,
    needs_column,
    remap,
    retry_field,
    set_field_direction,
    set_field_rule,
)
from sync.choices import BlockedCode, QueueDirection, Rule, SyncDirection
from sync.connectors.base.errors import ConnectorError
from sync.kernel import humanize
from sync.kernel.action_errors import ActionError, Conflict
from sync.kernel.conflict_store import KIND_UNDO, current_store
from sync.merge import FieldSelection
from sync.models import BoardLink, FieldMapping, SyncMetadata
from sync.operations import attention
from sync.operations.attention import AttentionKind
from sync.records.authors import log_action
from sync.records.availability import wait_sentence
from sync.records.blocked_fields import (
    SIDE_LIMIT,
    SIDE_MONDAY,
    synced_types,
    throttled_records,
    waiting_fields_sql,
    without_where,
    write_loops,
)
from sync.registry import link_of, may_view, record_names, record_url

SHOWN = {"all": "All", "blocked": "Blocked", "throttled": "Update loops"}
"""What the page's filter lets through, and how it says so; beside them stands the page of the rejected values."""

MAX_RECORD_LINKS = 5
MAX_GROUPS = 50

# What waits is the inbox's. A field that is only blocked because it is throttled stands among the update loops.
_BLOCKED_FIELDS = """
    WITH waiting (id, entity_type, entity_id, key, entry) AS ({rejected} UNION ALL {blocked})
    SELECT entity_type, key, entry ->> 'code', count(*),
        (array_agg(entity_id ORDER BY id DESC))[1:%(shown)s], coalesce(max(entry ->> 'side'), ''),
        (array_agg(entry ->> 'reason' ORDER BY id DESC))[1], count(DISTINCT entry ->> 'reason')
    FROM waiting
    WHERE entry ->> 'side' IN ('monday', 'limit') OR NOT EXISTS (
        SELECT FROM sync_write_loops AS loop
        WHERE loop.entity_type = waiting.entity_type AND loop.entity_id::text = waiting.entity_id
            AND loop.key = waiting.key AND loop.throttled_until > sync_now())
    GROUP BY 1, 2, 3 ORDER BY 4 DESC, 1, 2, 3 LIMIT %(groups)s
"""

_ENTRY = "SELECT ledger.id, ledger.entity_type, ledger.entity_id, field.key, field.value"


@dataclass(frozen=True)
class RowAction:
    """A button of a row: a form that sends `hidden`, with a choice of `columns` where there are any; else a link.

    `is_main` highlights it: the first choice of a row, never one that takes anything away.
    """

    label: str
    url: str
    hidden: Mapping[str, str] = field(default_factory=dict)
    columns: Sequence[tuple[str, str]] = ()
    is_link: bool = False
    is_main: bool = False


@dataclass(frozen=True)
class BlockedGroup:
    """A field that is blocked for reasons of one code: on how many records, the newest few of them, and the side.

    `sentence` is the newest record's of the `sentences` that say it.
    """

    entity_type: str
    key: str
    code: str
    records: int
    ids: list[str]
    side: str
    sentence: str
    sentences: int

    @property
    def cause(self) -> str:
        """The newest record's reason, and that others say another."""
        others = self.sentences - 1
        if not others:
            return self.sentence
        return f"{self.sentence} Other records have {humanize.count_with_noun(others, 'other reason')}."


@dataclass(frozen=True)
class BlockedRow:
    """One thing that stands on the page: what it is, its cause, what it means, on which records, what can be done.

    `place` is what an address names it by.

    The first of `actions` is the one that mostly helps.
    """

    badge: SafeString
    title: str
    cause: str
    meaning: str = ""
    records: int | None = None
    place: str = ""
    examples: Sequence[tuple[str, str]] = ()
    may_pause: bool = False
    actions: Sequence[RowAction] = ()

    @property
    def count_text(self) -> str:
        """On how many records."""
        return "" if self.records is None else humanize.count_with_noun(self.records, "record")

    @property
    def has_more_records(self) -> bool:
        """Whether there are records that it doesn't name."""
        return bool(self.examples) and (self.records or 0) > len(self.examples)


class BlockedFieldRows:
    """The rows of the page, as far as this person may see them; in a number of queries that doesn't grow with them."""

    def __init__(self, request: HttpRequest, show: str) -> None:
        self.request, self.show = request, show
        self.may_map = may_change_mapping(request.user)
        rows = FieldMapping.objects.select_related("link").order_by("link_id", "position", "id")
        self.mappings = {(row.link.entity_type, row.key): row for row in rows}
        self.blocked = self._blocked_groups()
        self.loops = write_loops()
        ids = [(group.entity_type, UUID(one)) for group in self.blocked for one in group.ids]
        ids += [(loop.entity_type, loop.entity_id) for found in self.loops for loop in found.loops]
        self.types = registry.visible_types(request.user)
        self.names = record_names(one for one in ids if one[0] in self.types)

    def __iter__(self) -> Iterator[BlockedRow]:
        if self.show != "throttled":
            if self.request.user.has_perm("sync.view_boardlink"):
                yield from self._columns()
            yield from self._values()
        if self.show != "blocked":
            yield from self._update_loops()

    @staticmethod
    def _blocked_groups() -> list[BlockedGroup]:
        if not synced_types():
            return []
        parts = {"rejected": _ENTRY + waiting_fields_sql(rejected=True)}
        parts |= {"blocked": _ENTRY + waiting_fields_sql(rejected=False)}
        params: dict[str, Any] = {"shown": MAX_RECORD_LINKS, "groups": MAX_GROUPS, "types": synced_types()}
        with connection.cursor() as cursor:
            cursor.execute(_BLOCKED_FIELDS.format(**parts), params)
            return [BlockedGroup(*row) for row in cursor.fetchall()]

    def _action(
        self,
        label: str,
        name: str,
        hidden: Mapping[str, object],
        columns: Sequence[tuple[str, str]] = (),
        *,
        is_main: bool = False,
    ) -> RowAction:
        sent = {key: str(value) for key, value in {**hidden, "show": self.show}.items()}
        return RowAction(label, reverse(f"admin:sync_boardlink_blocked_{name}"), sent, columns, is_main=is_main)

    def _check(self, link: BoardLink) -> list[RowAction]:
        url = registry.board_url(registry.with_configured_board(link))
        return [
            self._action(CHECK_LABEL, "check", {"link": link.pk}, is_main=True),
            RowAction("Open the board", url, is_link=True),
        ]

    def _direction(self, mapping: FieldMapping, direction: SyncDirection, label: str, kind: str = "") -> RowAction:
        hidden = {"mapping": mapping.pk, "shown": mapping.direction, "direction": direction.value, "kind": kind}
        return self._action(label, "direction", hidden)

    def _examples(self, kind: str, ids: Sequence[UUID]) -> list[tuple[str, str]]:
        return [(self.names[kind, one], record_url(kind, one)) for one in ids if (kind, one) in self.names]

    def _columns(self) -> Iterator[BlockedRow]:
        """Columns that were renamed, are missing, or can't be used."""
        links = list(BoardLink.objects.order_by("pk"))
        for link, one in ((owner, one) for owner in links for one in renamed_columns(owner)):
            other = reverse("admin:sync_boardlink_change", args=[link.pk])
            noted = {"link": link.pk, "column": one.column_id, "title": one.now}
            actions = [
                self._action("Keep the new name", "note", noted, is_main=True),
                RowAction("Choose another column", other, is_link=True),
            ]
            yield BlockedRow(
                admin_base.badge("wait", "edit", "Renamed"),
                one.sentence,
                "Nothing is lost: its values are still synced. Keep the new name if the column still means the same.",
                actions=actions if self.may_map else (),
            )
        for link in links:
            if link.npd_id_problem:
                yield BlockedRow(
                    admin_base.badge("bad", "key_off", "NPD ID"),
                    f"The NPD ID column is missing on {registry.board_title(link.entity_type)}",
                    link.npd_id_problem,
                    actions=self._check(link) if self.may_map else (),
                )
        counts = {(group.entity_type, group.key, group.code): group.records for group in self.blocked}
        for (kind, key), mapping in self.mappings.items():
            records = counts.get((kind, key, BlockedCode.COLUMN), 0)
            is_without = not mapping.column_id and records
            if not (mapping.problem or is_without) or mapping.direction == SyncDirection.NONE:
                continue
            actions = [] if is_without else self._check(mapping.link)
            if needs_column(mapping):
                hidden = {"mapping": mapping.pk, "shown": mapping.column_id}
                actions.append(self._action("Create a new column…", "create", hidden))
            if columns := column_choices(mapping)[1:]:
                hidden = {"mapping": mapping.pk, "shown": mapping.column_id}
                actions.append(self._action("Use this column…", "column", hidden, columns))
            actions.append(self._direction(mapping, SyncDirection.NONE, "Stop syncing it…"))
            yield BlockedRow(
                admin_base.badge("warn", "view_column", "Blocked"),
                f"{mapping.label} on {registry.board_title(kind)}",
                without_where(mapping.problem) or "It has no column on the board.",
                "" if columns else "No other column of the board fits this field and is free.",
                records=records,
                place=f"{kind}-{key}",
                actions=actions if self.may_map else (),
            )

    def _values(self) -> Iterator[BlockedRow]:
        """Values that are blocked for another reason than their column's, by field and code."""
        # Empty where no application shows them.
        settle_url = rejections_url() if self.request.user.has_perm("conflicts.view_syncconflict") else ""
        for group in self.blocked:
            kind = group.entity_type
            mapping = self.mappings.get((kind, group.key))
            if mapping is None or (group.code == BlockedCode.COLUMN and not mapping.has_usable_column):
                continue
            if group.code == BlockedCode.COLUMN:
                wait = wait_sentence(group.records, [(kind, QueueDirection.TO_NPD)])
                yield BlockedRow(
                    admin_base.badge("go", "sync", "Being synced again"),
                    f"{mapping.label} on {registry.board_title(kind)}",
                    "Its column can be used again.",
                    f"These records are synced again one after another; nothing is left to do. {wait}".rstrip(),
                    group.records,
                )
                continue
            is_rejected, may_retry = group.side in (SIDE_MONDAY, SIDE_LIMIT), group.side != SIDE_LIMIT
            actions = []
            if may_retry and registry.may_act(self.request.user, "change", kind):
                hidden = {"mapping": mapping.pk, "code": group.code}
                actions.append(self._action("Retry", "again", hidden, is_main=not (is_rejected and settle_url)))
            if is_rejected and settle_url:
                # First: what Monday has rejected it rejects again.
                act = rejection_act(self.request.user, kind)
                actions.insert(0, RowAction(f"{act} value by value", settle_url, is_link=True, is_main=True))
            if is_rejected and self.may_map:
                actions.append(self._direction(mapping, SyncDirection.NONE, "Stop syncing it…"))
            yield BlockedRow(
                admin_base.badge("warn", "front_hand", "Blocked"),
                f"{mapping.label} on {registry.board_title(kind)}",
                registry.known_text(self.types, kind, without_where(group.cause)),
                "The value stays as it is on both sides. It is synced once the value or the column changes, or when "
                "you try it again."
                if may_retry
                else "The value stays as it is on both sides: the column can't hold it, so it isn't sent before the "
                "value or the column changes. Correct it, take Monday's, or leave it in NPD.",
                group.records,
                examples=self._examples(kind, [UUID(one) for one in group.ids]),
                actions=actions,
            )

    def _update_loops(self) -> Iterator[BlockedRow]:
        """Fields that somebody on Monday rewrites after each of our writes."""
        for found in self.loops:
            mapping, kind = found.mapping, found.mapping.link.entity_type
            direction = SyncDirection(mapping.direction)
            is_pulled = direction in (SyncDirection.BIDIRECTIONAL, SyncDirection.MONDAY_TO_NPD)
            actions = []
            if registry.may_act(self.request.user, "change", kind):
                again = {"mapping": mapping.pk, "kind": "throttled"}
                actions.append(self._action("I have stopped it: send again", "again", again, is_main=True))
            if self.may_map:
                if direction is SyncDirection.BIDIRECTIONAL and mapping.rule != Rule.MONDAY_WINS:
                    hidden = {"mapping": mapping.pk, "shown": mapping.rule}
                    actions.append(self._action("Monday wins…", "rule", hidden))
                to_npd = SyncDirection.MONDAY_TO_NPD
                actions.append(self._direction(mapping, to_npd, "Let Monday decide…", "throttled"))
                actions.append(self._direction(mapping, SyncDirection.NONE, "Stop syncing it…", "throttled"))
            until = humanize.day_and_time(found.until) if found.until else ""
            yield BlockedRow(
                admin_base.badge("warn", "sync_problem", "Update loop"),
                f"{mapping.label} on {registry.board_title(kind)}",
                f"After each of our writes, {found.by} writes another value on the board.",
                f"So nothing is sent to this field of these records until {until}; then it is tried once. Their other "
                f"fields are synced. {'What the board shows still updates NPD.' if is_pulled else ''}",
                found.records,
                examples=self._examples(kind, [loop.entity_id for loop in found.loops]),
                may_pause=True,
                actions=actions,
            )


def may_change_some_records(user: Any) -> bool:
    """Whether this user may change records of any type; of which, a row's own act looks."""
    return any(registry.may_act(user, "change", spec.entity_type) for spec in registry.entities())


def blocked_page(
    model_admin: Any, request: HttpRequest, rows: Sequence[BlockedRow], url: str, context: Mapping[str, Any]
) -> HttpResponse:
    """Return the page at `url` with these rows: that of blocked fields, or that of the rejected ones value by value."""
    may_see_fields = may_view(request.user, "sync.syncmetadata")
    filters = [(label, blocked_fields_url(name)) for name, label in SHOWN.items() if may_see_fields]
    may_see_cases = request.user.has_perm("conflicts.view_syncconflict")
    if may_see_cases and rejections_url():
        filters.append(("Rejected, value by value", rejections_url()))
    shared = {
        **model_admin.admin_site.each_context(request),
        "opts": model_admin.opts,
        "rows": rows,
        "filters": [(label, address, address == url) for label, address in filters],
        "next_case": first_case_url() if may_see_cases else "",
        "all_records": f"{reverse('admin:sync_syncmetadata_changelist')}?blocked=yes" if may_see_fields else "",
    }
    return TemplateResponse(request, "sync/blocked_fields.html", shared | dict(context))


# What each button does.


_DIRECTION_QUESTIONS = {
    SyncDirection.MONDAY_TO_NPD: ("Let Monday decide “{}”?", "Yes, let Monday decide"),
    SyncDirection.NONE: ("Stop syncing “{}”?", "Yes, stop syncing it"),
}


class BlockedFieldPagesMixin:
    """For the admin of board links: the page, and the addresses of its buttons."""

    admin_site: Any
    opts: Any

    def get_urls(self) -> list[URLPattern]:
        """Add them."""
        view = self.admin_site.admin_view
        actions = {
            "note": (may_change_mapping, self.accept_title),
            "check": (may_change_mapping, self.check_columns),
            "column": (may_change_mapping, self.change_column),
            "create": (may_change_mapping, self.create_column),
            "direction": (may_change_mapping, self.change_direction),
            "rule": (may_change_mapping, self.set_monday_wins),
            "again": (may_change_some_records, self.retry),
        }
        return [
            path("blocked/", view(self.blocked_fields_page), name="sync_boardlink_blocked"),
            *(
                path(f"blocked/{name}/", view(require_POST(_allowed(*act))), name=f"sync_boardlink_blocked_{name}")
                for name, act in actions.items()
            ),
            *super().get_urls(),  # type: ignore[misc]
        ]

    def blocked_fields_page(self, request: HttpRequest) -> HttpResponse:
        """Show what is blocked and why."""
        if not may_view(request.user, "sync.syncmetadata"):
            raise PermissionDenied
        show = _shown(request)
        rows = BlockedFieldRows(request, show)
        words = (
            "When a column is deleted, hidden or of another type, when Monday rejects a value, or when somebody on a "
            "board overwrites each of our writes, it is listed here with what to do. The other fields are synced."
        )
        context = {"title": "Blocked fields", "may_map": rows.may_map, "empty": ("Nothing is blocked", words)}
        return blocked_page(self, request, list(rows), blocked_fields_url(show), context)

    def _run(
        self,
        request: HttpRequest,
        run: Callable[[], Report | str],
        question: Callable[[], Question] | None = None,
        **more: Any,
    ) -> HttpResponse:
        return run_action(self, request, run, back_url=_back_url(request), question=question, **more)

    def accept_title(self, request: HttpRequest) -> HttpResponse:
        """Take note of a column's new title."""
        link = _posted(request, "link", BoardLink.objects.all())

        def run() -> str:
            found = accept_title(link, request.POST.get("column", ""), request.POST.get("title", ""))
            log_action(request.user, link, f"Took note: “{found.before}” on “{found.board}” is now “{found.now}”.")
            return f"Noted: the column is now known as “{found.now}” from now on."

        return self._run(request, run)

    def check_columns(self, request: HttpRequest) -> HttpResponse:
        """Ask Monday for the board now."""
        link = _posted(request, "link", BoardLink.objects.all())

        # A call to Monday; no transaction waits for it.
        return self._run(request, lambda: ask_for_columns(request, link), atomic=False)

    def change_column(self, request: HttpRequest) -> HttpResponse:
        """Map a field to another column, after a page that says what that means."""
        mapping = _posted(request, "mapping", FieldMapping.objects.select_related("link"))
        column, shown = request.POST.get("column", ""), request.POST.get("shown", "")
        title = dict(column_choices(mapping)).get(column)
        is_fresh = mapping.column_id == shown and title is not None and column != mapping.column_id

        def question() -> Question:
            return column_question(request, mapping, str(title), _hidden(request, mapping, column=column))

        def run() -> str:
            if not is_fresh:
                raise Conflict(
                    f"The column of “{mapping.label}” was changed meanwhile, or none was chosen. Check again."
                )
            message = remap(mapping.pk, column, by=request.user.get_username(), expected=shown)
            log_action(request.user, mapping, f"Column: from {shown or 'none'} to {title}.")
            return message

        return self._run(request, run, question, is_fresh=is_fresh, failed="Nothing was done.")

    def create_column(self, request: HttpRequest) -> HttpResponse:
        """Create a new column on the board for a field whose own can't be used, after a page that says so."""
        mapping = _posted(request, "mapping", FieldMapping.objects.select_related("link"))
        shown = request.POST.get("shown", "")

        def run() -> str:
            return create_columns(request, [(mapping, shown)])[0]

        def question() -> Question:
            return replace(creation_question(request, [mapping]), hidden=_hidden(request, mapping))

        is_fresh = mapping.column_id == shown and needs_column(mapping)
        return self._run(request, run, question, is_fresh=is_fresh, failed="Nothing was created.", atomic=False)

    def change_direction(self, request: HttpRequest) -> HttpResponse:
        """Let Monday decide a field, or leave it alone, on all records; after a page that says what that means."""
        mapping = _posted(request, "mapping", FieldMapping.objects.select_related("link"))
        shown, chosen = request.POST.get("shown", ""), request.POST.get("direction", "")
        if chosen not in _DIRECTION_QUESTIONS:
            raise Http404("This direction can't be chosen here.")
        direction = SyncDirection(chosen)

        def question() -> Question:
            title, button = _DIRECTION_QUESTIONS[direction]
            released = " Nothing is blocked on it any more." if direction is SyncDirection.NONE else ""
            undo = f"To undo it, choose “{SyncDirection(mapping.direction).label}” for the field on the board's page."
            return Question(
                title.format(mapping.label),
                [_reach_text(mapping), f"{DIRECTION_EFFECTS[direction]}{released}", undo],
                button,
                hidden=_hidden(request, mapping, direction=chosen),
            )

        def run() -> str:
            set_field_direction(mapping, direction, expected=shown, by=request.user.get_username())
            before = SyncDirection(shown).label
            because = ", because of an update loop" if request.POST.get("kind") == "throttled" else ""
            log_action(request.user, mapping, f"Direction: from “{before}” to “{direction.label}”{because}.")
            return f"“{mapping.label}” is “{direction.label}” now; it was “{before}”."

        return self._run(request, run, question, is_fresh=mapping.direction == shown)

    def set_monday_wins(self, request: HttpRequest) -> HttpResponse:
        """Give the field the rule “Monday wins”, after a page that says what that means."""
        mapping = _posted(request, "mapping", FieldMapping.objects.select_related("link"))
        shown = request.POST.get("shown", "")

        def question() -> Question:
            return Question(
                f"Let Monday win on “{mapping.label}”?",
                [
                    _reach_text(mapping),
                    "Where both sides changed it differently, Monday's value is taken; NPD's stays in history.",
                    "What only NPD changes is still sent.",
                    f"To undo it, choose “{Rule(mapping.rule).label}” on the board's page.",
                ],
                "Yes, Monday wins",
                hidden=_hidden(request, mapping),
            )

        def run() -> str:
            set_field_rule(mapping, Rule.MONDAY_WINS, expected=shown, by=request.user.get_username())
            before = Rule(shown).label
            log_action(request.user, mapping, f"Rule: from “{before}” to “Monday wins”, because of an update loop.")
            return f"“{mapping.label}”: Monday wins from now on."

        return self._run(request, run, question, is_fresh=mapping.rule == shown)

    def retry(self, request: HttpRequest) -> HttpResponse:
        """Send once more what is blocked for reasons of one code, or what is throttled, on all its records."""
        mapping = _posted(request, "mapping", FieldMapping.objects.select_related("link"))
        is_throttled = request.POST.get("kind") == "throttled"

        def run() -> str:
            ids = throttled_records(mapping) if is_throttled else blocked_records(mapping, request.POST.get("code", ""))
            done = retry_field(mapping, ids, request.user.get_username())
            records = humanize.count_with_noun(done, "record")
            after = " after an update loop" if is_throttled else ""
            log_action(request.user, mapping, f"Tried again on {records}{after}.")
            told = " Rewritten once more, it is listed here again." if is_throttled else ""
            off = humanize.count_with_noun(len(ids) - done, "other record is", "other records are")
            left = f" {off} left out: sync is off there." if len(ids) > done else ""
            wait = wait_sentence(done, [(mapping.link.entity_type, QueueDirection.TO_MONDAY)])
            when = f"will be tried again. {wait}" if wait else "is tried again now."
            return f"“{mapping.label}” of {records} {when}{told}{left}"

        return self._run(request, run, allowed=registry.may_act(request.user, "change", mapping.link.entity_type))


def column_question(
    request: HttpRequest, mapping: FieldMapping, title: str, hidden: Sequence[tuple[str, object]]
) -> Question:
    """Ask before a field gets another column."""
    return Question(
        f"Use the column “{title}” for “{mapping.label}”?",
        [_reach_text(mapping), "A side that is empty takes the other's value; two different values are asked about."],
        "Yes, use this column",
        _open_conflicts(request, [mapping]),
        hidden=hidden,
    )


def creation_question(request: HttpRequest, mappings: Sequence[FieldMapping]) -> Question:
    """Ask before columns are created for fields whose own can't be used."""
    boards = {mapping.link.entity_type: mapping for mapping in mappings}
    rows = [(one.label, registry.board_title(one.link.entity_type), without_where(one.problem)) for one in mappings]
    number = humanize.count_with_noun(len(mappings), "new column")
    title = f"Create {number}?" if len(mappings) > 1 else f"Create a new column for “{mappings[0].label}”?"
    return Question(
        title,
        [
            *(_reach_text(mapping) for mapping in boards.values()),
            *_filling_sentences(mappings),
            "What was only in the old one is lost with it: if you can, restore it on the board instead.",
            "If the board has a column of the same title that fits, that one is used.",
        ],
        f"Create {number}" if len(mappings) > 1 else "Create the column",
        [
            *_open_conflicts(request, mappings),
            *_answered_conflicts(request, mappings),
            RecordTable(("Field", "Board", "What is wrong"), rows, len(rows)),
        ],
    )


def _open_conflicts(request: HttpRequest, mappings: Sequence[FieldMapping]) -> list[RecordTable]:
    """The open conflicts on these fields: Monday's values were in the old columns, and are asked about still."""
    fields, scope = {(one.link.entity_type, one.key) for one in mappings}, attention.scope_of(request.user)
    total = attention.counts(scope)[AttentionKind.CONFLICT]
    found = attention.entries(scope, kinds=[AttentionKind.CONFLICT], limit=total) if total else []
    rows = [
        (one.name, value.label, value.npd, value.monday)
        for one in found
        for value in one.values
        if (one.entity_type, value.key) in fields
    ]
    number = humanize.count_with_noun(len(rows), "conflict is open", "conflicts are open")
    title = f"{number} here. NPD’s value goes into the new column, and you may still choose Monday’s from the old one."
    return [RecordTable(("Record", "Field", "NPD", "Monday"), rows[:MAX_ROWS_SHOWN], len(rows), title)] if rows else []


def _answered_conflicts(request: HttpRequest, mappings: Sequence[FieldMapping]) -> Iterator[RecordTable]:
    """The conflicts on these fields that are answered, and wait for a column: what was chosen is written into it."""
    labels = {(one.link.entity_type, one.key): one.label for one in mappings}
    types = registry.visible_types(request.user) if may_view(request.user, "conflicts.syncconflict") else ()
    rows: list[tuple[str, str, str]] = []
    for entity_type in {kind for kind, _ in labels}.intersection(types):
        ledgers = SyncMetadata.objects.filter(entity_type=entity_type).exclude(conflicts={})
        found = current_store().open_conflicts(entity_type, ledgers.values_list("entity_id", flat=True))
        names = record_names((entity_type, record_id) for record_id in found)
        rows += [
            (names.get((entity_type, record_id), ""), labels[entity_type, key], _chosen_text(chosen))
            for record_id, conflicts in found.items()
            for conflict in conflicts
            if conflict.kind != KIND_UNDO
            for key, chosen in conflict.resolutions.items()
            if (entity_type, key) in labels
        ]
    if rows:
        number = humanize.count_with_noun(len(rows), "conflict is answered", "conflicts are answered")
        title = f"{number} here. What was chosen goes into the new column."
        yield RecordTable(("Record", "Field", "Chosen"), rows[:MAX_ROWS_SHOWN], len(rows), title)


def _chosen_text(chosen: FieldSelection) -> str:
    texts = {"npd": chosen.npd, "monday": chosen.monday, "custom": chosen.value, "base": "The last synced value"}
    return texts.get(chosen.choose) or "(empty)"


def _filling_sentences(mappings: Sequence[FieldMapping]) -> Iterator[str]:
    kept = [one.label for one in mappings if one.direction == SyncDirection.MONDAY_TO_NPD]
    if len(kept) < len(mappings):
        yield "The new column gets what NPD holds."
    if kept:
        yield f"{', '.join(kept)}: comes from Monday only. NPD keeps its values until somebody fills the new column."


def ask_for_columns(request: HttpRequest, link: BoardLink) -> str:
    """Ask Monday whether the board's columns are back, and say what came of it. Raises ActionError."""
    if throttle_text := monday_throttle_reason(request):
        raise Conflict(f"Monday was not asked: {throttle_text}")
    log_action(request.user, link, "Asked Monday for the board's columns.")
    try:
        return check_board(link_of(link.entity_type) or link)
    except ConnectorError as error:
        raise ActionError(error.sentence) from error


def create_columns(request: HttpRequest, wanted: Sequence[tuple[FieldMapping, str]]) -> list[str]:
    """Create the columns of these fields, each for the column that was shown; return a sentence for each.

    Raises ActionError, also for what Monday answers: what was created before stays.
    """
    done = []
    for mapping, shown in wanted:
        if throttle_text := monday_throttle_reason(request):
            raise Conflict(f"Monday was not asked: {throttle_text}")
        # Of two people at once one asks: until Monday has answered, the other can't know of the column.
        asked = count_request("new-column", f"{mapping.pk}:{mapping.version}", 1, settings.MONDAY_TIMEOUT_SECONDS)
        if asked.is_used_up:
            raise Conflict(
                f"Monday was asked for a new column for “{mapping.label}” just now, and no second one was. "
                f"See what came of it; try again in {humanize.time_span(asked.reset)}."
            )
        log_action(request.user, mapping, f"Asked for a new column in place of {shown or 'none'}.")
        try:
            done.append(create_column(mapping, by=request.user.get_username(), expected=shown))
        except ConnectorError as error:
            raise ActionError(error.sentence) from error
    return done


def _posted(request: HttpRequest, name: str, rows: QuerySet[Any]) -> Any:
    """Return the row that a form names; raises Http404."""
    key = posted_number(request.POST.get(name, ""))
    found = None if key is None else rows.filter(pk=key).first()
    if found is None:
        raise Http404(f"There is no such {rows.model._meta.verbose_name} any more.")
    return found


def _shown(request: HttpRequest) -> str:
    show = request.POST.get("show") or request.GET.get("show", "")
    return show if show in SHOWN else "all"


def _back_url(request: HttpRequest) -> str:
    """The page on which the button was pressed: a record's, or that of blocked fields."""
    entity_type, _, key = request.POST.get("record", "").partition(":")
    return (key and record_url(entity_type, key)) or blocked_fields_url(_shown(request))


def _hidden(request: HttpRequest, mapping: FieldMapping, **more: str) -> list[tuple[str, object]]:
    sent = {name: request.POST.get(name, "") for name in ("shown", "kind", "record")}
    kept = {"mapping": mapping.pk, **sent, "show": _shown(request), **more}
    return [(name, value) for name, value in kept.items() if value != ""]


def _reach_text(mapping: FieldMapping) -> str:
    """Say for how many records a change of a field's mapping counts."""
    spec = registry.entity(mapping.link.entity_type)
    number = spec.model._default_manager.exclude(monday_id=None).count()
    has = humanize.plural(number, "has", "have")
    return f"It counts for all records on “{spec.board_title}”; {number:,} {has} an item."


def _allowed(
    may: Callable[[Any], bool], act: Callable[[HttpRequest], HttpResponse]
) -> Callable[[HttpRequest], HttpResponse]:
    def view(request: HttpRequest) -> HttpResponse:
        # Before the row is looked up: who may not act isn't told whether there is one.
        if not may(request.user):
            raise PermissionDenied
        return act(request)

    return view
