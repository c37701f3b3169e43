"""Rules that people's own resolutions suggest, and the page on which one becomes a field's rule or ceases to be one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.humanize.templatetags.humanize import intcomma
from django.core.exceptions import PermissionDenied
from django.db import connection, transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from conflicts.models import MONDAY, NPD, BatchEntry, DismissedSuggestion, SyncConflict
from conflicts.resolution import request_pass
from sync.admin.admin_base import see_other
from sync.boards.mapping import set_field_rule
from sync.choices import Rule, SyncDirection
from sync.clock import sync_now
from sync.kernel.humanize import count_with_noun
from sync.kernel.messages import ActionError
from sync.models import FieldMapping
from sync.records.authors import log_action
from sync.registry import type_name

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
        SELECT entity_type, key, choose, max(chosen.at) AS at
        FROM (
            SELECT c.id, c.entity_type, entry.key, entry.value ->> 'choose' AS choose, entry.value ->> 'chosen_at' AS at
            FROM sync_conflicts AS c, jsonb_each(c.merge_selections) AS entry
            WHERE c.resolved_at >= (SELECT sync_now()) - interval '{PERIOD_DAYS} days' AND c.kind = 'fields'
            UNION ALL
            SELECT c.id, c.entity_type, entry.key, entry.value ->> 'choose', c.resolution ->> 'at'
            FROM sync_conflicts AS c, jsonb_each(c.resolution -> 'fields') AS entry
            WHERE c.resolved_at IS NULL AND c.kind = 'fields' AND c.resolution IS NOT NULL
        ) AS chosen
        LEFT JOIN {BatchEntry._meta.db_table} AS one ON one.conflict_id = chosen.id AND one.chosen_at = chosen.at
        -- One act in bulk is one decision, however many conflicts it resolved.
        GROUP BY entity_type, key, choose, coalesce(one.batch_id::text, chosen.id::text)
    ) AS decided
    LEFT JOIN sync_suggestions_dismissed AS aside USING (entity_type, key)
    WHERE choose <> 'auto'
    GROUP BY entity_type, key
"""  # noqa: S608 - literals of this module


@dataclass(frozen=True)
class FieldDecisions:
    """How people resolved a field's recent conflicts: in all, for NPD, for Monday; the last ones first.

    `is_dismissed` where somebody has dismissed the suggestion, and not all of the last ones were made after that.
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


def field_decisions(mapping: FieldMapping) -> FieldDecisions:
    return all_field_decisions().get((mapping.link.entity_type, mapping.key), FieldDecisions())


def records_in_conflict(mapping: FieldMapping) -> QuerySet[SyncConflict, UUID]:
    """Return the ids of records with an open conflict about this field's values, which a rule would resolve."""
    rows = SyncConflict.objects.filter(
        resolved_at=None, kind="fields", entity_type=mapping.link.entity_type, conflict_fields__contains=[mapping.key]
    )
    return rows.order_by("entity_id").values_list("entity_id", flat=True)


SIDE_NAMES = {NPD: "NPD", MONDAY: "Monday"}


class RuleMixin:
    """Adds the page of a field's rule to the list of conflicts."""

    admin_site: Any
    opts: Any

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.rule_page)
        return [path("rule/<int:pk>/", view, name="conflicts_syncconflict_rule"), *super().get_urls()]  # type: ignore[misc]

    def rule_page(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Say what a rule would have done and will do; on POST, set it."""
        if not may_change_rules(request):
            raise PermissionDenied
        mapping = get_object_or_404(FieldMapping.objects.select_related("link"), pk=pk)
        if request.method == "POST":
            actions = {"aside": self._dismiss, "again": self._restore}
            act = next((act for name, act in actions.items() if name in request.POST), self._set_rule)
            return act(request, mapping)
        decisions = field_decisions(mapping)
        context = {
            **self.admin_site.each_context(request),
            "title": f"Conflict rule: {mapping.label}",
            "opts": self.opts,
            "mapping": mapping,
            "present": Rule(mapping.rule).label,
            "asks": mapping.rule == Rule.ASK,
            "ways": [_rule_option(decisions, side) for side in (NPD, MONDAY) if RULE_OF_SIDE[side] != mapping.rule],
            "decided": decisions.total,
            "aside": decisions.is_dismissed,
            "open": records_in_conflict(mapping).count(),
            "back": reverse("admin:conflicts_syncconflict_changelist"),
            "board": reverse("admin:sync_boardlink_change", args=[mapping.link_id]),
        }
        return TemplateResponse(request, "conflicts/rule.html", context)

    def _dismiss(self, request: HttpRequest, mapping: FieldMapping) -> HttpResponse:
        DismissedSuggestion.objects.update_or_create(
            {"at": sync_now(), "by_id": request.user.pk}, entity_type=mapping.link.entity_type, key=mapping.key
        )
        log_action(request.user, mapping.link, f"The suggested rule for {mapping.label} was put aside.")
        sentence = f"No rule is suggested for {mapping.label} until three more conflicts are resolved the same way."
        messages.success(request, _with_undo_link(sentence, mapping))
        return see_other(reverse("admin:conflicts_syncconflict_changelist"))

    def _restore(self, request: HttpRequest, mapping: FieldMapping) -> HttpResponse:
        dismissed = DismissedSuggestion.objects.filter(entity_type=mapping.link.entity_type, key=mapping.key)
        if dismissed.delete()[0]:
            log_action(request.user, mapping.link, f"The suggested rule for {mapping.label} is no longer put aside.")
        messages.success(
            request, f"A rule for {mapping.label} is suggested again if the last conflicts were resolved the same way."
        )
        return see_other(rule_url(mapping))

    def _set_rule(self, request: HttpRequest, mapping: FieldMapping) -> HttpResponse:
        rule, expected_rule = str(request.POST.get("rule", "")), str(request.POST.get("shown", ""))
        decisions, why = field_decisions(mapping), ""
        if side := next((side for side, one in RULE_OF_SIDE.items() if one == rule), ""):
            why = f"It would have matched {decisions.matched(side)} of {decisions.total} resolutions in 30 days."
        try:
            with transaction.atomic():
                changed = set_field_rule(mapping, rule, expected=expected_rule, by=request.user.get_username())
                change = f"Rule of {changed.label}: “{Rule(expected_rule).label}” became “{Rule(changed.rule).label}”."
                log_action(request.user, changed.link, f"{change} {why}".strip())
                # Open conflicts on this field get a pass soon: whoever set the rule expects it to count.
                request_pass(changed.link.entity_type, *records_in_conflict(changed))
        except ActionError as error:
            messages.error(request, str(error))
            return see_other(rule_url(mapping))
        sentence = f"{changed.label}: {Rule(changed.rule).label}, from the next sync of each record on."
        messages.success(request, _with_undo_link(sentence, changed))
        return see_other(reverse("admin:conflicts_syncconflict_changelist"))


def may_change_rules(request: HttpRequest) -> bool:
    """Whether this person may change a field's rule, here as on the board's page."""
    return request.user.has_perm("sync.change_fieldmapping")


def rule_url(mapping: FieldMapping) -> str:
    return reverse("admin:conflicts_syncconflict_rule", args=[mapping.pk])


def suggestion_items(request: HttpRequest, mappings: Iterable[FieldMapping]) -> list[dict[str, str]]:
    """The rules that resolutions suggest for those of these fields that sync both ways and ask, as sentences with their
    pages; none for those who may not change rules. One query.
    """
    if not may_change_rules(request):
        return []
    by_field, found = all_field_decisions(), []
    for mapping in mappings:
        decisions = by_field.get((mapping.link.entity_type, mapping.key), FieldDecisions())
        asks = mapping.rule == Rule.ASK and mapping.direction == SyncDirection.BIDIRECTIONAL
        if not asks or not decisions.side or decisions.is_dismissed:
            continue
        whose = f"{SIDE_NAMES[decisions.side]}'s {mapping.label}"
        numbers = f"{intcomma(decisions.matched(decisions.side))} of {intcomma(decisions.total)}"
        sentence = (
            f"{whose} was chosen three times in a row. In the last 30 days that rule would have matched {numbers} "
            "resolutions."
        )
        question = f"Always use {whose}?"
        found.append({"sentence": sentence, "question": question, "url": rule_url(mapping), "field": mapping.label})
    return found


def active_rules(request: HttpRequest, mappings: Iterable[FieldMapping]) -> list[dict[str, str]]:
    """The fields whose conflicts a rule resolves now, with the page on which that is undone; no query."""
    ruled_mappings = [one for one in mappings if one.rule in RULE_OF_SIDE.values()] if may_change_rules(request) else []
    return [
        {
            "name": f"{mapping.label} ({type_name(mapping.link.entity_type)}): {Rule(mapping.rule).label}",
            "url": rule_url(mapping),
        }
        for mapping in ruled_mappings
    ]


def _rule_option(decisions: FieldDecisions, side: str) -> dict[str, str]:
    count = decisions.total
    matched = f"{intcomma(decisions.matched(side))} of {count_with_noun(count, 'resolution')}"
    taken = "Monday's column gets NPD's value" if side == NPD else "NPD gets Monday's value"
    return {
        "effect": f"{taken}; the value that is overwritten stays in the record's activity and can be restored.",
        "rule": str(RULE_OF_SIDE[side]),
        "label": str(RULE_OF_SIDE[side].label),
        "matched": f"In the last 30 days it would have matched {matched}." if count else "",
    }


def _with_undo_link(sentence: str, mapping: FieldMapping) -> SafeString:
    return format_html('{} <a class="underline" href="{}">{}</a>', sentence, rule_url(mapping), "Undo")
