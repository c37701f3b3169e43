"""The rows of `sync_attention` in words: entries, and groups of entries with one cause."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.contrib.auth import get_user_model
from django.contrib.postgres.aggregates import ArrayAgg
from django.db import models
from django.db.models.fields.json import KT
from django.db.models.functions import Cast
from django.urls import reverse

from conflicts.reports import combined_text, is_long_text, side_headings
from sync import addresses, permissions, registry
from sync.attention.cause_table import DELETIONS, KINDS, OF_BOARDS, SECOND_ITEMS, Severity, acts_of, cause_of
from sync.attention.rows import IN_ORDER, KIND_PLACE, ORDER_OF_GROUPS, SEVERITY, may_do, waiting
from sync.choices import ApprovalKind, BlockedCode, UnmatchedReason
from sync.fields import field_values, lookups
from sync.kernel import humanize
from sync.kernel.acts import APPROVAL_ACTS, LEAVE_ALONE, Act
from sync.models import Attention, FieldMapping, SyncMetadata, Tombstone
from sync.models.attention import AttentionKind as Kind
from sync.models.boards_and_account import NO_COLUMN
from sync.models.records_and_items import unmatched_sentence
from sync.monday.board_items import ARCHIVED, DELETED
from sync.words.message import Message

MAX_CAUSE_LENGTH = 140

# A status says little to people, and the texts of one stop may differ only by it.
_HTTP_STATUS = re.compile(r" \(HTTP \d+\)")

# Quoted names and numbers differ from record to record, though the error is the same.
_NAMES = re.compile(r"“[^”]*”|\d+")


@dataclass(frozen=True)
class Wording:
    """The titles of causes, with the present labels of the boards' fields."""

    mappings: Mapping[tuple[str, str], FieldMapping]

    @classmethod
    def of_boards(cls) -> Wording:
        """Read the fields of all boards; one query."""
        rows = FieldMapping.objects.select_related("link")
        return cls({(row.link.entity_type, row.key): row for row in rows})

    def label(self, entity_type: str, key: str) -> str:
        mapping = self.mappings.get((entity_type, key))
        return mapping.label if mapping else key.replace("_", " ").capitalize()

    def removal_policy(self, entity_type: str) -> str:
        """Return what the board's setting does with the items of deleted records; empty without a board."""
        links = (mapping.link for (name, _key), mapping in self.mappings.items() if name == entity_type)
        link = next(links, None)
        return link.deleted_record_policy if link else ""

    def title(self, row: Attention, shared_error: str = "") -> str:
        """Return the title of a row's cause, the same for all rows with it: an error that they share, or our own."""
        kind = Kind(row.kind)
        labels = [self.label(row.entity_type, key) for key in row.field.split(",") if key]
        fields = humanize.join_first(labels)
        title = ""
        # Monday's own words, or a column's problem, which all rows of the cause have.
        if kind is Kind.FAILED:
            title = humanize.without_request_id(shared_error or _NAMES.sub("…", row.values["error"]))
        elif _is_about_column(row):
            title = row.values["reason"]
        elif kind is Kind.STOP:
            title = humanize.first_sentence(_HTTP_STATUS.sub("", row.values["reason"]))
        # Only our own titles are formatted, because Monday's words may have braces.
        if not title:
            names = {"field": fields, "record": registry.type_name(row.entity_type) if row.entity_type else ""}
            numbers = {name: f"{row.values[name]:,}" for name in ("differed", "compared") if name in row.values}
            names["label"] = humanize.within_sentence(row.values.get("details", {}).get("label", "value"))
            title = cause_of(kind, row.code).title.format(**names, **numbers)
        if kind is Kind.REMOVED and row.actor:
            # The title names Monday already.
            title = f"{title} by {row.actor.removesuffix(' on Monday')}"
        if labels and row.code in DELETIONS:
            title = f"{title}; edited since: {fields}"
        return humanize.first_sentences(title, MAX_CAUSE_LENGTH)


@dataclass(frozen=True)
class SideValues:
    """A field with the values of both sides."""

    key: str
    label: str
    npd: str | None
    monday: str | None
    headings: tuple[str, str] = ("NPD", "Monday")
    monday_edit: Mapping[str, str] | None = None  # of a conflict, if known: `who`, and `at` as a text

    @property
    def sides(self) -> list[tuple[str, str | None, list[humanize.TextPart]]]:
        """The heading, the whole value and the excerpt of each side."""
        return list(zip(self.headings, (self.npd, self.monday), humanize.excerpts(self.npd, self.monday), strict=True))


@dataclass(frozen=True)
class Entry:
    """A row of `sync_attention` in words."""

    kind: Kind
    key: str  # stays the same as long as the entry waits
    entity_type: str
    name: str
    board: str
    since: datetime | None
    title: str  # the same for its group
    url: str  # the page that solves it
    id: int = 0
    entity_id: UUID | None = None  # None for an entry about an unmatched item or a board
    item_id: str = ""
    cause: str = ""  # the key of its group, such as “blocked:contact:phone:unknown”
    code: str = ""  # tells causes of the kind apart, as in `CAUSES`
    detail: str = ""  # its own reason
    record_url: str = ""
    field: str = ""
    values: tuple[SideValues, ...] = ()
    failures: int = 0  # failed attempts of a job that is tried again
    job: int = 0  # the current job
    acts: tuple[Act, ...] = ()  # what people may do about it, the main act first
    noticed: datetime | None = None  # when a pass first found the item removed

    def act(self, code: str) -> Act:
        """Return its act with this code, in its own words."""
        return next(act for act in self.acts if act.code == code)

    @property
    def is_being_retried(self) -> bool:
        return self.failures > 0

    @property
    def icon(self) -> str:
        return cause_of(self.kind, self.code).icon or KINDS[self.kind].icon

    @property
    def source(self) -> str:
        """The key of the job, the conflict or another source in its own table, as in Attention."""
        return self.key.partition(":")[2]

    @property
    def sentence(self) -> str:
        """What waits and why, for pages that don't show it below its cause."""
        if self.kind is Kind.FAILED:
            return self.detail
        return f"{self.title_sentence} {self.own_detail}".rstrip()

    @property
    def title_sentence(self) -> str:
        return self.title if self.title.endswith("?") else f"{self.title.rstrip('.')}."

    @property
    def own_detail(self) -> str:
        """Its reason without what its title says, which is shown above it."""
        reason = self.detail.removeprefix("Monday rejected ") if self.kind is Kind.REJECTED else self.detail
        return reason.replace(self.title, "", 1).lstrip(" .").rstrip()


def offered_acts(user: Any, entry: Entry) -> list[Act]:
    """Return the acts on an entry that this person may see and do, the main act first."""
    if not permissions.may_view(user, KINDS[entry.kind].model):
        return []
    return [act for act in entry.acts if may_do(user, act, entry.kind, entry.entity_type)]


@dataclass(frozen=True)
class Group:
    """The entries of one cause."""

    kind: Kind
    cause: str  # its key
    title: str
    board: str
    number: int  # of entries
    items: int  # those of them about items without a record
    since: datetime | None  # of the oldest
    entity_type: str = ""
    code: str = ""
    records: int = 1  # more than entries if a column blocks a field of many records
    noticed: datetime | None = None  # when a pass first found one of the items removed
    removed: str = ""  # of an approval to delete records: how their items were removed
    deleted_by: str = ""  # of an approval to remove items: the one person who deleted their records; set by Home

    @property
    def severity(self) -> Severity:
        severity = cause_of(self.kind, self.code).severity
        return KINDS[self.kind].severity if severity is None else severity

    @property
    def needs_somebody(self) -> bool:
        """Whether anybody should act: not if it follows from somebody's choice."""
        return self.severity is not Severity.NOTICE

    @property
    def icon(self) -> str:
        return cause_of(self.kind, self.code).icon or KINDS[self.kind].icon

    @property
    def button(self) -> str:
        return KINDS[self.kind].button

    @property
    def sentence(self) -> str:
        """What the cause means, if its title doesn't say it."""
        # Without a number: others that were deleted at once may wait elsewhere, or be done.
        deleted = humanize.plural(self.number, "It was deleted", "They were deleted")
        if self.deleted_by:
            deleted = f"{self.deleted_by} deleted {humanize.plural(self.number, 'it', 'them')}"
        return cause_of(self.kind, self.code).sentence.format(removed=self.removed or "removed", deleted=deleted)

    @property
    def head(self) -> list[str]:
        """The number, and the board unless the number names the type of its records."""
        names_type = bool(self.count_text) and self.records > self.items
        return [text for text in (self.count_text, "" if names_type else self.board) if text]

    @property
    def count_text(self) -> str:
        """The number of records or items, such as “60 contacts”; empty for one."""
        if self.records < 2:
            return ""
        items = humanize.count_with_noun(self.items, "item") if self.items else ""
        if self.records == self.items:
            return items
        records = registry.count_of_type(self.records - self.items, self.entity_type) if self.entity_type else ""
        return " and ".join(filter(None, (records, items))) or f"{self.number:,}"


def common_type(rows: Iterable[Any]) -> str:
    """Return the one type of records that all rows are about; empty if there are several."""
    types = {row.entity_type for row in rows}
    return types.pop() if len(types) == 1 else ""


def filled_label(label: str, count: int, entity_type: str, *, number: str = "") -> str:
    """Fill the placeholders {number}, {records}, {items} and {fields} of a label."""
    return label.format(
        number=number or f"{count:,}",
        records=registry.count_of_type(count, entity_type),
        items=humanize.count_with_noun(count, "item"),
        fields=humanize.count_with_noun(count, "field"),
    )


def groups(
    rows: models.QuerySet[Attention] | None = None, *, limit: int = 50, wording: Wording | None = None
) -> list[Group]:
    """Return the groups of these rows, or of all that wait, the gravest and those of most records first.

    The number of queries doesn't grow with the rows.
    """
    rows = waiting() if rows is None else rows
    grouped = (
        rows.order_by()
        .values("cause")
        .annotate(
            size=models.Count("pk"),
            items=models.Count("pk", filter=models.Q(kind=Kind.UNMATCHED)),
            first=models.Min("pk"),
            oldest=models.Min("since"),
            errors=models.Count(KT("values__error"), distinct=True),
            removed=ArrayAgg(KT("values__removed"), filter=models.Q(kind=Kind.APPROVAL), distinct=True, default=[]),
            noticed=models.Min(Cast(KT("values__noticed"), models.IntegerField())),
            severity=models.Min(SEVERITY),
            kind_place=models.Min(KIND_PLACE),
        )
    )
    totals_of_groups = list(grouped.order_by(*ORDER_OF_GROUPS)[:limit])
    firsts = Attention.objects.in_bulk([totals["first"] for totals in totals_of_groups])
    wording = wording or Wording.of_boards()
    # An entry may have ended between the two queries.
    complete = [totals for totals in totals_of_groups if totals["first"] in firsts]
    unsorted = [_group(totals, firsts[totals["first"]], wording) for totals in complete]
    # Sorted again, because a column's single row may be about many records.
    return sorted(unsorted, key=lambda group: (group.severity, -group.records))


def _group(totals: Mapping[str, Any], first: Attention, wording: Wording) -> Group:
    """Return a group, from the totals over its rows, and the first of them."""
    kind = list(Kind)[totals["kind_place"]]
    number = totals["size"]
    shared_error = first.values["error"] if kind is Kind.FAILED and totals["errors"] == 1 else ""
    records = totals["items"] if kind in OF_BOARDS else number
    if _is_about_column(first):
        condition = {f"blocked_fields__{first.field}__code": BlockedCode.COLUMN.value}
        records = SyncMetadata.objects.of(first.entity_type).exclude(blocked_fields={}).filter(**condition).count()
    return Group(
        kind=kind,
        cause=first.cause,
        title=wording.title(first, shared_error),
        board=registry.board_title(first.entity_type) if first.entity_type else "",
        number=number,
        items=totals["items"],
        since=totals["oldest"],
        entity_type=first.entity_type,
        code=first.code,
        records=records,
        removed=" or ".join(state for state in totals["removed"] if state in (ARCHIVED, DELETED)),
        noticed=datetime.fromtimestamp(totals["noticed"], UTC) if kind is Kind.REMOVED else None,
    )


def entries(
    rows: models.QuerySet[Attention] | None = None,
    *,
    limit: int | None = 50,
    offset: int = 0,
    wording: Wording | None = None,
) -> list[Entry]:
    """Return the entries of these rows, or of all that wait, the gravest kind and the oldest first.

    The number of queries doesn't grow with the rows.
    """
    rows = waiting() if rows is None else rows
    end = None if limit is None else offset + limit
    return as_entries(list(rows.order_by(*IN_ORDER)[offset:end]), wording)


def on_records(
    entity_type: str, without_column: Mapping[UUID, Collection[str]], names: Mapping[UUID, str], wording: Wording
) -> dict[UUID, list[Entry]]:
    """Return the entries of these records, the gravest first; one query.

    `without_column` has, for each of the records, its fields whose column can't be used: all share the column's entry.
    """
    is_column = models.Q(kind=Kind.BLOCKED.value, code=BlockedCode.COLUMN.value, entity_id=None)
    rows = waiting().filter(models.Q(entity_id__in=without_column) | is_column, entity_type=entity_type)
    entries_of: dict[UUID, list[Entry]] = {}
    for row in rows.order_by(*IN_ORDER):
        entry = _entry(row, wording, names[row.entity_id] if row.entity_id else "", has_record=bool(row.entity_id))
        if entry.entity_id is not None:
            entries_of.setdefault(entry.entity_id, []).append(entry)
            continue
        for record_id, fields in without_column.items():
            if entry.field in fields:
                entries_of.setdefault(record_id, []).append(entry)
    return entries_of


def as_entries(rows: Sequence[Attention], wording: Wording | None = None) -> list[Entry]:
    """Return the entries of these rows in their order, with a few queries."""
    if not rows:
        return []
    wording = wording or Wording.of_boards()
    records = lookups.record_names((row.entity_type, row.entity_id) for row in rows)
    gone = {row.entity_id for row in rows if row.entity_id and (row.entity_type, row.entity_id) not in records}
    deleted = {}
    for tombstone in Tombstone.objects.filter(entity_id__in=gone) if gone else ():
        if deleted_name := field_values.tombstone_name(tombstone):
            deleted[tombstone.entity_id] = f"{deleted_name} (deleted)"
    people = {row.values["user"] for row in rows if row.kind == Kind.NOTIFICATION and not row.values["name"]}
    users = get_user_model().objects.in_bulk(people) if people else {}
    entries = []
    for row in rows:
        # The record's, item's, board's or person's name, else its type.
        name = ""
        if row.entity_id:
            name = records.get((row.entity_type, row.entity_id)) or deleted.get(row.entity_id, "")
            name = name or str(registry.type_name(row.entity_type)).capitalize()
        elif row.kind == Kind.NOTIFICATION:
            user = users.get(row.values["user"])
            name = row.values["name"] or (user.get_username() if user else "")
        elif row.item_id:
            name = row.values.get("name") or f"Item {row.item_id}"
        elif row.entity_type:
            name = registry.board_title(row.entity_type)
        elif row.kind == Kind.STOP:
            name = "All boards"
        entries.append(_entry(row, wording, name, has_record=(row.entity_type, row.entity_id) in records))
    return entries


def _entry(row: Attention, wording: Wording, name: str, *, has_record: bool) -> Entry:
    kind = Kind(row.kind)
    title = wording.title(row)
    fields = [key for key in row.field.split(",") if key]
    return Entry(
        id=row.pk,
        kind=kind,
        key=row.key,
        entity_type=row.entity_type,
        entity_id=row.entity_id,
        item_id=row.item_id,
        name=wording.label(row.entity_type, row.field) if _is_about_column(row) else name,
        board=registry.board_title(row.entity_type) if row.entity_type else "",
        since=row.since,
        cause=row.cause,
        code=row.code,
        title=title,
        detail=humanize.without_request_id(_detail(row, wording, title)),
        url=_url(row, has_record=has_record),
        record_url=addresses.record_url(row.entity_type, row.entity_id) if row.entity_id else "",
        field=fields[0] if len(fields) == 1 else "",
        values=tuple(
            SideValues(
                key,
                wording.label(row.entity_type, key),
                row.values["npd"].get(key),
                row.values["monday"].get(key),
                side_headings(row.code),
                row.values["editors"].get(key),
            )
            for key in (fields if "npd" in row.values else ())
        ),
        failures=row.values.get("failures", 0),
        job=row.values.get("job", 0),
        acts=_acts(row, wording),
        noticed=datetime.fromtimestamp(row.values["noticed"], UTC) if kind is Kind.REMOVED else None,
    )


# The labels of answers to “are these the same?” beside a row.
_ANSWERS = {"link": "Link", "new_item": "New item", "new_record": "New record", "leave_alone": "Leave alone"}

_SAME = "The same: leave alone"


def _acts(row: Attention, wording: Wording) -> tuple[Act, ...]:
    """Return the acts of a row's cause that are possible for it, in its words."""
    acts = acts_of(Kind(row.kind), row.code)
    if row.kind == Kind.DUPLICATE:
        # Of several answers with one act, such as two items to link with, a person chooses on the conflict's page.
        options = row.values["acts"]
        acts = [replace(act, label=_ANSWERS.get(act.code, act.label)) for act in acts if options.count(act.code) == 1]
        if row.code in SECOND_ITEMS:  # the likely answer
            acts = [replace(act, label=_SAME, key="1") if act.code == LEAVE_ALONE else act for act in acts]
    elif row.kind == Kind.REMOVED or row.code in DELETIONS:
        # The direction of the record, or the conflict, decides.
        acts = [act for act in acts if act.code in row.values["acts"]]
    elif row.kind == Kind.CONFLICT and not _can_use_both(row, wording):
        acts = [act for act in acts if act.code != "use_both"]
    elif row.kind == Kind.REJECTED and not row.item_id:
        # Monday has no value of a record without an item.
        acts = [act for act in acts if act.code != "keep_monday"]
    elif row.kind == Kind.FAILED and row.values["failures"]:
        # Only a job that has failed for good is discarded.
        acts = [act for act in acts if act.code != "discard"]
    elif row.kind == Kind.APPROVAL:
        if row.code == ApprovalKind.ITEMS:
            acts = list(APPROVAL_ACTS.get(wording.removal_policy(row.entity_type), acts))
        acts = [replace(act, label=filled_label(act.many, 1, row.entity_type)) for act in acts]
    elif row.kind == Kind.UNMATCHED:
        create = f"Create {registry.type_name(row.entity_type)}"
        acts = [replace(act, label=create) if act.code == "create_record" else act for act in acts]
    return tuple(acts)


def _can_use_both(row: Attention, wording: Wording) -> bool:
    """Whether a conflict is about long texts that can be combined."""
    for key in row.field.split(","):
        mapping = wording.mappings.get((row.entity_type, key))
        texts = [row.values[side].get(key) for side in ("npd", "monday")] if "npd" in row.values else ["", ""]
        if mapping is None or not is_long_text(mapping.converter, *texts) or not combined_text(*texts):
            return False
    return True


def _is_about_column(row: Attention) -> bool:
    return row.kind == Kind.BLOCKED and row.entity_id is None


def _detail(row: Attention, wording: Wording, title: str) -> str:
    """Return an entry's own reason."""
    values = row.values
    detail = str(values.get("reason") or values.get("what") or values.get("problem") or "")
    match row.kind:
        case Kind.STOP:
            detail = _HTTP_STATUS.sub("", detail)
        case Kind.UNMATCHED:
            detail = unmatched_sentence(UnmatchedReason(row.code), **values["details"])
        case Kind.FAILED:
            times = humanize.count_with_noun(values["failures"], "time") if values["failures"] else ""
            detail = Message("is_retried", times=times, error=values["error"]) if times else values["error"]
        case Kind.REMOVED if values["edited"]:
            npd, base, monday = (values["asked"][side] for side in ("npd", "base", "monday"))
            fields = values["edited"].split(",")
            edited = [key for key in fields if npd.get(key) != base.get(key) or monday.get(key)]
            unread = [key for key in fields if key not in edited]
            detail = f"{title}."
            for heading, keys in (("Edited since the last sync", edited), ("Can't be read on Monday", unread)):
                if keys:
                    labels = ", ".join(wording.label(row.entity_type, key) for key in keys)
                    detail += f" {heading}: {labels}."
        case Kind.APPROVAL if "label" in values:
            detail = f"{values['label']} “{values['value']}”"
        case Kind.BLOCKED if row.code == BlockedCode.THROTTLED:
            until = humanize.day_and_time(row.until) if row.until else ""
            detail = Message("is_rewritten", by=values["by"] or "somebody", until=until)
        case Kind.BLOCKED if _is_about_column(row):
            detail = detail or NO_COLUMN
    return detail


def _url(row: Attention, *, has_record: bool) -> str:
    """Return the address of the page that solves an entry; empty if no application shows it."""
    kind = Kind(row.kind)
    has_conflict = kind is Kind.REMOVED and row.values["conflict"]
    # The record's page says why its job failed, and has the button “Retry”.
    is_job_of_record = kind is Kind.FAILED and has_record
    if row.entity_id and (kind is Kind.BLOCKED or is_job_of_record or (kind is Kind.REMOVED and not has_conflict)):
        return addresses.record_url(row.entity_type, row.entity_id)
    if kind is Kind.BLOCKED:
        return f"{reverse('admin:index')}?cause={row.cause}"
    if kind is Kind.STOP:
        return reverse("admin:index")
    if kind is Kind.NOTIFICATION:
        return reverse("npd-notifications")
    model = KINDS[kind].model.replace(".", "_")
    if kind is Kind.REJECTED:
        return addresses.page_url(f"{model}_rejected_screen", *row.source.split(":"))
    page = "screen" if kind in (Kind.REMOVED, Kind.CONFLICT, Kind.DUPLICATE) else "change"
    # The page's row is the one that the values name, otherwise the row's source.
    values = row.values
    pk = values.get("job") or values.get("conflict") or values.get("board") or row.source
    return addresses.page_url(f"{model}_{page}", str(pk))
