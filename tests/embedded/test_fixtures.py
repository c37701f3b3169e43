"""The fixtures of tests/conftest.py keep what they promise."""

import pytest

from npd.models import Contact
from tests.story.conftest import sweep_every_second
from tests.support.sandbox import Sandbox
from tests.support.site import Site, log_of


@pytest.mark.parametrize("turn", ["first", "second"])
def test_each_test_meets_an_empty_site_whose_beat_and_worker_are_awake(site: Site, turn: str) -> None:
    sweep_every_second()
    assert not Contact.objects.exists()
    assert site.api.get(site.path("/admin/login/")).ok
    log = log_of("worker").read_text()
    seen = log.count("Task sync.sweep")
    Contact.objects.create(name=f"Left by the {turn} turn")
    site.wait_for("a sweep", lambda: log_of("worker").read_text().count("Task sync.sweep") > seen, 30)


def test_the_processes_rest_while_a_test_does_without_them(transactional_db: None) -> None:
    assert not Contact.objects.exists()


def test_each_test_meets_an_empty_sandbox(sandbox: Sandbox) -> None:
    assert sandbox.boards() == []
    assert sandbox.query("{ me { id } }")["data"]["me"]["id"]
