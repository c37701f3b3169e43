"""A record that was deleted while somebody had its form open: what was typed comes back as a new record's form."""

from __future__ import annotations

from copy import copy
from typing import Any

from django.contrib import messages
from django.contrib.admin.models import DELETION, LogEntry
from django.contrib.admin.utils import unquote
from django.contrib.contenttypes.models import ContentType
from django.http import HttpRequest, HttpResponse, QueryDict
from django.urls import reverse
from django.utils.translation import gettext as _

from sync import moments
from sync.admin.base import may_be_key
from sync.admin.stale import SHOWN, normalised_lines
from sync.models import SyncedModel, Tombstone


class DeletedMeanwhileMixin:
    """For the admin of a synced model whose form is a StaleSafeForm."""

    def _get_obj_does_not_exist_redirect(
        self, request: HttpRequest, opts: Any, object_id: str
    ) -> HttpResponse:
        """Keep what was typed, where it was this form that was sent; Django's redirect otherwise."""
        may_add = self.has_add_permission(request)  # type: ignore[attr-defined]
        if request.method != "POST" or SHOWN not in request.POST or not may_add:
            answer: HttpResponse = super()._get_obj_does_not_exist_redirect(  # type: ignore[misc]
                request, opts, object_id
            )
            return answer
        messages.error(request, self._deleted_words(request, opts, object_id))
        again = copy(request)
        again.method = "GET"
        again.GET = self._typed(request)  # type: ignore[assignment]  # mutable, which nobody minds
        add_url = reverse(f"admin:{opts.app_label}_{opts.model_name}_add")
        form: HttpResponse = self.changeform_view(again, None, add_url)  # type: ignore[attr-defined]
        return form

    def _typed(self, request: HttpRequest) -> QueryDict:
        """What the form held, as the initial values of an empty one."""
        typed = QueryDict(mutable=True)
        for name in self.get_form(request).base_fields:  # type: ignore[attr-defined]
            typed[name] = normalised_lines(request.POST.get(name, ""))
        return typed

    def _deleted_words(self, request: HttpRequest, opts: Any, object_id: str) -> str:
        name = request.POST.get("name") or f"The {opts.verbose_name}"
        key = unquote(object_id)
        return _(
            "“%(name)s” was deleted meanwhile%(by)s%(at)s. What you typed stands below; saving makes a new %(kind)s "
            "of it."
        ) % {
            "name": name,
            "by": _by_whom(opts.model, key),
            "at": _when(opts.model, key),
            "kind": opts.verbose_name,
        }


def _by_whom(model: type[SyncedModel], key: str) -> str:
    """The admin's log knows who deleted; a deletion by API or by a script leaves no name."""
    kind = ContentType.objects.get_for_model(model)
    entries = LogEntry.objects.filter(content_type=kind, object_id=key, action_flag=DELETION)
    entry = entries.select_related("user").order_by("-pk").first()
    return (
        _(" by %(who)s") % {"who": entry.user.get_full_name() or entry.user.get_username()} if entry else ""
    )


def _when(model: type[SyncedModel], key: str) -> str:
    if not may_be_key(model, key):
        return ""
    stone = Tombstone.objects.filter(entity_type=model.entity_type(), entity_id=key).first()
    return f" ({moments.time_of_day(stone.deleted_at)})" if stone else ""
