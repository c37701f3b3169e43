"""What a worker does for the wizard: compare what is drawn up, carry out what is confirmed, however often it is asked.

A draft is held by a token for some minutes, renewed by steps; what a person changes meanwhile takes it away.
"""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import structlog
from celery.exceptions import SoftTimeLimitExceeded
from django.db.models import Q
from django.utils.translation import gettext as _

from sync import account, registry, stopping
from sync.clock import SyncNow
from sync.connectors.monday.errors import MondayError, Scope
from sync.models import SetupDraft, SetupState
from sync.wizard.applying import NotYet, Stopped, apply
from sync.wizard.boards import look_again
from sync.wizard.comparing import compare
from sync.wizard.drafts import note
from sync.wizard.errors import Overtaken, WizardError
from sync.wizard.meanwhile import WAS

log = structlog.get_logger(__name__)

BUSY = (SetupState.COMPARING, SetupState.RUNNING)
HELD_SECONDS = 180
WAITABLE = (Scope.LIMIT, Scope.TRANSPORT, Scope.UNREACHABLE)


def carry_on() -> None:
    """Take every draft further that waits for a worker, in the order in which types are registered.

    One that points at another type's board is carried out after it.
    """
    for spec in registry.entities():
        if stopping.asked():
            return
        draft = _take(spec.entity_type)
        if draft is None:
            continue
        try:
            _work(draft)
        except Overtaken:
            log.info("a set-up was changed while it was worked on", board=draft.entity_type)
        except SoftTimeLimitExceeded:
            raise
        except Exception:  # whatever it is, the other type's set-up is not to wait for its mend
            log.exception("a set-up could not be carried on", board=draft.entity_type)
            _end(
                draft,
                SetupState.DRAWN,
                problem=_("NPD Sync itself failed. Please report it with the worker's log."),
            )


def _take(entity_type: str) -> SetupDraft | None:
    token = uuid.uuid4()
    free = Q(held_until=None) | Q(held_until__lt=SyncNow())
    taken = SetupDraft.objects.filter(free, pk=entity_type, state__in=BUSY).update(
        token=token, held_until=SyncNow() + timedelta(seconds=HELD_SECONDS)
    )
    return SetupDraft.objects.select_related("changed_by").get(pk=entity_type) if taken else None


def _keep(draft: SetupDraft, **values: Any) -> None:
    """Store values while the draft is still this worker's, and hold it on; raises Overtaken."""
    mine = SetupDraft.objects.filter(pk=draft.pk, token=draft.token, state=draft.state)
    if not mine.update(**values, held_until=SyncNow() + timedelta(seconds=HELD_SECONDS)):
        raise Overtaken
    if values:
        draft.refresh_from_db(fields=list(values))


def _end(draft: SetupDraft, state: SetupState, **values: Any) -> None:
    """Give the draft back in another state."""
    mine = SetupDraft.objects.filter(pk=draft.pk, token=draft.token)
    mine.update(state=state, token=None, held_until=None, progress="", **values)


def _work(draft: SetupDraft) -> None:
    try:
        if draft.state == SetupState.COMPARING:
            _compare(draft)
        else:
            _run(draft)
    except NotYet as why:
        SetupDraft.objects.filter(pk=draft.pk, token=draft.token).update(
            progress=str(why)[:255], token=None, held_until=None
        )
    except MondayError as error:
        _wait_or_end(draft, error)
    except (Stopped, WizardError) as why:
        _end(draft, SetupState.DRAWN, problem=str(why), revision=draft.revision + 1)


def _compare(draft: SetupDraft) -> None:
    def tell(done: int, of: int) -> None:
        _keep(draft, progress=_("%(done)d of %(of)d looked at") % {"done": done, "of": of})

    if look_again(draft):
        raise Stopped(
            _("The board has changed: a column that was chosen is gone or of another type. Choose again.")
        )
    found = compare(draft, tell)
    _keep(draft, found=found.to_json(), found_at=SyncNow(), problem="")
    _end(draft, SetupState.COMPARED, revision=draft.revision + 1)


def _run(draft: SetupDraft) -> None:
    def keep(**values: Any) -> None:
        _keep(draft, **values)

    def wait(seconds: float, words: str) -> None:
        _keep(draft, progress=words[:255])
        if stopping.wait(seconds):
            raise Overtaken  # the next worker goes on where this one ended

    outcome = apply(draft, keep, wait)
    outcome.pop(WAS, None)
    # Names of people stay nowhere without need; and the board may be chosen for another type some day.
    cleared = {"found": {}, "answers": {}, "columns": {}, "board_id": ""}
    _end(draft, SetupState.DONE, outcome=outcome, problem="", changed_at=SyncNow(), **cleared)
    if draft.changed_by is not None:
        note(draft.changed_by, draft.entity_type, _("Set-up carried out."))


def _wait_or_end(draft: SetupDraft, error: MondayError) -> None:
    """What passes is waited out, by a later tick; of all else a person is told."""
    if error.scope in WAITABLE:
        account.pause(error)
        again = _("%(why)s The set-up goes on by itself.") % {"why": error.sentence}
        mine = SetupDraft.objects.filter(pk=draft.pk, token=draft.token)
        mine.update(
            problem=again, token=None, held_until=SyncNow() + timedelta(seconds=error.wait_seconds or 10)
        )
        return
    _end(draft, SetupState.DRAWN, problem=error.sentence, revision=draft.revision + 1)
