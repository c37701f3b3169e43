"""A create that can't be found out about keeps no other record of its board from Monday."""

import uuid
from datetime import timedelta

import pytest
from django.utils import timezone

from npd.models import Contact
from sync.models import Intent, SyncQueue
from tests.support.world import World

pytestmark = pytest.mark.django_db(transaction=True)


def test_an_api_write_that_cannot_be_read_counts_for_its_record_alone_and_its_item_is_made_anew(world: World) -> None:
    broken = Contact.objects.create(name="Ada", email="ada@example.com")
    Intent.objects.create(
        entity_type="contact",
        entity_id=broken.pk,
        board_id=world.board_id(),
        lease_token=uuid.uuid4(),
        idempotency_key="k",
        alias="r0",
        values={},
        body={"unreadable": True},
        deadline=timezone.now() - timedelta(minutes=5),
    )
    other = Contact.objects.create(name="Ben", email="ben@example.com")
    world.work()
    other.refresh_from_db()
    assert other.sync_status == "synced"
    assert SyncQueue.objects.get(entity_id=broken.pk).attempts == 1
    assert "KeyError" in SyncQueue.objects.get(entity_id=broken.pk).error_message

    world.work(minutes=10)
    broken.refresh_from_db()
    assert broken.sync_status == "synced"
    assert sorted(item["name"] for item in world.sandbox.items()) == ["Ada", "Ben"]
