"""One line that says whether all is well, else what is wrong first."""

from __future__ import annotations

from collections.abc import Sequence

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from sync.admin.health.boards import BoardHealth
from sync.admin.health.tasks import Task
from sync.admin.queue_cards import Badge


def headline(boards: Sequence[BoardHealth], tasks: Sequence[Task]) -> Badge:
    """Return it as a badge; what keeps changes from flowing comes before what a person is asked."""
    if not any(board.is_set_up for board in boards):
        return Badge("off", "link_off", _("Not set up yet: nothing is sent, and nothing is taken over"))
    still = [board.title for board in boards if board.reason and not board.is_paused]
    paused = [board.title for board in boards if board.is_paused]
    if still:
        return Badge("bad", "block", _("Standing still: %(boards)s") % {"boards": ", ".join(still)})
    if paused:
        return Badge("warn", "pause_circle", _("Paused: %(boards)s") % {"boards": ", ".join(paused)})
    return _flowing(tasks)


def _flowing(tasks: Sequence[Task]) -> Badge:
    if not tasks:
        return Badge("ok", "check_circle", _("All flowing"))
    words = ngettext(
        "Flowing; %(number)s thing needs a person", "Flowing; %(number)s things need a person", len(tasks)
    ) % {"number": len(tasks)}
    bad = any(task.kind == "bad" for task in tasks)
    return Badge("bad", "error", words) if bad else Badge("warn", "front_hand", words)
