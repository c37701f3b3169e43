"""How large a board's documents may be is learned from its calls, even if the first guess is far off."""

from typing import Any

import pytest

from sync.limits import metered_client
from sync.limits.api_quota import batch_size
from sync.limits.board_limits import LimitFacts, PassGrant
from sync.limits.metered_client import meter_board_calls
from sync.models import ApiQuota, BoardLink, SyncQueue
from sync.monday.errors import COMPLEXITY_EXHAUSTED, SERVER_FAILED, TIMED_OUT, ErrorKind, MondayError
from sync.monday.graphql import Answer, Complexity
from tests.limits.test_shared import Answering, board, set_quota
from tests.support.refusals import refusal

pytestmark = pytest.mark.django_db


class Dear(Answering):
    """On this Monday a written record costs far more than its documents say."""

    def __init__(self, each: int, limit: int) -> None:
        super().__init__(each)
        self.limit = limit
        self.refused = 0

    def execute(self, document: str, variables: Any, *, idempotency_key: str | None = None) -> Answer:
        cost = self.points * variables["records"]
        if cost > self.limit:
            self.refused += 1
            raise MondayError(COMPLEXITY_EXHAUSTED, "Complexity quota exhausted", wait_seconds=30)
        return Answer(data={}, complexity=Complexity(cost, self.limit - cost, 60))


def wait_out_the_minute() -> None:
    """Both Monday's minute and ours end."""
    ApiQuota.objects.update(points=0, points_end=None)


def write(client: Answering, link: BoardLink) -> int:
    """Write as many records as the allowance permits; returns how many, 0 if they were refused."""
    grant = LimitFacts().grant_pass(link.entity_type)
    assert isinstance(grant, PassGrant)
    with meter_board_calls(link, grant.size, writes=True):
        try:
            metered_client.MeteredClient(client).execute("mutation { … }", {"records": grant.size})
        except MondayError as error:
            if error.kind is not COMPLEXITY_EXHAUSTED:
                raise
            return 0
        return grant.size


def test_a_document_that_costs_more_than_was_thought_is_not_refused_for_ever() -> None:
    link, client = board(), Dear(each=35_000, limit=1_000_000)
    SyncQueue.objects.bulk_create(SyncQueue(entity_type="contact", remote_id=str(n)) for n in range(2, 200))
    set_quota(points_limit=1_000_000)
    written = []
    for _ in range(10):
        written.append(write(client, link))
        wait_out_the_minute()
    assert client.refused <= 2
    assert all(0 < size <= 28 for size in written[2:])
    assert written[-1] >= 20


class Failing(Answering):
    def __init__(self, kind: ErrorKind) -> None:
        super().__init__(points=1)
        self.kind = kind

    def execute(self, *args: Any, **more: Any) -> Answer:
        raise MondayError(self.kind, "failed")


@pytest.mark.parametrize(
    ("kind", "records", "size"), [(TIMED_OUT, 1, 100), (TIMED_OUT, 40, 10), (SERVER_FAILED, 8, 100)]
)
def test_only_a_document_of_many_records_that_timed_out_makes_later_ones_smaller(
    kind: ErrorKind, records: int, size: int
) -> None:
    link = board()
    with refusal(kind), meter_board_calls(link, records, writes=True):
        metered_client.MeteredClient(Failing(kind)).execute("mutation { … }", {})
    assert batch_size(link.pk) == size


def test_an_answer_for_a_board_that_was_removed_meanwhile_is_still_an_answer() -> None:
    link = board()
    set_quota(day_limit=100)
    with meter_board_calls(link, 3):
        BoardLink.objects.all().delete()
        answer = metered_client.MeteredClient(Answering(points=40)).execute("query { me { id } }", {})
    assert answer.complexity is not None
