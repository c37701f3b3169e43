"""Both sides filled with the same people, as if they had worked side by side for years."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pghistory
from django.db import transaction

from npd.demo import records
from npd.demo.board import Sandbox, items_of
from npd.models import Contact, Organization
from sync.boards import link_of
from sync.draining import Drained, drain
from sync.models import BoardLink, SyncedModel

Say = Callable[[str], None]

STRANGER: dict[str, object] = {
    "name": "Somebody met at the fair",
    "values": {
        "phone": {"phone": "+442079460999", "countryShortName": "GB"},
        "notes": {"text": "Wrote no e-mail down."},
    },
}
SLICE_SECONDS = 1.0
SEED = "seed"  # marks the seeding in the history, so that a later run knows of it


def is_empty() -> bool:
    """Whether NPD holds no record at all, which is when the demo may fill it."""
    return not (Contact.objects.exists() or Organization.objects.exists())


def seed(sandbox: Sandbox) -> int:
    """Put the sample records into NPD and on the boards; return how many. Linking comes afterwards."""
    with pghistory.context(cause="import", demo=SEED), transaction.atomic():
        # Each refers to the other; the constraints are checked at the commit.
        firms = Organization.objects.bulk_create(records.organizations())
        people = Contact.objects.bulk_create(records.contacts())
        _load(sandbox, "organization", firms)
        _load(sandbox, "contact", people, [STRANGER])
    return len(firms) + len(people)


def _load(
    sandbox: Sandbox, entity_type: str, found: Sequence[SyncedModel], others: Sequence[dict[str, object]] = ()
) -> None:
    """A board that holds items already was filled by a run that ended before it could say so."""
    link = _link(entity_type)
    if not sandbox.item_count(link.board_id):
        sandbox.load(link.board_id, [*items_of(link, found), *others])


def _link(entity_type: str) -> BoardLink:
    link = link_of(entity_type)
    if link is None:
        raise RuntimeError(f"monday_setup has not run for {entity_type}.")
    return link


def link_all(say: Say) -> None:
    """Let the queue find each record's item by its NPD ID: reads of 100, no writes."""
    total = _count(linked=None)

    def progress(drained: Drained, due: int) -> None:
        say(f"  linked {_count(linked=True):,} of {total:,} …")

    drain(progress, seconds=SLICE_SECONDS)
    say(f"  linked {_count(linked=True):,} of {total:,}.")


def _count(linked: bool | None) -> int:
    models: tuple[type[SyncedModel], ...] = (Contact, Organization)
    found = [model._default_manager.all() for model in models]
    if linked is not None:
        found = [records_of_model.filter(monday_id__isnull=not linked) for records_of_model in found]
    return sum(records_of_model.count() for records_of_model in found)
