"""The web process tells what worker, beat and its own doors did, and still knows it after all were restarted."""

import signal

import pytest
import requests

from npd.models import Contact
from tests.metrics.conftest import Figures, bearer
from tests.support.site import Site

pytestmark = pytest.mark.django_db(transaction=True)


def scraped(site: Site) -> Figures:
    answer = requests.get(site.path("/metrics"), headers=bearer(), timeout=10)
    assert answer.status_code == 200
    return Figures(answer.text)


def test_what_the_worker_did_stands_in_the_webs_answer_and_survives_its_restart(site: Site) -> None:
    before = scraped(site).value("latency_seconds_count", board="contact", direction="to_monday") or 0
    Contact.objects.create(name="Ann")
    site.wait_for("the contact is synced", Contact.objects.filter(sync_status="synced").exists)
    site.wait_for("its webhooks are counted", lambda: (scraped(site).value("webhooks_total", result="stored") or 0) > 0)
    first = scraped(site)
    assert first.value("latency_seconds_count", board="contact", direction="to_monday") == before + 1
    assert (first.value("looks_total", board="contact") or 0) >= 1
    site.processes.end("web", signal.SIGTERM)
    site.processes.serve()
    again = scraped(site)
    for name, labels in (("looks_total", {"board": "contact"}), ("webhooks_total", {"result": "stored"})):
        assert (again.value(name, **labels) or 0) >= (first.value(name, **labels) or 0)


def test_webhooks_counted_last_are_stored_when_the_process_is_told_to_end(quiet_site: Site) -> None:
    site = quiet_site
    refused = site.path("/webhooks/monday/wrong/")
    for _ in range(3):
        assert requests.post(refused, json={"event": {}}, timeout=10).status_code == 401
    site.processes.end("web", signal.SIGTERM)
    site.processes.serve()
    assert (scraped(site).value("webhooks_total", result="refused") or 0) == 3
