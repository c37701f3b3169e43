"""What a web process counted in its memory is not lost with it."""

import signal

import pytest
import requests

from tests.metrics.conftest import Figures, bearer
from tests.support.site import Site

pytestmark = pytest.mark.django_db(transaction=True)


def test_webhooks_counted_last_are_stored_when_the_process_is_told_to_end(quiet_site: Site) -> None:
    refused = quiet_site.path("/webhooks/monday/wrong/")
    for _ in range(3):
        assert requests.post(refused, json={"event": {}}, timeout=10).status_code == 401
    quiet_site.processes.end("web", signal.SIGTERM)
    quiet_site.processes.serve()
    answer = requests.get(quiet_site.path("/metrics"), headers=bearer(), timeout=10)
    assert Figures(answer.text).value("webhooks_total", result="refused") == 3
