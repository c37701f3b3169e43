"""Wrong ways of writing to Monday, and of finding out what became of it."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

from sync.connectors.monday.items import LookResult
from sync.engine import intents, writing
from sync.lease import Lease
from sync.models import BoardLease, Intent, IntentState
from tests.chaos.planted import Wrong, bug, instead_of

intents_ignored = bug(
    "intents_ignored_after_a_crash",
    "what was announced before a crash is forgotten",
    act="drill_killed_after_its_write",
)


@instead_of(intents_ignored, "sync.engine.loading:_attach")
def _forgets_intents(right: Wrong, batch: Any) -> None:
    right(batch)
    for subject in batch.subjects:
        subject.intents = []


create_retried_blindly = bug(
    "create_retried_without_look_up",
    "a create without an answer is made again without looking for its item",
    act="drill_create_without_answer",
)


@instead_of(create_retried_blindly, "sync.engine.lost_creates:_look_up")
def _finds_nothing(right: Wrong, board: Any, lost: Sequence[Intent]) -> dict[str, Any]:
    return {}


@instead_of(create_retried_blindly, "sync.engine.lost_creates:_may_be_sent_again")
def _never_again_by_its_key(right: Wrong, *args: Any) -> bool:
    return False


@instead_of(create_retried_blindly, "sync.engine.identity:_unlinked")
def _makes_it_anew(right: Wrong, batch: Any, subject: Any, found: LookResult, taken: dict[str, str]) -> None:
    tried = (
        Intent.objects.filter(entity_id=subject.id, item_id="").exclude(state=IntentState.REFUSED).exists()
    )
    right(batch, subject, LookResult() if tried else found, taken)


bisects_after_timeout = bug(
    "bisect_after_a_timeout",
    "a document whose outcome is unknown is divided and sent again",
    act="drill_create_without_answer",
)


@instead_of(bisects_after_timeout, "sync.engine.writing:_whole_failed")
def _divides_whatever_failed(
    right: Wrong, batch: Any, subjects: Sequence[Any], build: Any, error: Any, keeps_body: bool
) -> None:
    if not error.outcome_unknown:
        right(batch, subjects, build, error, keeps_body)
        return
    intents.void(subjects)
    half = max(len(subjects) // 2, 1)
    for part in filter(None, (subjects[:half], subjects[half:])):
        writing._send(batch, part, build, keeps_body=keeps_body)


lease_ignored = bug(
    "lease_ignored", "a worker works on a board that another one holds", act="drill_two_at_one_board"
)


@instead_of(lease_ignored, "sync.lease:take")
def _takes_it_anyway(right: Wrong, link: Any, *args: Any) -> Lease:
    return right(link, *args) or Lease(link, token=BoardLease.objects.get(link=link).token or uuid.uuid4())


@instead_of(lease_ignored, "sync.lease:Lease.release")
def _leaves_it_to_the_other(right: Wrong, lease: Lease) -> None:
    """Who shares a lease doesn't end it."""
