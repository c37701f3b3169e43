"""The page on which a decision that was taken again and again becomes a rule, and on which it is taken back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

from django.contrib import messages
from django.contrib.auth.models import User
from django.contrib.humanize.templatetags.humanize import intcomma
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from conflicts.choice import MONDAY, NPD
from conflicts.errors import BadResolution
from conflicts.ruling import MAY_CHANGE, put_aside, set_rule, suggest_again
from conflicts.suggesting import RULE_OF, Decided, Suggestion, decided_of, open_on, suggestions
from sync.choices import Rule
from sync.models import FieldMapping
from sync.registry import kind_name

HTTP_SEE_OTHER = 303
SIDES = {NPD: "NPD", MONDAY: "Monday"}


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
        if not may_rule(request):
            raise PermissionDenied
        mapping = get_object_or_404(FieldMapping.objects.select_related("link"), pk=pk)
        if request.method == "POST":
            acts = {"aside": self._put_aside, "again": self._suggest_again}
            act = next((act for name, act in acts.items() if name in request.POST), self._set)
            return act(request, mapping)
        decided = decided_of(mapping)
        context = {
            **self.admin_site.each_context(request),
            "title": _("Rule of %(field)s") % {"field": mapping.label},
            "opts": self.opts,
            "mapping": mapping,
            "present": Rule(mapping.rule).label,
            "asks": mapping.rule == Rule.ASK,
            "ways": [_way(decided, side) for side in (NPD, MONDAY) if RULE_OF[side] != mapping.rule],
            "decided": decided.decided,
            "aside": decided.aside,
            "open": len(open_on(mapping)),
            "back": reverse("admin:conflicts_syncconflict_changelist"),
            "board": reverse("admin:sync_boardlink_change", args=[mapping.link_id]),
        }
        return TemplateResponse(request, "conflicts/rule.html", context)

    def _put_aside(self, request: HttpRequest, mapping: FieldMapping) -> HttpResponse:
        put_aside(mapping, by=cast("User", request.user))
        told = _("No rule is suggested for %(field)s before three more decisions agree.")
        messages.success(request, _linked(told % {"field": mapping.label}, mapping))
        return _see_other(reverse("admin:conflicts_syncconflict_changelist"))

    def _suggest_again(self, request: HttpRequest, mapping: FieldMapping) -> HttpResponse:
        suggest_again(mapping, by=cast("User", request.user))
        told = _("A rule for %(field)s is suggested again, where the last decisions agree.")
        messages.success(request, told % {"field": mapping.label})
        return _see_other(rule_url(mapping))

    def _set(self, request: HttpRequest, mapping: FieldMapping) -> HttpResponse:
        rule, shown = str(request.POST.get("rule", "")), str(request.POST.get("shown", ""))
        decided = decided_of(mapping)
        try:
            known = next((side for side, one in RULE_OF.items() if one == rule), "")
            why = (
                f"It would have matched {decided.matched(known)} of {decided.decided} decisions in 30 days."
                if known
                else ""
            )
            changed = set_rule(mapping.pk, rule, shown=shown, by=cast("User", request.user), why=why)
        except BadResolution as error:
            messages.error(request, _("Nothing was changed. %(why)s") % {"why": error})
            return _see_other(rule_url(mapping))
        messages.success(request, _said(changed))
        return _see_other(reverse("admin:conflicts_syncconflict_changelist"))


def may_rule(request: HttpRequest) -> bool:
    """Whether this person may change a field's rule."""
    return request.user.has_perm(MAY_CHANGE)


def rule_url(mapping: FieldMapping) -> str:
    """The page of a field's rule."""
    return reverse("admin:conflicts_syncconflict_rule", args=[mapping.pk])


def offered(request: HttpRequest, mappings: Iterable[FieldMapping]) -> list[dict[str, str]]:
    """Suggestions as sentences with the page that carries each out; none for who may not change rules."""
    if not may_rule(request):
        return []
    return [
        {
            "sentence": _sentence(one),
            "question": _question(one),
            "url": rule_url(one.mapping),
            "field": one.mapping.label,
        }
        for one in suggestions(mappings)
    ]


def rules_set(request: HttpRequest, mappings: Iterable[FieldMapping]) -> list[dict[str, str]]:
    """The fields whose conflicts a rule settles now, with the page on which that is taken back; asks nothing."""
    ruled = [one for one in mappings if one.rule in RULE_OF.values()] if may_rule(request) else []
    return [
        {
            "name": f"{mapping.label} ({kind_name(mapping.link.entity_type)}): {Rule(mapping.rule).label}",
            "url": rule_url(mapping),
        }
        for mapping in ruled
    ]


def _sentence(one: Suggestion) -> str:
    matched = _("In the last 30 days that would have matched %(matched)s of %(decided)s decisions.")
    chosen = _("%(side)s’s %(field)s was chosen three times in a row.")
    said = chosen % {"side": SIDES[one.side], "field": one.mapping.label}
    return f"{said} {matched % {'matched': intcomma(one.matched), 'decided': intcomma(one.decided)}}"


def _question(one: Suggestion) -> str:
    return _("Always take %(side)s’s %(field)s?") % {"side": SIDES[one.side], "field": one.mapping.label}


def _way(decided: Decided, side: str) -> dict[str, str]:
    count = decided.decided
    matched = ngettext(
        "In the last 30 days it would have matched %(matched)s of %(count)s decision.",
        "In the last 30 days it would have matched %(matched)s of %(count)s decisions.",
        count,
    )
    return {
        "rule": str(RULE_OF[side]),
        "label": str(RULE_OF[side].label),
        "matched": matched % {"matched": intcomma(decided.matched(side)), "count": intcomma(count)}
        if count
        else "",
    }


def _said(mapping: FieldMapping) -> SafeString:
    sentence = _("%(field)s: %(rule)s, from the next look of each record on.") % {
        "field": mapping.label,
        "rule": Rule(mapping.rule).label,
    }
    return _linked(sentence, mapping)


def _linked(sentence: str, mapping: FieldMapping) -> SafeString:
    """The sentence with the way back, which is the rule's page."""
    return format_html(
        '{} <a class="underline" href="{}">{}</a>', sentence, rule_url(mapping), _("Take it back")
    )


def _see_other(address: str) -> HttpResponse:
    response = HttpResponseRedirect(address)
    response.status_code = HTTP_SEE_OTHER
    return response
