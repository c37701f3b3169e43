"""From what is drawn up to a comparison, and from there to a confirmed plan with its price."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import F
from django.utils.translation import gettext as _

from sync import registry
from sync.backfill.preview import CALLS_A_JOB, SECONDS_A_CALL, SECONDS_A_JOB
from sync.boards import link_of
from sync.choices import Rule
from sync.clock import SyncNow, sync_now
from sync.connectors.monday.documents import ITEMS_PER_PAGE, ITEMS_PER_READ
from sync.connectors.monday.hooks import WEBHOOK_EVENTS
from sync.connectors.monday.ingest import ROWS_PER_JOB
from sync.models import ApiBudget, SetupDraft, SetupState
from sync.wake import nudge
from sync.wizard import permission
from sync.wizard.differing import in_words
from sync.wizard.drafts import NEW, OUT, changes_of, drafts, fields_of, link_with, note, npd_id_of
from sync.wizard.errors import Moved, WizardError
from sync.wizard.fields import MAKE, Chosen, chosen_of
from sync.wizard.meanwhile import WAS, changed_since, standing_of

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
    """Let a worker carry out what was chosen of the page's plan, all of it or nothing; raises Moved, WizardError.

    `seen` gives the revisions of the chosen set-ups, by type; others stay open as they are.
    """
    permission.check(user)
    with transaction.atomic():
        open_ones = SetupDraft.objects.select_for_update().exclude(state=SetupState.DONE)
        found = [draft for draft in open_ones.order_by("pk") if draft.pk in seen]
        _check(found, seen)
        _check_relations(found)
        since = _rest_on_what_is(found)
        for draft in () if since else found:
            SetupDraft.objects.filter(pk=draft.pk).update(
                state=SetupState.RUNNING, revision=F("revision") + 1, changed_by=user, changed_at=SyncNow(),
                progress="", problem="", outcome={**draft.outcome, "by": user.get_username()},
                token=None, held_until=None,
            )  # fmt: skip
            note(user, draft.entity_type, _told(draft))
        transaction.on_commit(wake, robust=True)
    if since:
        said = _(
            "After this set-up was drawn up, settings were changed elsewhere: %(what)s. Nothing was begun. Confirming "
            "sets them as this plan says: look at it again, then confirm it or map the fields anew."
        )
        raise Moved(said % {"what": since})


def _rest_on_what_is(found: Sequence[SetupDraft]) -> str:
    """Return what was changed since these were drawn up; once a person was told, they rest on that."""
    told = []
    for draft in found:
        link = link_with(draft)
        if since := changed_since(draft, link, fields_of(draft.entity_type)):
            told.append(since)
            outcome = {**draft.outcome, WAS: standing_of(link)}
            SetupDraft.objects.filter(pk=draft.pk).update(outcome=outcome, revision=F("revision") + 1)
    return "; ".join(told)


def _told(draft: SetupDraft) -> str:
    """What was confirmed, for the log: what the plan comes to, and what of the mapping it changes."""
    said = _("Set-up confirmed: %(what)s. %(changes)s. Where both sides differ at first: %(rule)s.")
    rule = Rule(draft.first_match).label
    return said % {"what": in_short(draft), "changes": in_words(changes_of(draft)), "rule": rule}


def _check_relations(found: Sequence[SetupDraft]) -> None:
    """A field that points at records whose board is only drawn up needs that set-up, too; raises WizardError."""
    taken = {draft.pk for draft in found}
    for draft in found:
        chosen = chosen_of(draft.fields)
        for one in fields_of(draft.entity_type):
            if not one.target or one.target in taken or not chosen.get(one.key, Chosen()).synced:
                continue
            link = link_of(one.target)
            if link is None or not link.board_id or link.board_id != one.target_board:
                said = _(
                    "%(field)s points at the %(other)s records, whose set-up was not chosen. Choose both, or leave "
                    "the field out of the sync."
                )
                raise WizardError(said % {"field": one.label, "other": one.target})


def _check(found: Sequence[SetupDraft], seen: Mapping[str, int]) -> None:
    if not seen:
        raise WizardError(_("No set-up was chosen, so nothing was begun. Choose at least one."))
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
    out = count["out"] + len(draft.found.get("unsure_of", {}))
    return said % {"create": count["create"], "link": count["link"], "out": out}


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
        "out": len(near) - linked - new,  # those that are like several items count as ambiguous
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
    return [one for one in draft.found.get("near", []) if not answer_of(draft, one)]


def answer_of(draft: SetupDraft, pair: Mapping[str, Any]) -> str:
    """Return what was said of a pair of like names; empty where nothing was, or only of another item."""
    said = str(draft.answers.get(pair["record"], ""))
    return said if said in (pair["item"], NEW, OUT) else ""


def title_of(draft: SetupDraft) -> str:
    """Return what a type's records are called, in the plural."""
    return registry.entity(draft.entity_type).board_title


def wake() -> None:
    """Nudge a worker; a broker that is away costs time, for Beat asks every ten seconds."""
    from sync.tasks import carry_on_set_ups

    nudge(carry_on_set_ups)
