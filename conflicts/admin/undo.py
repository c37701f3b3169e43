"""The button that undoes how a conflict was settled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast
from uuid import UUID

from django.contrib import messages
from django.contrib.admin import ModelAdmin
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponseBase, HttpResponseNotAllowed, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext as _

from conflicts.errors import ResolutionError
from conflicts.models import SyncConflict
from conflicts.undoing import undo

HTTP_SEE_OTHER = 303


def undo_button(model_admin: ModelAdmin[Any]) -> Callable[..., HttpResponseBase]:
    """Return the view behind the button: it stores the wish, and goes back to the conflict's screen."""

    def pressed(request: HttpRequest, pk: UUID) -> HttpResponseBase:
        if not model_admin.has_change_permission(request):
            raise PermissionDenied
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        try:
            undo(pk, by=cast("User", request.user))
        except SyncConflict.DoesNotExist as missing:
            raise Http404 from missing
        except ResolutionError as error:
            messages.error(request, _("Nothing was undone. %(why)s") % {"why": error})
        back = HttpResponseRedirect(reverse("admin:conflicts_syncconflict_screen", args=[pk]))
        back.status_code = HTTP_SEE_OTHER
        return back

    return pressed
