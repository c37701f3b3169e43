"""What the page of held fields shows: columns that can't be used, columns renamed, and values held record by record."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from django.db import connection
from django.urls import reverse

from sync import registry
from sync.admin.base import names_of, record_url
from sync.choices import SyncDirection
from sync.drift_titles import Renamed, renamed
from sync.loops_now import damped_fields
from sync.models import BoardLink, FieldMapping
from sync.refused import LIMIT, MONDAY
from sync.remapping import choices

SHOWN = 5
GROUPS = 50
# The index holds only entries with held fields. What a person has left in NPD waits for nobody.
_HELD = """
    SELECT ledger.entity_type, field.key, field.value ->> 'reason', count(*),
        (array_agg(ledger.entity_id ORDER BY ledger.id DESC))[1:%(shown)s], max(field.value ->> 'side')
    FROM sync_metadata AS ledger CROSS JOIN LATERAL jsonb_each(ledger.held) AS field
    WHERE NOT (ledger.held = '{}'::jsonb) AND ledger.system = 'monday' AND NOT jsonb_exists(field.value, 'left_by')
    GROUP BY 1, 2, 3 ORDER BY 4 DESC, 1, 2, 3 LIMIT %(groups)s
"""
Group = tuple[str, str, str, int, list[str], str | None]
"""The kind, the field's key, the reason, on how many records, some of their ids, and on which side it is stuck."""
MayView = Callable[[str], bool]
"""Whether a person may see records of a type."""


@dataclass(frozen=True)
class Record:
    """A record by its name, with its page."""

    name: str
    url: str


@dataclass(frozen=True)
class Column:
    """A mapped column that can't be used: on how many records its field is held, and which columns would do."""

    mapping: FieldMapping
    board: str
    records: int
    others: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Values:
    """A field that is held on some records for the same reason; `loops`: some of its records' is rewritten now.

    `side` is where it is stuck: what a column is known not to hold isn't sent, however often somebody asks.
    """

    mapping: FieldMapping
    board: str
    reason: str
    records: int
    shown: Sequence[Record]
    loops: bool = False
    side: str = ""

    @property
    def may_be_tried(self) -> bool:
        """Whether trying again can do anything before the value or the column changes."""
        return self.side != LIMIT

    @property
    def is_refused(self) -> bool:
        """Whether a person settles it value by value, on the list of what Monday refuses."""
        return self.side in (MONDAY, LIMIT)


@dataclass
class Trouble:
    """Everything on the page; `ids` are boards whose NPD ID column is missing."""

    columns: list[Column] = field(default_factory=list)
    ids: list[BoardLink] = field(default_factory=list)
    titles: list[tuple[BoardLink, Renamed]] = field(default_factory=list)
    values: list[Values] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.columns or self.ids or self.titles or self.values)


def trouble(may_view: MayView) -> Trouble:
    """Read it, in a number of queries that doesn't grow with the records."""
    mappings = {
        (one.link.entity_type, one.key): one
        for one in FieldMapping.objects.select_related("link").order_by("link_id", "position", "id")
    }
    groups = _groups()
    counts = {(kind, key, reason): number for kind, key, reason, number, *_rest in groups}
    found = Trouble()
    for (kind, key), mapping in mappings.items():
        if mapping.problem and mapping.direction != SyncDirection.NONE:
            number = counts.get((kind, key, mapping.problem), 0)
            found.columns.append(Column(mapping, _title(kind), number, choices(mapping)[1:]))
    for link in BoardLink.objects.order_by("pk"):
        if link.npd_id_problem:
            found.ids.append(link)
        found.titles += [(link, one) for one in renamed(link)]
    found.values = _values(groups, mappings, may_view)
    return found


def _groups() -> list[Group]:
    with connection.cursor() as cursor:
        cursor.execute(_HELD, {"shown": SHOWN, "groups": GROUPS})
        return list(cursor.fetchall())


def _values(
    groups: Sequence[Group],
    mappings: dict[tuple[str, str], FieldMapping],
    may_view: MayView,
) -> list[Values]:
    """What is held for another reason than its column's, which is told above."""
    own = [
        (mappings[kind, key], reason, number, ids, side or "")
        for kind, key, reason, number, ids, side in groups
        if (kind, key) in mappings and reason != mappings[kind, key].problem
    ]
    seen = {mapping.link.entity_type for mapping, *_rest in own}
    visible = {kind for kind in seen if may_view(kind)}
    names = names_of(
        (m.link.entity_type, UUID(one))
        for m, _r, _n, ids, _s in own
        for one in ids
        if m.link.entity_type in visible
    )
    looping = set(damped_fields().values_list("entity_type", "key").distinct()) if own else set()
    return [
        Values(
            mapping,
            _title(mapping.link.entity_type),
            reason,
            number,
            _records(mapping, ids, names),
            loops=(mapping.link.entity_type, mapping.key) in looping,
            side=side,
        )
        for mapping, reason, number, ids, side in own
    ]


def _records(mapping: FieldMapping, ids: Sequence[str], names: dict[tuple[str, UUID], str]) -> list[Record]:
    kind = mapping.link.entity_type
    return [
        Record(names[kind, UUID(one)], record_url(kind, one)) for one in ids if (kind, UUID(one)) in names
    ]


def _title(entity_type: str) -> str:
    try:
        return registry.entity(entity_type).board_title
    except registry.UnknownEntity:
        return entity_type


def held_url(part: str = "") -> str:
    """Return the address of the page, or of a part of it."""
    return f"{reverse('admin:sync_boardlink_held')}{'#' + part if part else ''}"
