"""Making tags is a third call of a look that reserved two: where it finds no room, nobody's row pays for it."""

import pytest

from npd.models import Organization
from sync.limits import breaker
from sync.models import ApiBudget, ApiReservation, SyncQueue
from tests.budget.conftest import Planned
from tests.budget.test_worker import spent
from tests.engine.test_relations import add_column, adopt
from tests.support.world import World


@pytest.fixture
def tagged(world: World, monday: Planned) -> World:
    """The organizations' board keeps aliases as tags; the plan is known."""
    add_column(world, "organization", "Aliases", "tags")
    adopt("organization")
    monday.limits(plan="free")
    return world


def untouched(firms: list[Organization]) -> bool:
    """They wait, with all their attempts."""
    rows = SyncQueue.objects.filter(entity_id__in=[firm.pk for firm in firms])
    return set(rows.values_list("status", "attempts")) == {("pending", 0)}


def test_without_room_for_the_write_after_making_tags_rows_go_back_without_an_attempt(
    tagged: World, monday: Planned
) -> None:
    firms = [Organization.objects.create(name=f"Firm {n}", aliases=[f"Tag {n}"]) for n in range(3)]
    row = ApiBudget.objects.get()
    assert row.minute_limit
    spent(minute_calls=row.minute_limit - 20 - 2, minute_ends=row.minute_ends)
    before = tagged.calls()
    tagged.work()
    assert tagged.calls() - before == 2  # the read, and the tags
    assert untouched(firms)
    reason = SyncQueue.objects.filter(entity_id=firms[0].pk).get().reason
    assert reason.startswith("This minute's calls to Monday are used up.")
    assert "Monday asks" not in reason  # nobody asked it
    assert breaker.monday_account().stopped_until is None
    assert ApiReservation.objects.count() == 0
    tagged.work(seconds=110)
    assert tagged.values(firms[2])["aliases"] == "Tag 2"
    assert monday.refused == 0


def test_more_tags_than_a_minute_has_points_for_are_made_in_several(tagged: World, monday: Planned) -> None:
    firm = Organization.objects.create(name="Many", aliases=[f"Tag {n}" for n in range(120)])
    for _ in range(4):
        tagged.work()
        assert untouched([firm]) or tagged.values(firm)["aliases"]
        tagged.pass_time(seconds=110)
    assert len(tagged.values(firm)["aliases"].split(", ")) == 120
    assert monday.refused == 0
