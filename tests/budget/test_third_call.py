"""Making tags is a third call of a look that reserved two: where it finds no room, nobody's row pays for it."""

import pytest

from npd.models import Organization
from sync.models import SyncQueue
from tests.budget.conftest import Planned
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


def test_more_tags_than_a_minute_has_points_for_are_made_in_several(tagged: World, monday: Planned) -> None:
    firm = Organization.objects.create(name="Many", aliases=[f"Tag {n}" for n in range(120)])
    for _ in range(4):
        tagged.work()
        assert untouched([firm]) or tagged.values(firm)["aliases"]
        tagged.pass_time(seconds=110)
    assert len(tagged.values(firm)["aliases"].split(", ")) == 120
    assert monday.refused == 0
