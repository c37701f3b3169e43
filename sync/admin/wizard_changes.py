"""What the board's page asks for that moves values: drawn up as a set-up, and shown as a plan before it is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from django.contrib import messages
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext as _

from sync.admin import wizard_words
from sync.connectors.monday.errors import MondayError
from sync.wizard import changing
from sync.wizard.errors import Begun, Unfit, WizardError

_ASKED = "_npd_wizard_asked"
"""Where a request notes what it asked for: the kind of records, and by field the new column and direction."""


def url_of(step: str, *args: str) -> str:
    """Return the address of a step."""
    return reverse(f"admin:sync_wizard_{step}", args=args)


class PlannedChangesMixin:
    """Leads from the board's page to the plan."""

    change_form_outer_before_template = "sync/wizard_change.html"

    def note_planned(self, request: HttpRequest, entity_type: str, forms: Sequence[Any]) -> None:
        """Note what the page asked for that moves values; it is drawn up once the save is through."""
        asked = {one.instance.key: planned for one in forms if (planned := getattr(one, "planned", {}))}
        if asked:
            setattr(request, _ASKED, (entity_type, asked))

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Draw up what was asked for after the save's transaction: Monday is called, which may take its time."""
        answered: HttpResponse = super().changeform_view(request, *args, **kwargs)  # type: ignore[misc]
        asked = getattr(request, _ASKED, None)
        if asked is None:
            return answered
        return HttpResponseRedirect(_draw_up(request, *asked) or request.get_full_path())

    def response_change(self, request: HttpRequest, obj: Any) -> HttpResponse:
        """Don't say of what is only planned that it was changed."""
        if hasattr(request, _ASKED):
            return HttpResponseRedirect(request.get_full_path())
        answered: HttpResponse = super().response_change(request, obj)  # type: ignore[misc]
        return answered

    def construct_change_message(
        self, request: HttpRequest, form: Any, formsets: Any, add: bool = False
    ) -> Any:
        """Leave what is only planned out of the log's line of what was changed."""
        planned: set[str] = set()
        for formset in formsets or ():
            by_row = {one.instance.pk: set(getattr(one, "planned", {})) for one in formset.forms}
            planned = planned.union(*by_row.values())
            formset.changed_objects = [
                (row, written)
                for row, names in formset.changed_objects
                if (written := [name for name in names if name not in by_row.get(row.pk, ())])
            ]
        message = super().construct_change_message(request, form, formsets, add)  # type: ignore[misc]
        return message or (
            _("Asked for other columns or directions; not written yet.") if planned else message
        )


def _draw_up(request: HttpRequest, entity_type: str, asked: Mapping[str, Mapping[str, str]]) -> str:
    """Draw up what the board's page asked for; return where that leads, nothing for the board's page."""
    try:
        changing.draw_up_changes(cast("User", request.user), entity_type, asked)
    except Unfit as unfit:
        for sentences in unfit.by_field.values():
            messages.warning(request, " ".join(sentences))
        return url_of("map", entity_type)
    except Begun as begun:
        messages.warning(request, str(begun))
        return url_of("map", entity_type)
    except (WizardError, MondayError) as error:
        said = _("Column and direction were not changed, for the plan could not be made. %(why)s")
        messages.error(request, said % {"why": wizard_words.said(error)})
        return ""
    messages.info(request, _("Column and direction are not changed yet: this is the plan. Confirm it below."))
    return url_of("plan")
