"""The country of phone numbers that name none: shown where such numbers are met, and chosen here."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from sync import connectors
from sync.models import MondayAccount
from sync.operations.setup.draft import may_set_up
from sync.reconcile.lookups import phone_region
from sync.records.authors import log_action
from sync.registry import may_view

REGION = "phone_region"
"""The name of the choice in forms: this page's, and that of the wizard's fields."""


def region_context(user: Any) -> dict[str, Any]:
    """Return what a template needs to name the country and to offer others."""
    regions, chosen = connectors.get().phone_regions(), phone_region()
    return {
        "phone_region": chosen,
        "phone_region_name": dict(regions).get(chosen, chosen),
        "phone_regions": regions,
        "may_choose_region": may_set_up(user),
    }


def store_region(request: HttpRequest) -> None:
    """Store the country that a form of somebody who may choose it names, where that is another than now."""
    chosen, known = request.POST.get(REGION, ""), dict(connectors.get().phone_regions())
    account = MondayAccount.objects.get_or_create(id=1)[0]
    if chosen in known and chosen != account.phone_region and may_set_up(request.user):
        MondayAccount.objects.filter(id=1).update(phone_region=chosen)
        log_action(request.user, account, f"Phone numbers without a country code: {known[chosen]} ({chosen}).")


@require_http_methods(["GET", "HEAD", "POST"])
def phone_region_page(request: HttpRequest) -> HttpResponse:
    """Show the country of numbers without one; on POST, store another."""
    if not may_view(request.user, "sync.boardlink"):
        raise PermissionDenied
    context = region_context(request.user)
    if request.method == "POST":
        if not context["may_choose_region"]:
            raise PermissionDenied
        store_region(request)
        messages.success(request, "Saved. Numbers that are stored already stay as they are written.")
        return HttpResponseRedirect(reverse("npd-phone-numbers"))
    context |= {**admin.site.each_context(request), "title": "Phone numbers"}
    return TemplateResponse(request, "sync/phone_numbers.html", context)
