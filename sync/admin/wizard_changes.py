"""What the board's page asks for that moves values: drawn up as a set-up, and shown as a plan before it is written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from django.contrib import messages
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext as _

from sync.admin import wizard_words
from sync.connectors.monday.errors import MondayError
from sync.wizard import changing
from sync.wizard.errors import Unfit, WizardError

_NEXT = "_npd_wizard_next"
"""Where a request notes where its answer leads."""


def url_of(step: str, *args: str) -> str:
    """Return the address of a step."""
    return reverse(f"admin:sync_wizard_{step}", args=args)


class PlannedChangesMixin:
    """Leads from the board's page to the plan."""

    change_form_outer_before_template = "sync/wizard_change.html"

    def plan_changes(self, request: HttpRequest, entity_type: str, forms: Sequence[Any]) -> None:
        """Draw up what the board's page asked for; the answer then leads to the plan, or to what is wrong with it."""
        asked = {one.instance.key: planned for one in forms if (planned := getattr(one, "planned", {}))}
        if not asked:
            return
        setattr(request, _NEXT, url_of("plan"))
        try:
            changing.draw_up_changes(cast("User", request.user), entity_type, asked)
        except Unfit as unfit:
            setattr(request, _NEXT, url_of("map", entity_type))
            for sentences in unfit.by_field.values():
                messages.warning(request, " ".join(sentences))
        except (WizardError, MondayError) as error:
            setattr(request, _NEXT, "")
            said = _("Column and direction were not changed, for the plan could not be made. %(why)s")
            messages.error(request, said % {"why": wizard_words.said(error)})
        else:
            messages.info(
                request, _("Column and direction are not changed yet: this is the plan. Confirm it below.")
            )

    def response_change(self, request: HttpRequest, obj: Any) -> HttpResponse:
        """Lead to the plan where there is one to be confirmed."""
        if address := getattr(request, _NEXT, ""):
            return HttpResponseRedirect(address)
        answered: HttpResponse = super().response_change(request, obj)  # type: ignore[misc]
        return answered
