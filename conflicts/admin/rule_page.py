"""The page on which a resolution that people keep choosing becomes a field's rule, or ceases to be one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

from django.contrib import messages
from django.contrib.auth.models import User
from django.contrib.humanize.templatetags.humanize import intcomma
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from conflicts.models import MONDAY, NPD
from conflicts.suggested_rules import (
    CHANGE_RULE_PERMISSION,
    RULE_OF_SIDE,
    FieldDecisions,
    dismiss_suggestion,
    field_decisions,
    open_conflicts_on,
    restore_suggestion,
    rule_suggestions,
    set_rule,
)
from sync.admin.admin_base import see_other
from sync.choices import Rule
from sync.kernel.action_errors import ActionError
from sync.kernel.humanize import plural
from sync.models import FieldMapping
from sync.registry import type_name

SIDE_NAMES = {NPD: "NPD", MONDAY: "Monday"}


class RuleMixin:
    """Adds the page of a field's rule to the list of conflicts."""

    admin_site: Any
    opts: Any

    def get_urls(self) -> list[URLPattern]:
        """The page of one field."""
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
            "open": len(open_conflicts_on(mapping)),
            "back": reverse("admin:conflicts_syncconflict_changelist"),
            "board": reverse("admin:sync_boardlink_change", args=[mapping.link_id]),
        }
        return TemplateResponse(request, "conflicts/rule.html", context)

    def _dismiss(self, request: HttpRequest, mapping: FieldMapping) -> HttpResponse:
        dismiss_suggestion(mapping, by=cast("User", request.user))
        messages.success(
            request,
            _with_undo_link(
                f"No rule is suggested for {mapping.label} until three more conflicts are resolved the same way.",
                mapping,
            ),
        )
        return see_other(reverse("admin:conflicts_syncconflict_changelist"))

    def _restore(self, request: HttpRequest, mapping: FieldMapping) -> HttpResponse:
        restore_suggestion(mapping, by=cast("User", request.user))
        messages.success(
            request, f"A rule for {mapping.label} is suggested again if the last conflicts were resolved the same way."
        )
        return see_other(rule_url(mapping))

    def _set_rule(self, request: HttpRequest, mapping: FieldMapping) -> HttpResponse:
        rule, expected_rule = str(request.POST.get("rule", "")), str(request.POST.get("shown", ""))
        decisions = field_decisions(mapping)
        try:
            rule_side = next((side for side, one in RULE_OF_SIDE.items() if one == rule), "")
            why = (
                f"It would have matched {decisions.matched(rule_side)} of {decisions.total} resolutions in 30 days."
                if rule_side
                else ""
            )
            changed = set_rule(mapping.pk, rule, expected_rule=expected_rule, by=cast("User", request.user), why=why)
        except ActionError as error:
            messages.error(request, str(error))
            return see_other(rule_url(mapping))
        sentence = f"{changed.label}: {Rule(changed.rule).label}, from the next sync of each record on."
        messages.success(request, _with_undo_link(sentence, changed))
        return see_other(reverse("admin:conflicts_syncconflict_changelist"))


def may_change_rules(request: HttpRequest) -> bool:
    """Whether this person may change a field's rule."""
    return request.user.has_perm(CHANGE_RULE_PERMISSION)


def rule_url(mapping: FieldMapping) -> str:
    """The page of a field's rule."""
    return reverse("admin:conflicts_syncconflict_rule", args=[mapping.pk])


def suggestion_items(request: HttpRequest, mappings: Iterable[FieldMapping]) -> list[dict[str, str]]:
    """Suggestions as sentences with their pages; none for those who may not change rules."""
    if not may_change_rules(request):
        return []
    return [
        {
            "sentence": (
                f"{SIDE_NAMES[decisions.side]}’s {mapping.label} was chosen three times in a row. In the last "
                f"30 days that rule would have matched {intcomma(decisions.matched(decisions.side))} of "
                f"{intcomma(decisions.total)} resolutions."
            ),
            "question": f"Always use {SIDE_NAMES[decisions.side]}’s {mapping.label}?",
            "url": rule_url(mapping),
            "field": mapping.label,
        }
        for mapping, decisions in rule_suggestions(mappings)
    ]


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
    matched = plural(
        count,
        "In the last 30 days it would have matched %(matched)s of %(count)s resolution.",
        "In the last 30 days it would have matched %(matched)s of %(count)s resolutions.",
    )
    taken = "Monday’s column gets NPD’s value" if side == NPD else "NPD gets Monday’s value"
    return {
        "effect": f"{taken}; the value that is overwritten stays in the record’s activity and can be restored.",
        "rule": str(RULE_OF_SIDE[side]),
        "label": str(RULE_OF_SIDE[side].label),
        "matched": matched % {"matched": intcomma(decisions.matched(side)), "count": intcomma(count)} if count else "",
    }


def _with_undo_link(sentence: str, mapping: FieldMapping) -> SafeString:
    """The sentence with a link to the rule's page, where it can be undone."""
    return format_html('{} <a class="underline" href="{}">{}</a>', sentence, rule_url(mapping), "Undo")
