"""The buttons in the list's rows: one click settles a conflict about one field, for the values that the row shows."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, cast
from uuid import UUID

from django.contrib import messages
from django.contrib.admin import ModelAdmin
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponseBase, HttpResponseNotAllowed, HttpResponseRedirect
from django.urls import reverse
from django.utils.html import format_html
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from conflicts.admin.posted import sides
from conflicts.choice import NPD
from conflicts.errors import ResolutionError, Sides
from conflicts.models import ConflictKind, SyncConflict
from conflicts.picks import ONE_SIDE
from conflicts.progress import progress_of
from conflicts.records import default_label, name_of, record_of
from conflicts.resolution import resolve

HTTP_SEE_OTHER = 303
OF_VALUES = (ConflictKind.FIELDS, ConflictKind.OVERWRITTEN)


def button(conflict: Any, kept: str) -> SafeString | str:
    """The button that takes a side; none where more than one click is needed, or the person may not."""
    one_field = conflict.kind in OF_VALUES and len(conflict.conflict_fields) == 1
    if not (conflict.page_may and one_field and conflict.is_open and not conflict.is_being_applied):
        return ""
    key = conflict.conflict_fields[0]
    side = "NPD" if ONE_SIDE[kept] == NPD else "Monday"
    seen = json.dumps({key: [conflict.npd_data.get(key), conflict.monday_data.get(key)]})
    words = {"side": side, "field": default_label(conflict.entity_type, key), "name": conflict.page_name}
    return format_html(
        '<button class="cfl-button cfl-take" type="submit" formmethod="post" formnovalidate formaction="{}"'
        ' name="seen" value="{}" aria-label="{}">{}</button>',
        reverse("admin:conflicts_syncconflict_keep", args=[conflict.pk, kept]),
        seen,
        _("Take %(side)s’s %(field)s of %(name)s") % words,
        _("Take"),
    )


def one_click(model_admin: ModelAdmin[Any]) -> Callable[..., HttpResponseBase]:
    """Return the view behind the buttons: it stores the choice, and goes back to the list."""

    def pressed(request: HttpRequest, pk: UUID, kept: str) -> HttpResponseBase:
        if not model_admin.has_change_permission(request):
            raise PermissionDenied
        if kept not in ONE_SIDE:
            raise Http404(_("There is no side “%(side)s”.") % {"side": kept})
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        _store(request, pk, kept)
        back = HttpResponseRedirect(_back(request))
        back.status_code = HTTP_SEE_OTHER
        return back

    return pressed


def _store(request: HttpRequest, pk: UUID, kept: str) -> None:
    try:
        stored = resolve(pk, by=cast("User", request.user), resolution_type=kept, seen=_seen(request))
    except SyncConflict.DoesNotExist as missing:
        raise Http404(_("There is no such conflict.")) from missing
    except ResolutionError as error:
        found = SyncConflict.objects.get(pk=pk)
        messages.error(request, _linked(found, _("Nothing was stored. %(why)s") % {"why": error}))
    else:
        messages.success(request, _linked(stored, progress_of(stored, why_waits=False).sentence))


def _linked(conflict: SyncConflict, sentence: str) -> SafeString:
    return format_html(
        '<a class="underline" href="{}">{}</a>: {}',
        reverse("admin:conflicts_syncconflict_screen", args=[conflict.pk]),
        name_of(conflict, record_of(conflict)),
        sentence,
    )


def _seen(request: HttpRequest) -> dict[str, Sides]:
    """The values that the row had shown; what was tampered with is nothing that was seen."""
    try:
        shown = json.loads(request.POST.get("seen", "{}"))
        return {str(key): sides(json.dumps(pair)) for key, pair in shown.items()}
    except (ValueError, AttributeError):
        return {}


def _back(request: HttpRequest) -> str:
    """The list as it was filtered, where the browser says so."""
    came_from = request.headers.get("Referer", "")
    if url_has_allowed_host_and_scheme(came_from, {request.get_host()}):
        return came_from
    return reverse("admin:conflicts_syncconflict_changelist")
