"""A table with 100,000 dead letters: what lives in it goes on as if they weren't there."""

from django.db import connection, transaction
from django.test import Client

from sync.models import BoardLink
from sync.outbox import lease
from sync.outbox.claim import claim
from tests.story.conftest import read, save, sweep_every_second, synced
from tests.support.arrived import Writers, all_arrived
from tests.support.site import Site

DEAD = 100_000
_BURY = """
    INSERT INTO sync_queue (entity_type, entity_id, status, attempts, finished_at, error_message, created_at)
    SELECT 'contact', gen_random_uuid(), 'failed', 5, sync_now(), 'Monday refused it.',
        sync_now() - number * interval '1 second'
    FROM generate_series(1, %s) AS number
"""


def test_what_lives_among_100_000_dead_rows_goes_on_as_if_they_were_not_there(quiet_site: Site) -> None:
    site = quiet_site
    with connection.cursor() as cursor:
        cursor.execute(_BURY, [DEAD])
        cursor.execute("ANALYZE sync_queue")
    a_claim_reads_none_of_them()
    site.processes.work()
    saves_arrive(site)
    the_screens_answer(site)
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM sync_queue WHERE status = 'failed'")
    all_arrived(site.sandbox)


def a_claim_reads_none_of_them() -> None:
    Writers().new(f"Person {number}" for number in range(20))
    held = lease.acquire(BoardLink.objects.get(entity_type="contact"))
    assert held is not None
    with transaction.atomic():
        assert len(claim(held, 100)) == 20
        whole, rows = read_in_this_transaction()
        transaction.set_rollback(True)
    assert whole == 0
    assert rows < DEAD / 100
    held.release()


def saves_arrive(site: Site) -> None:
    sweep_every_second()
    people = Writers()
    contact = save(site, name="Alive", role_title=people.number())
    site.wait_for("the save arrives", lambda: synced("Alive"))
    people.change(["Alive"])
    people.new(["Also alive"])
    site.wait_for("the sweep finds them", synced)
    item = site.sandbox.item_named("Alive")
    assert item is not None
    site.sandbox.act("edit", item_id=item["id"], column_id="role_title", text="99999")
    site.wait_for("the edit comes back", lambda: read(site, contact)["role_title"] == "99999")


def the_screens_answer(site: Site) -> None:
    stats = site.api.get(site.path("/api/v1/sync/queue/stats"), timeout=30).json()
    assert (stats["failed"], stats["due"]) == (DEAD, 0)
    listed = site.api.get(site.path("/api/v1/sync/queue/?status=failed&page_size=100"), timeout=30).json()
    assert (listed["count"], len(listed["results"])) == (DEAD, 100)
    client = Client()
    client.force_login(site.user)
    for page in ("/admin/sync/syncqueue/", "/admin/sync/syncqueue/?status__exact=failed&p=2", "/admin/"):
        assert client.get(page).status_code == 200


def read_in_this_transaction() -> tuple[int, int]:
    """How often the queue's table was read from end to end, and how many of its rows an index led to."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT seq_scan, idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relname = 'sync_queue'")
        whole, rows = cursor.fetchone()
    return whole, rows
