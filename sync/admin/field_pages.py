"""What the pages of held fields and of loops share: which field a form means, who may, and the page that asks first."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from django.contrib.humanize.templatetags.humanize import intcomma
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_POST

from sync import registry
from sync.models import BoardLink, FieldMapping

View = Callable[[HttpRequest], HttpResponse]


def addresses(
    admin_site: Any, name: str, page: View, acts: Mapping[str, View], inherited: Iterable[URLPattern]
) -> list[URLPattern]:
    """The address of a page of board links, those of its buttons below it, and what was there before."""
    view = admin_site.admin_view
    return [
        path(f"{name}/", view(page), name=f"sync_boardlink_{name}"),
        *(
            path(
                f"{name}/{act}/",
                view(require_POST(done)),
                name=f"sync_boardlink_{name}_{act.replace('-', '_')}",
            )
            for act, done in acts.items()
        ),
        *inherited,
    ]


class Asked:
    """What a button's form says: the field, what the page had shown of it, whether it was confirmed.

    Raises PermissionDenied for who may not map fields, or where the act `needs_map` not, change the records; Http404
    for a field that is gone.
    """

    def __init__(self, request: HttpRequest, *, needs_map: bool = True) -> None:
        self.request = request
        key = request.POST.get("mapping", "")
        rows = FieldMapping.objects.select_related("link")
        found = rows.filter(pk=int(key)).first() if key.isdecimal() and len(key) < 19 else None
        if found is None:
            raise Http404(_("There is no such field any more."))
        self.mapping: FieldMapping = found
        self.shown = request.POST.get("shown", "")
        self.confirmed = "confirmed" in request.POST
        if not (may_map(request) if needs_map else may_change_records(request, found.link.entity_type)):
            raise PermissionDenied

    @staticmethod
    def link_of_form(request: HttpRequest) -> BoardLink:
        """Return the board link that a form names; raises Http404."""
        key = request.POST.get("link", "")
        found = BoardLink.objects.filter(pk=int(key)).first() if key.isdecimal() and len(key) < 19 else None
        if found is None:
            raise Http404(_("There is no such board any more."))
        return found


def may_map(request: HttpRequest) -> bool:
    """Whether this user may change which column a field has, and which way it flows."""
    return request.user.has_perm("sync.change_boardlink") and request.user.has_perm(
        "sync.change_fieldmapping"
    )


def may_change_records(request: HttpRequest, entity_type: str, act: str = "change") -> bool:
    """Whether this user may change (or do another act with) records of a type."""
    try:
        opts = registry.entity(entity_type).model._meta
    except registry.UnknownEntity:
        return False
    return request.user.has_perm(f"{opts.app_label}.{act}_{opts.model_name}")


def linked(mapping: FieldMapping) -> str:
    """Say for how many records a change of a field's mapping counts."""
    model = registry.entity(mapping.link.entity_type).model
    number = model._default_manager.exclude(monday_id=None).count()
    title = registry.entity(mapping.link.entity_type).board_title
    return ngettext(
        "It counts for all records on “%(board)s”; %(n)s has an item.",
        "It counts for all records on “%(board)s”; %(n)s have an item.",
        number,
    ) % {"board": title, "n": intcomma(number)}


def confirm_field(
    model_admin: Any,
    request: HttpRequest,
    asked: Asked,
    *,
    title: str,
    effects: Sequence[str],
    yes: str,
    back: str,
    more: Mapping[str, str] | None = None,
) -> HttpResponse:
    """Return the page that says what a button does, with the button that does it."""
    hidden = {"mapping": str(asked.mapping.pk), "shown": asked.shown, **(more or {}), "confirmed": "yes"}
    context = {
        **model_admin.admin_site.each_context(request),
        "title": title,
        "opts": model_admin.opts,
        "effects": effects,
        "yes": yes,
        "back": back,
        "target": request.path,
        "hidden": hidden.items(),
    }
    return TemplateResponse(request, "sync/held_confirm.html", context)
