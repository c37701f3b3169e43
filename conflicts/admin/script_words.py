"""The words of the screen's script, in the page's language; a script can't count in every language by itself."""

from __future__ import annotations

from typing import Any

from django.contrib.humanize.templatetags.humanize import intcomma
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from conflicts.outcome import Outcome


def script_words(rows: int) -> dict[str, Any]:
    """What the script says of a page with so many fields; lists hold the words of each count, from none on."""
    counts = range(rows + 1)
    return {
        "both": Outcome(None, npd_changes=True, monday_changes=True).where,
        "npd": Outcome(None, npd_changes=True, monday_changes=False).where,
        "monday": Outcome(None, npd_changes=False, monday_changes=True).where,
        "nothing": Outcome(None, npd_changes=False, monday_changes=False).where,
        "empty": _("(empty)"),
        "notChosen": _("Not chosen: stays open"),
        "choose": _("Choose a side, or type a value, for at least one field."),
        "chooseWay": _("Choose what shall be done."),
        "writes": _("Writes %(fields)s in NPD, %(columns)s on Monday."),
        "fields": [_counted(ngettext("%(n)s field", "%(n)s fields", n), n) for n in counts],
        "columns": [_counted(ngettext("%(n)s column", "%(n)s columns", n), n) for n in counts],
        "open": [
            _counted(ngettext("%(n)s field stays open.", "%(n)s fields stay open.", n), n) for n in counts
        ],
    }


def _counted(words: str, number: int) -> str:
    return words % {"n": intcomma(number)}
