"""Held deletes of items and records are released when their cause is gone."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.contrib.auth.models import User
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from npd.models import Contact
from sync.choices import ApprovalKind, ApprovalState, RemovedItemPolicy
from sync.clock import SyncNow
from sync.models import ApprovalRequest, BoardLink, SyncMetadata, Tombstone
from sync.records.approvals import approve, read_approvals, reject, release_obsolete
from tests.guard.test_fields import states
from tests.support.clock import move_clock, reset_clock

pytestmark = pytest.mark.django_db


@pytest.fixture
def link() -> BoardLink:
    return BoardLink.objects.create(entity_type="contact", board_id="1", match_key="email")


@pytest.fixture
def moved_clock(transactional_db: None) -> Iterator[None]:
    yield
    reset_clock()


def allowed(link: BoardLink, kind: ApprovalKind, wanted: list[UUID]) -> set[UUID]:
    """Decide as a pass does, store the verdicts, and return the records that may go."""
    facts = read_approvals(link, [kind], wanted)
    verdicts = facts.verdicts(kind, [(key, "") for key in wanted])
    ApprovalRequest.objects.bulk_create(
        ApprovalRequest(entity_type=link.entity_type, entity_id=key, kind=kind, state=new_state)
        for (key, _), (_, new_state) in verdicts.items()
        if new_state
    )
    return {key for (key, _), (may_go, _) in verdicts.items() if may_go}


def deleted(number: int, state: str = "waiting") -> list[UUID]:
    """Ids of contacts that were just deleted, each with an item."""
    ids = [uuid4() for _ in range(number)]
    Tombstone.objects.bulk_create(
        Tombstone(entity_type="contact", entity_id=key, monday_id=f"i{key}", state=state) for key in ids
    )
    return ids


def test_a_mass_delete_is_held_from_its_first_document_on(link: BoardLink) -> None:
    """Even if a document carries one record: the waiting tombstones show what follows."""
    ids = deleted(3)
    assert allowed(link, ApprovalKind.ITEMS, ids[:1]) == set()


def test_many_items_gone_at_once_are_known_to_follow_where_the_policy_deletes(link: BoardLink) -> None:
    link.removed_item_policy = RemovedItemPolicy.DELETE
    link.save()
    ids = [uuid4() for _ in range(3)]
    SyncMetadata.objects.bulk_create(
        SyncMetadata(entity_type="contact", entity_id=str(key), system="monday", removed_since=SyncNow()) for key in ids
    )
    assert allowed(link, ApprovalKind.RECORDS, ids[:1]) == set()
    link.removed_item_policy = RemovedItemPolicy.ASK
    assert len(allowed(link, ApprovalKind.RECORDS, [uuid4()])) == 1, "asked about one by one, they are no mass"


def test_boards_are_counted_apart(link: BoardLink) -> None:
    other = BoardLink.objects.create(entity_type="organization", board_id="2", match_key="name")
    assert len(allowed(link, ApprovalKind.ITEMS, [uuid4(), uuid4()])) == 2
    assert len(allowed(other, ApprovalKind.ITEMS, [uuid4(), uuid4()])) == 2


def test_a_board_does_not_become_small_by_the_deletes_themselves(link: BoardLink, settings: object) -> None:
    settings.GUARD_RECORDS, settings.GUARD_PERCENT = 0, 10  # type: ignore[attr-defined]
    deleted(60)
    assert allowed(link, ApprovalKind.ITEMS, [uuid4()]) == set()


def test_both_settings_at_zero_switch_the_guard_off(link: BoardLink, settings: object) -> None:
    settings.GUARD_RECORDS = settings.GUARD_PERCENT = 0  # type: ignore[attr-defined]
    assert len(allowed(link, ApprovalKind.ITEMS, deleted(200))) == 200


@pytest.mark.parametrize(
    ("before", "tombstone", "after"),
    [
        ("pending", "nothing_left", "released"),
        ("pending", "restored", "released"),
        ("pending", "unlinked", "released"),
        ("approved", "archived", "done"),
        ("approved", "deleted", "done"),
        ("rejected", "unlinked", "kept"),
        # Somebody else took it away meanwhile: nothing was kept.
        ("rejected", "archived", "released"),
        ("rejected", "deleted", "released"),
        ("pending", "pending_approval", "pending"),
        ("approved", "waiting", "approved"),
    ],
)
def test_a_held_delete_ends_with_its_tombstone(link: BoardLink, before: str, tombstone: str, after: str) -> None:
    ids = deleted(3)
    allowed(link, ApprovalKind.ITEMS, ids)
    ApprovalRequest.objects.update(state=before)
    Tombstone.objects.update(state=tombstone)
    release_obsolete()
    assert states() == [after] * 3


def test_a_held_delete_of_a_record_ends_when_its_item_is_back(link: BoardLink) -> None:
    contacts = [Contact.objects.create(name=f"Ann {n}", monday_id=f"i{n}") for n in range(3)]
    for contact in contacts:
        SyncMetadata.objects.update_or_create(
            entity_type="contact", entity_id=str(contact.pk), system="monday", defaults={"removed_since": SyncNow()}
        )
    allowed(link, ApprovalKind.RECORDS, [c.pk for c in contacts])
    assert release_obsolete() == 0
    SyncMetadata.objects.filter(entity_id=str(contacts[0].pk)).update(removed_since=None)
    Contact.objects.filter(pk=contacts[1].pk).update(sync_enabled=False)
    assert release_obsolete() == 2
    assert states() == ["pending", "released", "released"]


ANSWERS = {"approve": "archived", "reject": "unlinked", "restore": "restored"}
STEPS = st.one_of(
    st.tuples(st.just("delete"), st.integers(1, 4)),
    st.tuples(st.sampled_from(list(ANSWERS)), st.integers(1, 4)),
    st.tuples(st.just("wait"), st.sampled_from([7, 21, 35, 63])),  # minutes; no sum of them is an hour
)


@given(steps=st.lists(STEPS, min_size=2, max_size=9))
@example(steps=[("delete", 4), ("restore", 4), ("delete", 1)])
@example(steps=[("delete", 4), ("reject", 4), ("delete", 1)])
@hypothesis_settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_nothing_goes_unasked_in_an_hour_in_which_more_than_the_limit_was_wanted_whatever_was_answered(
    link: BoardLink, mary: User, settings: Any, moved_clock: None, steps: list[tuple[str, int]]
) -> None:
    """What waits, was approved or was done unasked counts; what was given up does not."""
    settings.GUARD_RECORDS, now, wanted_at = 3, 0, dict[UUID, int]()
    reset_clock()
    for model in (ApprovalRequest, Tombstone):
        model.objects.all().delete()
    for step, number in steps:
        if step == "wait":
            now += number
            move_clock(timedelta(minutes=now))
        elif step == "delete":
            ids = deleted(number)
            wanted_at |= dict.fromkeys(ids, now)
            unasked = allowed(link, ApprovalKind.ITEMS, ids)
            end(unasked, "archived")
            end(set(ids) - unasked, "pending_approval")
            within_hour = {key for key, at in wanted_at.items() if now - at < 60}
            waiting = ApprovalRequest.objects.filter(state=ApprovalState.PENDING).values_list("entity_id", flat=True)
            assert (unasked == set(ids)) is (len(within_hour.union(waiting)) <= 3)
            assert unasked in (set(), set(ids))
        else:
            chosen = ApprovalRequest.objects.filter(state=ApprovalState.PENDING).order_by("id")[:number]
            which = set(chosen.values_list("entity_id", flat=True))
            if step == "approve":
                approve(chosen, mary)
                assert allowed(link, ApprovalKind.ITEMS, list(which)) == which
            elif step == "reject":
                reject(chosen, mary)
            # What is approved is carried out now, what is rejected or restored never.
            wanted_at = {key: at for key, at in wanted_at.items() if key not in which}
            wanted_at |= dict.fromkeys(which if step == "approve" else (), now)
            end(which, ANSWERS[step])
            release_obsolete()


def end(ids: set[UUID], state: str) -> None:
    Tombstone.objects.filter(entity_id__in=ids).update(state=state)
