"""Rules that people's own resolutions suggest, and how one of them becomes a field's rule or is dismissed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import PermissionsMixin
from django.core.exceptions import PermissionDenied
from django.db import connection, transaction

from conflicts.models import MONDAY, NPD, DismissedSuggestion, SyncConflict
from conflicts.resolution import request_pass
from sync.boards.mapping import set_field_rule
from sync.choices import Rule, SyncDirection
from sync.clock import sync_now
from sync.models import FieldMapping
from sync.records.authors import log_action

# Older resolutions say little of what people want now, and two equal ones in a row may be chance.
PERIOD_DAYS = 30
STREAK = 3
RULE_OF_SIDE = {NPD: Rule.NPD_WINS, MONDAY: Rule.MONDAY_WINS}

_SQL = f"""
    SELECT entity_type, key, count(*),
        count(*) FILTER (WHERE choose = 'npd'), count(*) FILTER (WHERE choose = 'monday'),
        (array_agg(choose ORDER BY decided.at DESC))[1:{STREAK}],
        coalesce((array_agg(decided.at ORDER BY decided.at DESC))[{STREAK}]::timestamptz <= max(aside.at), false)
    FROM (
        SELECT c.entity_type, entry.key, entry.value ->> 'choose' AS choose, entry.value ->> 'chosen_at' AS at
        FROM sync_conflicts AS c, jsonb_each(c.merge_selections) AS entry
        WHERE c.resolved_at >= (SELECT sync_now()) - interval '{PERIOD_DAYS} days' AND c.kind = 'fields'
        UNION ALL
        SELECT c.entity_type, entry.key, entry.value ->> 'choose', c.resolution ->> 'at'
        FROM sync_conflicts AS c, jsonb_each(c.resolution -> 'fields') AS entry
        WHERE c.resolved_at IS NULL AND c.kind = 'fields' AND c.resolution IS NOT NULL
    ) AS decided
    LEFT JOIN sync_suggestions_dismissed AS aside USING (entity_type, key)
    WHERE choose <> 'auto'
    GROUP BY entity_type, key
"""  # noqa: S608 - literals of this module


@dataclass(frozen=True)
class FieldDecisions:
    """How people resolved a field's recent conflicts: in all, for NPD, for Monday; the last ones first.

    `is_dismissed` where somebody has dismissed the suggestion, and not all of the last ones were made after
    that.
    """

    total: int = 0
    npd: int = 0
    monday: int = 0
    latest: tuple[str, ...] = ()
    is_dismissed: bool = False

    @property
    def side(self) -> str:
        """The side that was chosen three times in a row; an empty text where none was."""
        one = self.latest[0] if len(self.latest) == STREAK and len(set(self.latest)) == 1 else ""
        return one if one in RULE_OF_SIDE else ""

    def matched(self, side: str) -> int:
        """How many of the resolutions a rule for this side would have matched."""
        return {NPD: self.npd, MONDAY: self.monday}.get(side, 0)


def all_field_decisions() -> dict[tuple[str, str], FieldDecisions]:
    """Return how people resolved conflicts in the past 30 days, by type and field; one query."""
    with connection.cursor() as cursor:
        cursor.execute(_SQL)
        return {
            (entity_type, key): FieldDecisions(total, npd, monday, tuple(last), aside)
            for entity_type, key, total, npd, monday, last, aside in cursor.fetchall()
        }


def rule_suggestions(mappings: Iterable[FieldMapping]) -> list[tuple[FieldMapping, FieldDecisions]]:
    """Return those of these fields for which their decisions suggest a rule: they sync both ways and ask; one query."""
    by_field = all_field_decisions()
    found = []
    for mapping in mappings:
        decisions = by_field.get((mapping.link.entity_type, mapping.key), FieldDecisions())
        asks = mapping.rule == Rule.ASK and mapping.direction == SyncDirection.BIDIRECTIONAL
        if asks and decisions.side and not decisions.is_dismissed:
            found.append((mapping, decisions))
    return found


def field_decisions(mapping: FieldMapping) -> FieldDecisions:
    """Return how people resolved this field's recent conflicts."""
    return all_field_decisions().get((mapping.link.entity_type, mapping.key), FieldDecisions())


def open_conflicts_on(mapping: FieldMapping) -> list[SyncConflict]:
    """Return the open conflicts about this field's values, which a rule would resolve at their next pass."""
    rows = SyncConflict.objects.filter(
        resolved_at=None, kind="fields", entity_type=mapping.link.entity_type, conflict_fields__contains=[mapping.key]
    )
    return list(rows.only("entity_id", "entity_type").order_by("entity_id"))


# Making a decision a rule, and taking that back: as the board's page does it.


CHANGE_RULE_PERMISSION = "sync.change_fieldmapping"
"""The permission that changes a field's rule, here as on the board's page."""


def set_rule(mapping_id: int, rule: str, *, expected_rule: str, by: AbstractBaseUser, why: str) -> FieldMapping:
    """Give a field this rule, and order a look at each record on which the field is in conflict.

    `expected_rule` is the rule that the person saw; `why` goes to the admin's log. Raises FieldMapping.DoesNotExist,
    or ActionError where the field can't follow the rule or somebody has changed it since.
    """
    with transaction.atomic():
        mapping = FieldMapping.objects.select_related("link").get(pk=mapping_id)
        changed = set_field_rule(mapping, rule, expected=expected_rule, by=by.get_username())
        change = f"Rule of {changed.label}: “{Rule(expected_rule).label}” became “{Rule(changed.rule).label}”."
        log_action(by, changed.link, f"{change} {why}".strip())
        # Open conflicts on this field get a pass soon: whoever set the rule expects it to count.
        request_pass(changed.link.entity_type, *(conflict.entity_id for conflict in open_conflicts_on(changed)))
    return changed


def dismiss_suggestion(mapping: FieldMapping, *, by: AbstractBaseUser) -> None:
    """Suggest no rule for this field until three later resolutions agree. Raises PermissionDenied."""
    _check_permission(by)
    DismissedSuggestion.objects.update_or_create(
        {"at": sync_now(), "by_id": by.pk}, entity_type=mapping.link.entity_type, key=mapping.key
    )
    log_action(by, mapping.link, f"The suggested rule for {mapping.label} was put aside.")


def restore_suggestion(mapping: FieldMapping, *, by: AbstractBaseUser) -> None:
    """Undo the dismissal of a suggestion. Raises PermissionDenied."""
    _check_permission(by)
    field_filter = {"entity_type": mapping.link.entity_type, "key": mapping.key}
    if DismissedSuggestion.objects.filter(**field_filter).delete()[0]:
        log_action(by, mapping.link, f"The suggested rule for {mapping.label} is no longer put aside.")


def _check_permission(by: AbstractBaseUser) -> None:
    if not isinstance(by, PermissionsMixin) or not by.has_perm(CHANGE_RULE_PERMISSION):
        raise PermissionDenied
