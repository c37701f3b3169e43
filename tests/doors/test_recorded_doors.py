"""What others rely on from outside, recorded in texts beside this file; a change shows in the diff.

After an intended change: RECORD=1 make test ARGS="tests/doors/test_recorded_doors.py"
"""

import difflib
import json
import os
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.utils import translation
from prometheus_client import Metric

from sync.clock import SyncNow
from sync.models import BoardLink
from sync.outbox import pauses
from tests.docs.test_docs import ROOT
from tests.metrics.conftest import scrape
from tests.metrics.test_page import everything_is_tight
from tests.support.api_schema import promises_of, raw_document

pytestmark = pytest.mark.django_db

RECORDED = Path(__file__).parent / "recorded"
MAX_LINES = 60


def api() -> str:
    """The schema: every operation with its input and output, every shape with its members."""
    return lines(promises_of(json.loads(raw_document())))


def metrics() -> str:
    """Name, kind and labels of each metric, with rows that give every metric a value."""
    everything_is_tight()
    BoardLink.objects.update(swept_at=SyncNow())
    pauses.pause("somebody")
    return lines(sorted(_metric(metric) for metric in scrape().families))


def _metric(metric: Metric) -> str:
    series = defaultdict(set)
    for sample in metric.samples:
        series[sample.name].add(f"{{{', '.join(sorted(sample.labels))}}}")
    labels_by_name = [f"{name}{'|'.join(sorted(labels))}" for name, labels in sorted(series.items())]
    return f"{metric.name} {metric.type}: {' '.join(labels_by_name) or 'nothing yet'}"


def lines(texts: Any) -> str:
    return "".join(f"{text}\n" for text in texts)


DOORS: dict[str, Callable[[], str]] = {"api.txt": api, "metrics.txt": metrics}


@pytest.mark.parametrize("file", DOORS)
def test_a_door_is_as_it_was_recorded(file: str) -> None:
    with translation.override(settings.LANGUAGE_CODE):
        path, now = RECORDED / file, DOORS[file]()
    before = path.read_text() if path.exists() else ""
    if os.environ.get("RECORD") == "1":
        path.write_text(now)
        return
    if before != now:
        diff = list(difflib.unified_diff(before.splitlines(), now.splitlines(), "recorded", "now", lineterm="", n=1))
        more = [f"… and {len(diff) - MAX_LINES} lines more"] if len(diff) > MAX_LINES else []
        changes = "\n".join([*(line[:600] for line in diff[:MAX_LINES]), *more])
        pytest.fail(
            f"{path.relative_to(ROOT)} is no longer what others see:\n{changes}\n\nWhere that is meant, write it anew: "
            'RECORD=1 make test ARGS="tests/doors/test_recorded_doors.py"',
            pytrace=False,
        )


def test_every_recorded_text_is_a_doors() -> None:
    assert {path.name for path in RECORDED.iterdir()} <= set(DOORS)
