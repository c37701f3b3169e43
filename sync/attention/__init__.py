"""What waits for a person: rows in one place (`sync_attention`), and the one table of causes.

`sources` defines for each kind what waits, and keeps the rows by triggers: who changes a job, a conflict, a sync state
or a stop changes the rows in the same transaction, and nobody has to call anything. `cause_table` says what each kind
and code is called, how grave it is and who may do what. Here are the groups by cause, a page of a group, and counts,
for a person (`scope_of`). Home, record page, badge, API, notifications and metrics read those.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.contrib.auth import get_user_model
from django.contrib.postgres.aggregates import ArrayAgg
from django.db import models
from django.db.models.fields.json import KT
from django.db.models.functions import Cast, RowNumber
from django.urls import reverse

from conflicts.reports import DELETIONS
from sync import registry
from sync.attention.cause_table import CAUSES, KINDS, OF_BOARDS, Cause, Severity, acts_of, cause_of, severity_of
from sync.choices import BlockedCode
from sync.clock import SyncNow
from sync.kernel import humanize
from sync.kernel.messages import Act, UnmatchedReason, unmatched_sentence
from sync.models import Attention, FieldMapping, SyncMetadata, Tombstone
from sync.models.attention import AttentionKind as Kind
from sync.monday.board_items import ARCHIVED, DELETED

__all__ = [
    "CAUSES", "EVERYTHING", "KINDS", "OF_BOARDS", "ORDER", "Cause", "Entry", "Group", "Kind",
    "Scope", "Severity", "SideValues", "Tally", "Wording", "acts_of", "as_entries", "cause_of", "counts", "entries",
    "groups", "keys", "may_act_on", "may_do", "on_records", "scope_of", "seen_by", "severity_of", "tallies", "waiting",
]  # fmt: skip

MAX_CAUSE_LENGTH = 140

# Characters of a value of which nobody says where it differs.
MAX_SHOWN_VALUE = 120

NO_COLUMN = "It has no column on the board. Choose or create one on the board's page."

# The gravest kind first.
ORDER = models.Case(
    *(models.When(kind=kind.value, then=models.Value(place)) for place, kind in enumerate(Kind)),
    output_field=models.IntegerField(),
)

_SEVERITY = models.Case(
    *(
        models.When(kind=kind.value, code=code, then=models.Value(int(cause.severity)))
        for (kind, code), cause in CAUSES.items()
        if cause.severity is not None
    ),
    *(models.When(kind=kind.value, then=models.Value(int(facts.severity))) for kind, facts in KINDS.items()),
    output_field=models.IntegerField(),
)


# Who sees and does what.


@dataclass(frozen=True)
class Scope:
    """What a person is shown: these kinds."""

    kinds: frozenset[Kind]
    reads_only: bool = False  # this person may act on none of it
    others: frozenset[Kind] = frozenset()  # kinds that they may see, and others act on


# The scope of code that speaks to nobody.
EVERYTHING = Scope(frozenset(Kind))


def scope_of(user: Any, among: Collection[Kind] = tuple(Kind)) -> Scope:
    """Return what this person may see and act on, among these kinds; of who may act on nothing, all that they may see.

    Nothing is asked of the database but their permissions, once.
    """
    visible = frozenset(kind for kind in among if registry.may_view(user, KINDS[kind].seen_with))
    types = [spec.entity_type for spec in registry.entities()]
    own = frozenset(kind for kind in visible if any(may_act_on(user, kind, entity_type) for entity_type in types))
    kinds = own or visible
    return Scope(kinds, reads_only=not own, others=visible - kinds)


def may_act_on(user: Any, kind: Kind, entity_type: str) -> bool:
    """Whether this person may do something about a thing."""
    facts = KINDS[kind]
    if user.has_perm(facts.acted_on_with):
        return True
    return any(registry.may_act(user, act, entity_type) for act in facts.record_rights)


def may_do(user: Any, act: Act, entity_type: str) -> bool:
    """Whether this person may do an act about a record of this type, or an item of its board."""
    has_right = not act.right or user.has_perm(act.right)
    return bool(has_right and (not act.record_right or registry.may_act(user, act.record_right, entity_type)))


# What is read.


@dataclass(frozen=True)
class SideValues:
    """A field with what each side has; of long values `excerpts` has what differs, in pieces that may be marked."""

    key: str
    label: str
    npd: str | None
    monday: str | None
    excerpts: Sequence[Sequence[tuple[str, bool]]] = ()
    names: tuple[str, str] = ("NPD", "Monday")  # what each of the two is, where both sides have one value

    @property
    def sides(self) -> list[tuple[str, str | None, Sequence[tuple[str, bool]]]]:
        """What a row shows: the side, the whole value, and the pieces of its excerpt."""
        wholes = (self.npd, self.monday)
        shortened = [[(humanize.shorten(whole, MAX_SHOWN_VALUE), False)] if whole else [] for whole in wholes]
        return list(zip(self.names, wholes, self.excerpts or shortened, strict=True))


@dataclass(frozen=True)
class Entry:
    """One thing that waits."""

    id: int
    kind: Kind
    key: str  # stays the same while the same thing is wrong
    entity_type: str
    entity_id: UUID | None  # None for an item that no record has, and for what concerns a board
    item_id: str
    name: str
    board: str
    since: datetime | None
    cause: str  # the key of its group
    cause_code: str
    cause_text: str  # the title of its group
    detail: str  # its own reason
    url: str  # the page on which it is dealt with
    record_url: str
    field: str = ""
    values: tuple[SideValues, ...] = ()
    failures: int = 0  # how many attempts of a job that is tried again came to nothing
    job: int = 0  # the job that is current
    acts: tuple[str, ...] = ()  # what can be done with a deletion, or with a record whose item was removed
    noticed: datetime | None = None  # when a pass first found its item removed

    @property
    def is_being_retried(self) -> bool:
        return self.failures > 0

    @property
    def icon(self) -> str:
        return cause_of(self.kind, self.cause_code).icon or KINDS[self.kind].icon

    @property
    def row_id(self) -> str:
        """What the kind's own table calls it: the key without its kind."""
        return self.key.partition(":")[2]

    @property
    def sentence(self) -> str:
        """What waits and why, where nothing above it says so."""
        if self.kind is Kind.FAILED:
            return self.detail if self.is_being_retried else f"Failed: {self.detail}"
        return f"{self.cause_text.rstrip('.')}. {self.own_detail}".rstrip()

    @property
    def own_detail(self) -> str:
        """Its reason without what its cause says above it already."""
        return self.detail.replace(self.cause_text, "", 1).lstrip(" .").rstrip()


@dataclass(frozen=True)
class Group:
    """What waits for one cause: how many things, of how many records, and since when the first."""

    kind: Kind
    cause: str
    text: str
    board: str
    number: int
    since: datetime | None
    entity_type: str = ""
    code: str = ""
    entity_id: UUID | None = None  # the record of a single one
    records: int = 1
    noticed: datetime | None = None  # when a pass first found one of removed items to be so
    removed: str = ""  # what was done with the items of records whose deletion waits

    @property
    def severity(self) -> Severity:
        return severity_of(self.kind, self.code)

    @property
    def icon(self) -> str:
        return cause_of(self.kind, self.code).icon or KINDS[self.kind].icon

    @property
    def button(self) -> str:
        return KINDS[self.kind].button

    @property
    def sentence(self) -> str:
        """What it means, where its title doesn't say it."""
        return cause_of(self.kind, self.code).sentence.replace("{removed}", self.removed or "removed")

    @property
    def count_text(self) -> str:
        """How many they are about, as “60 contacts”; empty of one alone."""
        if self.records < 2:
            return ""
        if self.kind is Kind.UNMATCHED:
            return humanize.count_with_noun(self.number, "item")
        return registry.count_of_type(self.records, self.entity_type) if self.entity_type else f"{self.number:,}"


@dataclass(frozen=True)
class Tally:
    """How much of a kind waits: by causes, which is what there is to do, and each thing by itself."""

    causes: int = 0
    entries: int = 0


def waiting(scope: Scope = EVERYTHING, kinds: Iterable[Kind] | None = None) -> models.QuerySet[Attention]:
    """Return the rows of these kinds that a scope has; what ended by its own time is none of them."""
    wanted = scope.kinds if kinds is None else scope.kinds & set(kinds)
    rows = Attention.objects.filter(models.Q(until=None) | models.Q(until__gt=SyncNow()))
    if wanted == EVERYTHING.kinds:
        return rows
    return rows.filter(kind__in=[kind.value for kind in wanted])


def seen_by(user: Any) -> models.QuerySet[Attention]:
    """Return the rows that a person may see, also those on which others act."""
    scope = scope_of(user)
    return waiting(Scope(scope.kinds | scope.others))


def tallies(scope: Scope = EVERYTHING) -> dict[Kind, Tally]:
    """Return how many causes and things of each kind there are, none of kinds that the scope leaves out; one query."""
    rows = (
        waiting(scope).order_by().values_list("kind").annotate(models.Count("cause", distinct=True), models.Count("pk"))
    )
    counted = {kind: Tally(causes, entries) for kind, causes, entries in rows}
    return {kind: counted.get(kind.value, Tally()) for kind in Kind}


def counts(scope: Scope = EVERYTHING) -> dict[Kind, int]:
    """Return how many things of each kind there are, zeros for kinds that the scope leaves out; one query."""
    return {kind: tally.entries for kind, tally in tallies(scope).items()}


def keys(*, kinds: Iterable[Kind], limit: int) -> list[str]:
    """Return the keys of things in their order; one query."""
    rows = waiting(kinds=kinds).order_by(ORDER, "since", "source").values_list("kind", "source")
    return [f"{kind}:{source}" for kind, source in rows[:limit]]


def _with_keys(rows: models.QuerySet[Attention], keys: Collection[str]) -> models.QuerySet[Attention]:
    """Those with these keys, which may come from outside."""
    sources: dict[str, list[str]] = {}
    for key in keys:
        kind, _, source = key.partition(":")
        sources.setdefault(kind, []).append(source)
    wanted = models.Q(pk__in=[])
    for kind, named in sources.items():
        wanted |= models.Q(kind=kind, source__in=named)
    return rows.filter(wanted)


def groups(
    scope: Scope = EVERYTHING,
    *,
    kinds: Iterable[Kind] | None = None,
    of_causes: Sequence[str] = (),
    limit: int = 50,
    wording: Wording | None = None,
) -> list[Group]:
    """Return the groups, the gravest and those of most records first, in a number of queries that doesn't grow.

    `of_causes` leaves only those.
    """
    rows = waiting(scope, kinds)
    if of_causes:
        rows = rows.filter(cause__in=of_causes)
    grouped = (
        rows.order_by()
        .values("kind", "cause")
        .annotate(
            number=models.Count("pk"),
            first=models.Min("pk"),
            oldest=models.Min("since"),
            sentences=models.Count(KT("values__error"), distinct=True),
            removed=ArrayAgg(KT("values__removed"), filter=models.Q(kind=Kind.APPROVAL), distinct=True, default=[]),
            noticed=models.Min(Cast(KT("values__noticed"), models.IntegerField())),
            place=_SEVERITY,
            kind_place=ORDER,
        )
    )
    group_rows = list(grouped.order_by("place", "-number", "kind_place", "oldest", "cause")[:limit])
    firsts = Attention.objects.in_bulk([row["first"] for row in group_rows])
    wording = wording or Wording.of_boards()
    built = [_group(row, firsts[row["first"]], wording) for row in group_rows if row["first"] in firsts]
    # A row of a board is of as many records as it keeps waiting.
    return sorted(built, key=lambda group: (group.severity, -group.records))


def _group(row: Mapping[str, Any], first: Attention, wording: Wording) -> Group:
    kind = Kind(first.kind)
    number = row["number"]
    # Where all say the same, nothing has to be left out of it.
    is_told_whole = kind is Kind.FAILED and row["sentences"] == 1
    records = number
    if _is_column(first):
        entry = {f"blocked_fields__{first.field}__code": BlockedCode.COLUMN.value}
        records = SyncMetadata.objects.of(first.entity_type).exclude(blocked_fields={}).filter(**entry).count()
    return Group(
        kind=kind,
        cause=first.cause,
        text=wording.cause(first, first.values["error"] if is_told_whole else ""),
        board=registry.board_title(first.entity_type) if first.entity_type else "",
        number=number,
        since=row["oldest"],
        entity_type=first.entity_type,
        code=first.code,
        entity_id=first.entity_id if number == 1 else None,
        records=records,
        removed=" or ".join(state for state in row["removed"] if state in (ARCHIVED, DELETED)),
        noticed=datetime.fromtimestamp(row["noticed"], UTC) if kind is Kind.REMOVED else None,
    )


def entries(  # noqa: PLR0913 - filters, all optional
    scope: Scope = EVERYTHING,
    *,
    kinds: Iterable[Kind] | None = None,
    of_causes: Sequence[str] = (),
    keys: Sequence[str] = (),
    first_of_each: int = 0,
    limit: int | None = 50,
    offset: int = 0,
    wording: Wording | None = None,
) -> list[Entry]:
    """Return things, the gravest kind and the oldest first, in a number of queries that doesn't grow with them.

    `of_causes` and `keys` leave only those; `first_of_each` no more than so many of one cause.
    """
    rows = waiting(scope, kinds)
    if of_causes:
        rows = rows.filter(cause__in=of_causes)
    if keys:
        rows = _with_keys(rows, keys)
    if first_of_each:
        place = models.Window(
            RowNumber(), partition_by=models.F("cause"), order_by=[models.F("since"), models.F("source")]
        )
        rows = rows.annotate(place=place).filter(place__lte=first_of_each)
    end = None if limit is None else offset + limit
    return as_entries(list(rows.order_by(ORDER, "since", "source")[offset:end]), wording)


def on_records(
    entity_type: str, columns: Mapping[UUID, Collection[str]], names: Mapping[UUID, str], wording: Wording
) -> dict[UUID, list[Entry]]:
    """Return why each of these records waits, the gravest first; one query.

    `columns` has the fields of each that wait for their column: one that can't be used is one thing of the board.
    """
    is_column = models.Q(kind=Kind.BLOCKED.value, code=BlockedCode.COLUMN.value, entity_id=None)
    rows = waiting().filter(models.Q(entity_id__in=columns) | is_column, entity_type=entity_type)
    entries: dict[UUID, list[Entry]] = {}
    for row in rows.order_by(ORDER, "since", "source"):
        entry = _entry(row, wording, names[row.entity_id] if row.entity_id else "")
        if entry.entity_id is not None:
            entries.setdefault(entry.entity_id, []).append(entry)
            continue
        for record_id, fields in columns.items():
            if entry.field in fields:
                entries.setdefault(record_id, []).append(entry)
    return entries


def as_entries(rows: Sequence[Attention], wording: Wording | None = None) -> list[Entry]:
    """Return rows as a person reads them."""
    if not rows:
        return []
    wording = wording or Wording.of_boards()
    names = _names(rows)
    return [_entry(row, wording, names[row.pk]) for row in rows]


def _entry(row: Attention, wording: Wording, name: str) -> Entry:
    kind = Kind(row.kind)
    cause_text = wording.cause(row)
    is_job = kind is Kind.FAILED
    fields = [key for key in row.field.split(",") if key]
    return Entry(
        id=row.pk,
        kind=kind,
        key=row.key,
        entity_type=row.entity_type,
        entity_id=row.entity_id,
        item_id=row.item_id,
        name=wording.label(row.entity_type, row.field) if _is_column(row) else name,
        board=registry.board_title(row.entity_type) if row.entity_type else "",
        since=row.since,
        cause=row.cause,
        cause_code=row.code,
        cause_text=cause_text,
        detail=humanize.without_request_id(_detail(row, wording, cause_text)),
        url=_url(row),
        record_url=registry.record_url(row.entity_type, row.entity_id) if row.entity_id else "",
        field=fields[0] if len(fields) == 1 else "",
        values=tuple(
            SideValues(
                key, wording.label(row.entity_type, key), row.values["npd"].get(key), row.values["monday"].get(key)
            )
            for key in (fields if "npd" in row.values else ())
        ),
        failures=row.values["failures"] if is_job else 0,
        job=row.values["job"] if is_job else 0,
        acts=tuple(act for act in row.values.get("acts", ()) if act),
        noticed=datetime.fromtimestamp(row.values["noticed"], UTC) if kind is Kind.REMOVED else None,
    )


def _is_column(row: Attention) -> bool:
    return row.kind == Kind.BLOCKED and row.entity_id is None


def _detail(row: Attention, wording: Wording, cause_text: str) -> str:
    """A thing's own reason."""
    values = row.values
    detail = str(values.get("reason") or values.get("what") or values.get("problem") or "")
    match row.kind:
        case Kind.UNMATCHED:
            detail = unmatched_sentence(UnmatchedReason(row.code), **values["details"])
        case Kind.FAILED:
            times = humanize.count_with_noun(values["failures"], "time") if values["failures"] else ""
            detail = f"Retrying; failed {times}. {values['error']}" if times else values["error"]
        case Kind.REMOVED if values["edited"]:
            edited = _edits_sentence(wording, row.entity_type, values["edited"].split(","), values["asked"])
            detail = f"{cause_text}. {edited}"
        case Kind.APPROVAL if "label" in values:
            detail = f"{values['label']} “{values['value']}”"
        case Kind.BLOCKED if row.code == BlockedCode.THROTTLED:
            until = f", so nothing is sent to it until {humanize.day_and_time(row.until)}" if row.until else ""
            detail = f"Rewritten on the board by {values['by'] or 'somebody'}{until}."
        case Kind.BLOCKED if _is_column(row):
            detail = detail or NO_COLUMN
    return detail


def _edits_sentence(wording: Wording, entity_type: str, fields: Sequence[str], values: Mapping[str, Any]) -> str:
    """What of a record whose item is gone was edited since both sides agreed, and of what that can't be told."""
    npd, base, monday = (values[side] for side in ("npd", "base", "monday"))
    edited = [key for key in fields if npd.get(key) != base.get(key) or monday.get(key)]
    unread = [key for key in fields if key not in edited]
    named = (("Edited since the last sync", edited), ("Can't be read on Monday", unread))
    labels = ((heading, ", ".join(wording.label(entity_type, key) for key in keys)) for heading, keys in named)
    return " ".join(f"{heading}: {text}." for heading, text in labels if text)


def _names(rows: Sequence[Attention]) -> dict[int, str]:
    """What each record, item, board or person is called; without a name, its type."""
    records = registry.record_names((row.entity_type, row.entity_id) for row in rows)
    gone = {row.entity_id for row in rows if row.entity_id and (row.entity_type, row.entity_id) not in records}
    deleted = {stone.entity_id: stone for stone in Tombstone.objects.filter(entity_id__in=gone)} if gone else {}
    people = {row.values["user"] for row in rows if row.kind == Kind.NOTIFICATION and not row.values["name"]}
    users = get_user_model().objects.in_bulk(people) if people else {}
    names = {}
    for row in rows:
        name = ""
        if row.entity_id:
            name = records.get((row.entity_type, row.entity_id), "")
            if not name and row.entity_id in deleted:
                name = _deleted_name(deleted[row.entity_id])
            name = name or str(registry.type_name(row.entity_type)).capitalize()
        elif row.kind == Kind.NOTIFICATION:
            user = users.get(row.values["user"])
            name = row.values["name"] or (user.get_username() if user else "")
        elif row.item_id:
            name = row.values.get("name") or f"Item {row.item_id}"
        elif row.entity_type:
            name = registry.board_title(row.entity_type)
        names[row.pk] = name
    return names


def _deleted_name(stone: Tombstone) -> str:
    """What a deleted record was called."""
    if not registry.is_registered(stone.entity_type):
        return ""
    field = registry.entity(stone.entity_type).name_field
    name = str(stone.data.get(field) or "") if field else ""
    return f"{name} (deleted)" if name else ""


def _url(row: Attention) -> str:
    """The page on which a thing is dealt with; empty where no application shows it."""
    kind = Kind(row.kind)
    is_asked = kind is Kind.REMOVED and row.values["conflict"]
    if row.entity_id and (kind is Kind.BLOCKED or (kind is Kind.REMOVED and not is_asked)):
        return registry.record_url(row.entity_type, row.entity_id)
    if kind in (Kind.BLOCKED, Kind.APPROVAL):
        return f"{reverse('admin:index')}?cause={row.cause}"
    name = _PAGES[kind]
    if name.startswith(":"):
        return reverse(name.removeprefix(":"))
    if kind is Kind.REJECTED:
        return registry.page_url(name, *row.source.split(":"))
    keys = (row.values.get(name) for name in ("job", "conflict", "board"))
    return registry.page_url(name, str(next(filter(None, keys), row.source)))


# The page of the row's own table, or, behind a colon, another one.
_PAGES = {
    Kind.STOP: ":admin:index",
    Kind.DIFFERENCE: "sync_boardlink_change",
    Kind.FAILED: "sync_syncqueue_change",
    Kind.NOTIFICATION: ":npd-notifications",
    Kind.REMOVED: "conflicts_syncconflict_screen",
    Kind.CONFLICT: "conflicts_syncconflict_screen",
    Kind.DUPLICATE: "conflicts_syncconflict_screen",
    Kind.REJECTED: "conflicts_syncconflict_rejected_screen",
    Kind.BOARD: ":admin:index",
    Kind.UNMATCHED: "sync_unmatcheditem_change",
}


# Words, with the fields' labels as the boards have them now.


@dataclass(frozen=True)
class Wording:
    """Fills in the table of causes."""

    mappings: Mapping[tuple[str, str], FieldMapping]

    @classmethod
    def of_boards(cls) -> Wording:
        """Read the fields of all boards, which are few; one query."""
        rows = FieldMapping.objects.select_related("link")
        return cls({(row.link.entity_type, row.key): row for row in rows})

    def label(self, entity_type: str, key: str) -> str:
        mapping = self.mappings.get((entity_type, key))
        return mapping.label if mapping else key.replace("_", " ").capitalize()

    def cause(self, row: Attention, whole: str = "") -> str:
        """Say a row's cause in a few words, the same for all that have it.

        `whole` is what all of them say, word for word.
        """
        kind = Kind(row.kind)
        labels = [self.label(row.entity_type, key) for key in row.field.split(",") if key]
        fields = humanize.join_first(labels)
        # What others wrote may hold braces of its own.
        title = whole or self._own_words(row)
        if not title:
            names = {"field": fields, "record": registry.type_name(row.entity_type) if row.entity_type else ""}
            numbers = {name: f"{row.values[name]:,}" for name in ("differed", "compared") if name in row.values}
            title = cause_of(kind, row.code).title.format(**names, **numbers)
        if kind is Kind.REMOVED and row.actor:
            # That it was on Monday is said anyway.
            title = f"{title} by {row.actor.removesuffix(' on Monday')}"
        if labels and row.code in DELETIONS:
            title = f"{title}; edited since the last sync: {fields}"
        return humanize.first_sentences(title, MAX_CAUSE_LENGTH)

    @staticmethod
    def _own_words(row: Attention) -> str:
        """What the source itself says of all with this cause: Monday's words, or what is wrong with a column."""
        if row.kind == Kind.FAILED:
            return str(row.values["common"])
        return str(row.values["reason"]) if _is_column(row) or row.kind == Kind.STOP else ""
