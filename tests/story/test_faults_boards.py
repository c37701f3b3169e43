"""Eleven boards, four workers: boards at their limits hold nobody up, and a restart of PostgreSQL loses nothing."""

import re
from collections.abc import Callable, Iterator

import pytest
from django.db import connection, connections

from config.embedded.processes import Child
from npd.models import Organization
from sync.limits import breaker
from sync.models import ApiUsage, BoardLink, SyncQueue
from sync.outbox import notify
from tests.plugin import SERVERS
from tests.story.conftest import Staff, leases, sweep_every_second
from tests.support.arrived import CONTACTS, Kind, Writers, all_arrived
from tests.support.boards.models import THINGS, things
from tests.support.site import Processes, Site

NINE = [Kind(thing, "mark") for thing in THINGS]
ORGANIZATIONS = Kind(Organization, "notes")
ELEVEN = [CONTACTS, ORGANIZATIONS, *NINE]
NAMES = [f"Number {number}" for number in range(3)]
POINTS = 3_000_000  # complexity a minute
POINTS_BUT_RESERVE = 2_940_000


@pytest.fixture
def nine_more(transactional_db: None, processes: Processes) -> Iterator[None]:
    """Nine models, with their tables, that all processes know."""
    with things(), processes.with_variables(DJANGO_SETTINGS_MODULE="tests.support.boards.settings"):
        yield


@pytest.fixture
def eleven(nine_more: None, site: Site) -> Site:
    """NPD with eleven boards, all of them empty."""
    return site


@pytest.fixture
def people() -> Writers:
    return Writers()


def wake_all() -> None:
    """What saves do that send a wake-up."""
    for kind in ELEVEN:
        notify.notify_now(kind.entity_type)


def arrived(kind: Kind) -> bool:
    """Whether all records of this kind, and there are some, say that both sides agree."""
    return kind.records.exists() and not kind.records.exclude(sync_status="synced").exists()


def full(site: Site, people: Writers) -> Callable[[], None]:
    """Monday takes no further item on the contacts' board, and has said so; returns what ends that."""
    board = int(BoardLink.objects.get(entity_type="contact").board_id)
    site.sandbox.control("boards", board_id=board, items_limit=0)
    people.new(NAMES[:1])
    notify.notify_now("contact")
    site.wait_for("its worker has given up", lambda: calls_for("contact") and not leases())
    return lambda: site.sandbox.control("boards", board_id=board, items_limit=10_000)


def dear(site: Site, people: Writers) -> None:
    """A look at organizations needs all points of a minute, of which some are spent; a new minute ends that."""
    site.sandbox.control("plan", plan="enterprise", points=POINTS)
    breaker.fetch_account_info()
    BoardLink.objects.filter(entity_type="organization").update(read_points=POINTS_BUT_RESERVE - 10_000)
    people.new(NAMES[:1], ORGANIZATIONS)


def test_boards_that_are_full_or_too_dear_are_not_asked_for_while_nine_others_drain(
    eleven: Site, people: Writers, later: Callable[[float], None]
) -> None:
    sweep_every_second()
    end = full(eleven, people)
    dear(eleven, people)
    limited = ("contact", "organization")
    spent = [calls_for(entity_type) for entity_type in limited]
    for kind in NINE:
        people.new(NAMES, kind)
    wake_all()
    eleven.wait_for("the nine others are done", lambda: all(arrived(kind) for kind in NINE), 40)

    assert [calls_for(entity_type) for entity_type in limited] == spent
    rows = SyncQueue.objects.filter(entity_type__in=limited).order_by("entity_type")
    assert list(rows.values_list("entity_type", "status", "attempts")) == [(one, "pending", 0) for one in limited]
    assert set(eleven.sandbox.control("plan", "GET")["refused"].values()) <= {0}
    eleven.processes.rest()
    end()
    later(130)
    eleven.processes.work()
    wake_all()
    # What the nine spend first may leave the dear one too little of this minute: then it has the next.
    all_arrived(eleven.sandbox, *ELEVEN, seconds=100)


def calls_for(entity_type: str) -> float:
    """The calls to Monday that were made for this board."""
    return float(sum(ApiUsage.objects.filter(entity_type=entity_type).values_list("calls", flat=True)))


def test_postgresql_restarted_under_four_workers_loses_and_doubles_nothing(
    eleven: Site, people: Writers, staff: Staff, later: Callable[[float], None], pytestconfig: pytest.Config
) -> None:
    sweep_every_second()
    workers = [eleven.processes.children["worker"], staff("worker-2")]  # each has two processes
    for kind in ELEVEN:
        people.new(NAMES, kind)
    eleven.sandbox.control("latency", call_ms=100)
    wake_all()
    eleven.wait_for("four boards are worked on", lambda: leases() == 4)
    restart_postgres(pytestconfig)
    eleven.sandbox.control("latency", call_ms=0)
    for kind in ELEVEN:
        people.change(NAMES[:1], kind)
    eleven.wait_for("what can go on has gone on", lambda: not (running(workers) or can_go_on()), 40)
    later(130)  # past the deadline of calls that nobody has the answer of, and past leases of the interrupted
    wake_all()
    all_arrived(eleven.sandbox, *ELEVEN)
    assert [worker.ended for worker in workers] == [None, None]


def restart_postgres(config: pytest.Config) -> None:
    """The embedded server ends and starts; of a real one all other connections of our database end."""
    postgres = config.stash[SERVERS].postgres
    if postgres:
        connections.close_all()
        postgres.stop()
        postgres.start()
        return
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


def running(workers: list[Child]) -> set[str]:
    """The tasks that were begun and have not ended, as the workers' logs tell."""
    said = "\n".join(line for worker in workers for line in worker.last_lines(100_000))
    begun, ended = (
        re.findall(rf"Task sync\.\w+\[([\w-]+)\] (?:{word})", said) for word in ("received", "succeeded|raised")
    )
    return set(begun) - set(ended)


def can_go_on() -> bool:
    """Whether a row is due that no open call and no held board keeps."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS (SELECT FROM sync_queue AS row WHERE status = 'pending' AND next_retry <= sync_now()"
            " AND NOT EXISTS (SELECT FROM sync_intents WHERE entity_id = row.entity_id AND state = 'open')"
            " AND NOT EXISTS (SELECT FROM sync_board_leases JOIN sync_board_links ON link_id = id"
            " WHERE entity_type = row.entity_type AND token IS NOT NULL))"
        )
        return bool(cursor.fetchone()[0])
