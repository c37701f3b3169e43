"""The users of the Monday account, by id: what people columns and the names of editors are read with."""

from __future__ import annotations

import structlog

from sync.account import account
from sync.clock import SyncNow
from sync.connectors.monday.answers import Api
from sync.connectors.monday.errors import MondayError, Scope
from sync.connectors.monday.platform import all_users
from sync.models import MondayAccount

log = structlog.get_logger(__name__)


def refresh(client: Api) -> MondayError | None:
    """Read the directory anew and keep it; return the refusal where the token may not (scope users:read).

    Then what was known stays as it was. Raises MondayError where Monday can't be asked at all.
    """
    account()
    try:
        users = all_users(client)
    except MondayError as error:
        if error.scope in (Scope.TRANSPORT, Scope.UNREACHABLE, Scope.LIMIT):
            raise
        log.info("the account's users can't be read", reason=error.sentence)
        return error
    MondayAccount.objects.filter(id=1).update(users=users, users_at=SyncNow())
    return None
