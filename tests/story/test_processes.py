"""What real processes do when all goes well, and when one of them, the broker or PostgreSQL goes away."""

from tests.story.conftest import every_second, leases, open_connections, save, sweeps, synced, terminate_connections
from tests.support.site import Site


def test_all_processes_recover_when_postgresql_has_ended_their_connections(site: Site) -> None:
    swept = sweeps()
    every_second("sync.sweep")
    # While it starts, beat would end, and its supervisor start it again.
    site.wait_for("beat has started", lambda: sweeps() > swept)
    save(site, name="Before")
    site.wait_for("the first is synced", lambda: synced("Before"))
    # A board that was held at that moment is free when its lease ends, after a minute.
    site.wait_for("no board is held", lambda: not leases())
    children = dict(site.processes.children)
    site.wait_for("each process has a connection", lambda: open_connections() >= len(children))
    terminate_connections()
    swept = sweeps()
    save(site, name="After")
    site.wait_for("the second is synced", lambda: synced("After"), 15)
    site.wait_for("beat sends, the worker sweeps", lambda: sweeps() > swept, 20)
    assert {name: child.ended for name, child in children.items()} == dict.fromkeys(children)


def test_without_beat_the_wake_up_alone_carries_a_save(site: Site) -> None:
    site.processes.end("beat")
    save(site, name="Carried by its wake-up")
    site.wait_for("the contact is synced", lambda: synced("Carried by its wake-up"))
