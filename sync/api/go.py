"""`/go/{id}`: from a record's id, as an item carries it, to the record's page."""

from __future__ import annotations

from uuid import UUID

from django.contrib.auth.views import redirect_to_login
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_safe

from sync import registry


@require_safe
def to_record(request: HttpRequest, record_id: UUID) -> HttpResponse | HttpResponseRedirect:
    """Redirect to the record's page in the admin, whatever its type; 404 when no record has this id."""
    if not request.user.is_authenticated:
        return redirect_to_login(request.get_full_path(), reverse("admin:login"))
    for spec in registry.entities():
        if spec.model._default_manager.filter(pk=record_id).exists():
            options = spec.model._meta
            return redirect(f"admin:{options.app_label}_{options.model_name}_change", record_id)
    raise Http404(f"No record has the id {record_id}; it may have been deleted.")
