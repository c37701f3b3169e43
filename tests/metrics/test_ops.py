"""The alert rules in ops/ name what is exported, and say what to do."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.metrics.conftest import scrape
from tests.metrics.test_page import everything_is_tight

ALERTS = Path(__file__).resolve().parents[2] / "ops" / "prometheus" / "alerts.yml"


def alerts() -> list[dict[str, Any]]:
    groups = yaml.safe_load(ALERTS.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


@pytest.mark.django_db
def test_every_alert_is_about_figures_that_are_exported() -> None:
    everything_is_tight()
    exported = {(sample.name, label) for sample in scrape().samples for label in sample.labels}
    for rule in alerts():
        [name] = re.findall(r"npd_sync_\w+", rule["expr"])
        [label] = re.findall(r"\bby \((\w+)\)", rule["expr"])
        assert (name, label) in exported, rule["alert"]


def test_every_alert_says_what_happened_how_bad_it_is_and_what_to_do() -> None:
    for rule in alerts():
        assert rule["labels"]["severity"] in {"critical", "warning"}
        assert rule["annotations"]["summary"]
        assert rule["annotations"]["description"].endswith(".")
