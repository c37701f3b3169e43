"""The board as it is now, on the page on which its fields are mapped."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest
from django.utils.translation import gettext as _

from sync.admin import wizard_words
from sync.connectors.monday.errors import MondayError
from sync.models import SetupDraft
from sync.wizard import boards
from sync.wizard.drafts import columns_moved
from sync.wizard.errors import WizardError


def show_as_it_is(request: HttpRequest, draft: SetupDraft) -> None:
    """Put the board's present columns on the draft in memory: renamed, gone, of another type. Keeps nothing."""
    try:
        read = boards.read_columns(draft)
    except (WizardError, MondayError) as error:
        said = _("The columns are those that were read last: %(why)s")
        messages.warning(request, said % {"why": wizard_words.said(error)})
        return
    if read is None:
        return
    affected = columns_moved(draft, read[0])
    draft.columns, draft.board_name = read
    if affected and request.method == "GET":
        said = _("The board has changed: a column that was chosen is gone or of another type. Choose again.")
        messages.warning(request, said)
