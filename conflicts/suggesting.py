"""Rules that people's own decisions suggest: three equal ones in a row for a field, and how often it would have fitted.

Decisions are those of everybody within 30 days: what was settled, and what was chosen and waits for its look.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from django.db import connection

from conflicts.choice import MONDAY, NPD
from conflicts.models import SyncConflict
from sync.choices import Rule, SyncDirection
from sync.models import FieldMapping

DAYS = 30
IN_A_ROW = 3
RULE_OF = {NPD: Rule.NPD_WINS, MONDAY: Rule.MONDAY_WINS}

_SQL = f"""
    SELECT entity_type, key, count(*),
        count(*) FILTER (WHERE choose = 'npd'), count(*) FILTER (WHERE choose = 'monday'),
        (array_agg(choose ORDER BY decided.at DESC))[1:{IN_A_ROW}],
        coalesce((array_agg(decided.at ORDER BY decided.at DESC))[{IN_A_ROW}]::timestamptz <= max(aside.at), false)
    FROM (
        SELECT c.entity_type, entry.key, entry.value ->> 'choose' AS choose,
            coalesce(entry.value ->> 'chosen_at', entry.value ->> 'at') AS at
        FROM sync_conflicts AS c, jsonb_each(c.merge_selections) AS entry
        WHERE c.resolved_at >= (SELECT sync_now()) - interval '{DAYS} days' AND c.kind = 'fields'
        UNION ALL
        SELECT c.entity_type, entry.key, entry.value ->> 'choose', c.choice ->> 'at'
        FROM sync_conflicts AS c, jsonb_each(c.choice -> 'fields') AS entry
        WHERE c.resolved_at IS NULL AND c.kind = 'fields' AND c.choice IS NOT NULL
    ) AS decided
    LEFT JOIN sync_suggestions_dismissed AS aside USING (entity_type, key)
    WHERE choose <> 'auto'
    GROUP BY entity_type, key
"""  # noqa: S608 - literals of this module


@dataclass(frozen=True)
class Decided:
    """How people decided a field's conflicts of late: how many in all, for NPD, for Monday; the last ones first.

    `aside` where somebody has put the suggestion aside since, and not all of the last ones were made after that.
    """

    decided: int = 0
    npd: int = 0
    monday: int = 0
    last: tuple[str, ...] = ()
    aside: bool = False

    @property
    def side(self) -> str:
        """The side that was chosen three times in a row; an empty text where none was."""
        one = self.last[0] if len(self.last) == IN_A_ROW and len(set(self.last)) == 1 else ""
        return one if one in RULE_OF else ""

    def matched(self, side: str) -> int:
        """How many of the decisions a rule for this side would have taken alike."""
        return {NPD: self.npd, MONDAY: self.monday}.get(side, 0)


@dataclass(frozen=True)
class Suggestion:
    """A rule for a field that would have matched so many of so many decisions."""

    mapping: FieldMapping
    side: str
    matched: int
    decided: int

    @property
    def rule(self) -> Rule:
        """The rule that is suggested."""
        return RULE_OF[self.side]


def decisions() -> dict[tuple[str, str], Decided]:
    """How people decided in the past 30 days, by kind of record and field; one query."""
    with connection.cursor() as cursor:
        cursor.execute(_SQL)
        return {
            (entity_type, key): Decided(total, npd, monday, tuple(last), aside)
            for entity_type, key, total, npd, monday, last, aside in cursor.fetchall()
        }


def suggestions(mappings: Iterable[FieldMapping]) -> list[Suggestion]:
    """The rules that decisions suggest for those of these fields that flow both ways and ask a person; one query."""
    known = decisions()
    found = []
    for mapping in mappings:
        decided = known.get((mapping.link.entity_type, mapping.key), Decided())
        asks = mapping.rule == Rule.ASK and mapping.direction == SyncDirection.BIDIRECTIONAL
        if asks and decided.side and not decided.aside:
            matched = decided.matched(decided.side)
            found.append(Suggestion(mapping, decided.side, matched, decided.decided))
    return found


def decided_of(mapping: FieldMapping) -> Decided:
    """How people decided this field's conflicts of late."""
    return decisions().get((mapping.link.entity_type, mapping.key), Decided())


def open_on(mapping: FieldMapping) -> list[SyncConflict]:
    """The open conflicts about this field's values, which a rule would settle at their next look."""
    rows = SyncConflict.objects.filter(
        resolved_at=None,
        kind="fields",
        entity_type=mapping.link.entity_type,
        conflict_fields__contains=[mapping.key],
    )
    return list(rows.only("entity_id", "entity_type").order_by("entity_id"))
