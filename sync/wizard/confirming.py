"""From what is drawn up to a comparison, and from there to a confirmed plan with its price."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import structlog
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import F
from django.utils.translation import gettext as _

from sync import registry
from sync.backfill.preview import CALLS_A_JOB, SECONDS_A_CALL, SECONDS_A_JOB
from sync.clock import SyncNow, sync_now
from sync.connectors.monday.documents import ITEMS_PER_PAGE, ITEMS_PER_READ
from sync.connectors.monday.hooks import WEBHOOK_EVENTS
from sync.connectors.monday.ingest import ROWS_PER_JOB
from sync.models import ApiBudget, SetupDraft, SetupState
from sync.wizard import permission
from sync.wizard.drafts import NEW, drafts, note, npd_id_of
from sync.wizard.errors import Moved, WizardError
from sync.wizard.fields import MAKE, chosen_of

log = structlog.get_logger(__name__)

GOOD_FOR = timedelta(minutes=30)
"""A plan that is older is made anew before it can be confirmed: people work on both sides meanwhile."""
COUNTED = ("linked", "to_monday", "to_npd", "conflicts", "held", "invalid", "ambiguous", "missing")
BULK = 500
"""Records from which on Monday's bulk import creates them: it takes minutes, and few calls."""


@dataclass(frozen=True)
class Price:
    """About how many calls a plan takes, how many minutes, and which share of the day's calls."""

    calls: int = 0
    minutes: int = 0
    share_of_day: float | None = None


def compare_again(user: User, entity_types: Sequence[str] = ()) -> None:
    """Have both sides compared, of all set-ups whose fields are mapped, or of these; what was found is forgotten."""
    permission.check(user)
    for entity_type in _begin_comparing(entity_types):
        note(user, entity_type, _("Set-up: both sides are compared; nothing is written."))


def _begin_comparing(entity_types: Sequence[str]) -> list[str]:
    wanted = SetupDraft.objects.filter(mapped=True).exclude(state__in=(SetupState.RUNNING, SetupState.DONE))
    if entity_types:
        wanted = wanted.filter(entity_type__in=entity_types)
    found = list(wanted.values_list("entity_type", flat=True))
    wanted.update(
        state=SetupState.COMPARING, problem="", progress="", token=None, held_until=None, changed_at=SyncNow()
    )
    transaction.on_commit(wake, robust=True)
    return found


def compare_where_due(user: User) -> None:
    """Have those compared that were not since they were changed, or too long ago: no act, but part of the next step."""
    permission.check(user)
    old = sync_now() - GOOD_FOR
    due = [
        draft.entity_type
        for draft in drafts()
        if draft.mapped
        and (
            (draft.state == SetupState.DRAWN and not draft.problem)
            or (draft.state == SetupState.COMPARED and (draft.found_at is None or draft.found_at < old))
        )
    ]
    if due:
        _begin_comparing(due)


def confirm(user: User, seen: Mapping[str, int]) -> None:
    """Let a worker carry out what the page showed, all of it or nothing; raises Moved, WizardError."""
    permission.check(user)
    with transaction.atomic():
        found = list(SetupDraft.objects.select_for_update().exclude(state=SetupState.DONE).order_by("pk"))
        _check(found, seen)
        for draft in found:
            SetupDraft.objects.filter(pk=draft.pk).update(
                state=SetupState.RUNNING, revision=F("revision") + 1, changed_by=user, changed_at=SyncNow(),
                progress="", problem="", outcome={"by": user.get_username()}, token=None, held_until=None,
            )  # fmt: skip
            note(user, draft.entity_type, _("Set-up confirmed: %(what)s.") % {"what": in_short(draft)})
        transaction.on_commit(wake, robust=True)


def _check(found: Sequence[SetupDraft], seen: Mapping[str, int]) -> None:
    if not found or any(draft.state == SetupState.RUNNING for draft in found):
        raise Moved(_("It was confirmed or left out already; here is how it stands."))
    if {draft.pk: draft.revision for draft in found} != dict(seen):
        raise Moved(
            _(
                "The plan was changed after your page was opened, so nothing was begun. Look at it and confirm again."
            )
        )
    if any(draft.state != SetupState.COMPARED for draft in found):
        raise WizardError(_("Both sides are not compared yet. Wait for the plan, then confirm it."))
    old = sync_now() - GOOD_FOR
    if any(draft.found_at is None or draft.found_at < old for draft in found):
        raise WizardError(
            _("The plan is too old to be confirmed: people worked on both sides meanwhile. Compare again.")
        )


def in_short(draft: SetupDraft) -> str:
    """Return what a plan comes to, as a clause for the log."""
    count = totals(draft)
    said = _("%(create)d to create, %(link)d to link, %(out)d left out")
    return said % {"create": count["create"], "link": count["link"], "out": count["out"]}


def totals(draft: SetupDraft) -> dict[str, int]:
    """Return how many records of each kind a plan has, the answers about like names included."""
    counts, near = draft.found.get("counts", {}), draft.found.get("near", [])
    answers = [draft.answers.get(one["record"]) for one in near]
    linked = sum(answer == one["item"] for answer, one in zip(answers, near, strict=True))
    new = answers.count(NEW)
    return {
        **{name: int(counts.get(name, 0)) for name in COUNTED},
        "create": int(counts.get("create", 0)) + new,
        "link": int(counts.get("link", 0)) + linked,
        "out": len(near) - linked - new + len(draft.found.get("unsure_of", {})),
        "from_items": free_after(draft) if draft.creates_records else 0,
    }  # fmt: skip


def free_after(draft: SetupDraft) -> int:
    """Return how many items no record has, and none gets."""
    near = {one["item"] for one in draft.found.get("near", [])}
    unsure = {item for items in draft.found.get("unsure_of", {}).values() for item in items}
    return len(set(draft.found.get("free", [])) - near - unsure)


def price(plans: Sequence[SetupDraft]) -> Price:
    """Return about what it takes to carry these out."""
    calls = seconds = 0
    for draft in plans:
        count = totals(draft)
        jobs = math.ceil(count["create"] / ROWS_PER_JOB) if count["create"] >= BULK else 0
        listings = jobs * math.ceil((int(draft.found.get("items", 0)) + count["create"]) / ITEMS_PER_PAGE)
        writes = int(draft.found.get("counts", {}).get("looks_that_write", 0)) + (
            0 if jobs else count["create"]
        )
        reads = count["linked"] + count["link"] + count["ambiguous"] + count["from_items"]
        looks = math.ceil((reads + writes) / ITEMS_PER_READ) + math.ceil(writes / ITEMS_PER_READ)
        calls += _to_set_up(draft) + jobs * CALLS_A_JOB + listings + looks
        seconds += jobs * SECONDS_A_JOB
    limit = ApiBudget.objects.filter(id=1).values_list("day_limit", flat=True).first()
    minutes = max(1, math.ceil((seconds + calls * SECONDS_A_CALL) / 60)) if plans else 0
    return Price(calls, minutes, calls / limit if limit else None)


def _to_set_up(draft: SetupDraft) -> int:
    """The calls for board, columns and webhooks."""
    made = sum(one.column == MAKE for one in chosen_of(draft.fields).values()) + (not npd_id_of(draft))
    return 3 + (2 if not draft.board_id else 0) + made + len(WEBHOOK_EVENTS)


def unanswered(draft: SetupDraft) -> list[dict[str, Any]]:
    """Return the pairs of like names of which nobody has said whether they are the same."""
    return [one for one in draft.found.get("near", []) if one["record"] not in draft.answers]


def title_of(draft: SetupDraft) -> str:
    """Return what a type's records are called, in the plural."""
    return registry.entity(draft.entity_type).board_title


def wake() -> None:
    """Nudge a worker; a broker that is away costs time, for Beat asks every ten seconds."""
    from sync.tasks import carry_on_set_ups

    try:
        carry_on_set_ups.apply_async(retry=False)
    except Exception as error:  # whatever the broker's library raises: the draft is stored
        log.warning("wake-up not sent; the next tick carries the set-up on", error=type(error).__name__)
