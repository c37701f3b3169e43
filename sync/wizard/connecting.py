"""The first step: does Monday take the token, and whose is it? The token is in the environment, and never shown."""

from __future__ import annotations

from dataclasses import dataclass

from django.contrib.auth.models import User
from django.utils.translation import gettext as _

from sync import account, budget
from sync.connectors.monday.errors import MondayError
from sync.wizard import permission


@dataclass(frozen=True)
class Tested:
    """What Monday said: who the token's user is, or why it won't do and what to set."""

    well: bool
    words: str
    user: str = ""
    tier: str = ""
    version: str = ""
    allowance: str = ""


def test(user: User) -> Tested:
    """Ask Monday who the token's user is."""
    permission.check(user)
    if not account.is_configured():
        return Tested(
            False,
            _("No token is set. Set MONDAY_API_KEY in the environment, and restart web, worker and beat."),
        )
    try:
        found = account.greet(urgent=True)
    except MondayError as error:
        return Tested(False, error.sentence)
    said = _("Monday takes the token: it is %(user)s's.") % {"user": found.user_name or found.user_id or "?"}
    return Tested(
        True,
        said,
        user=found.user_name or found.user_id,
        tier=found.tier or account.account().tier,
        version=f"{found.version_value} {f'({found.version_kind})' if found.version_kind else ''}".strip(),
        allowance=budget.forecast().words,
    )
