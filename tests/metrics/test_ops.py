"""The files in ops/ name what is exported, and every expression in them parses."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml

from sync.clock import sync_now
from sync.kernel.counters import MetricKind
from sync.models import ApiBudget, BoardLink, QueuePause, SyncMetadata, Verification
from sync.records.metrics import METRICS
from tests.metrics.conftest import scrape
from tests.metrics.test_page import board

ROOT = Path(__file__).resolve().parents[2]
OPS = ROOT / "ops"
DASHBOARD = OPS / "grafana" / "npd-sync.json"
ALERTS = OPS / "prometheus" / "alerts.yml"
SEVERITIES = {"critical", "warning", "info"}


def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(DASHBOARD.read_text())
    return found


def alerts() -> list[dict[str, Any]]:
    groups = yaml.safe_load(ALERTS.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def expressions() -> Iterator[str]:
    """Of the dashboard with its variables filled in, as Grafana does before it asks."""
    for panel in dashboard()["panels"]:
        for target in panel.get("targets", []):
            yield target["expr"].replace("$__rate_interval", "5m").replace("$board", "contact|organization")
    for rule in alerts():
        yield rule["expr"]


def selectors(expression: str) -> list[promql_parser.VectorSelector]:
    """The series that an expression asks for; raises ValueError for one that doesn't parse."""
    found: list[promql_parser.VectorSelector] = []

    def visit(node: Any) -> None:
        if isinstance(node, promql_parser.VectorSelector):
            found.append(node)
        elif isinstance(node, promql_parser.MatrixSelector):
            found.append(node.vector_selector)

    promql_parser.walk(promql_parser.parse(expression), pre_visit=visit)
    return found


def exported_names() -> set[str]:
    histograms = [metric.full_name for metric in METRICS if metric.kind is MetricKind.HISTOGRAM]
    parts = {f"{name}_{part}" for name in histograms for part in ("bucket", "sum", "count")}
    return {metric.full_name for metric in METRICS if metric.kind is not MetricKind.HISTOGRAM} | parts


@pytest.fixture
def everything(db: None) -> None:
    """An installation of which every series has a value."""
    for entity_type in ("contact", "organization"):
        link = board(entity_type)
        BoardLink.objects.filter(pk=link.pk).update(last_pass_at=sync_now(), swept_at=sync_now())
        Verification.objects.create(entity_type=entity_type, compared=1)
        SyncMetadata.objects.create(
            entity_type=entity_type, entity_id="1", sync_status="completed", last_sync_attempt=sync_now()
        )
    QueuePause.objects.create(paused_by="mary")
    ApiBudget.objects.create(id=1, day_limit=1, minute_limit=1, points_limit=1, day=sync_now().date())


def matches(selector: promql_parser.VectorSelector, labels: dict[str, str]) -> bool:
    return all(fits(matcher, labels.get(matcher.name, "")) for matcher in selector.matchers.matchers)


def fits(matcher: promql_parser.Matcher, value: str) -> bool:
    op = promql_parser.MatchOp
    if matcher.op in (op.Equal, op.NotEqual):
        return bool((value == matcher.value) is (matcher.op == op.Equal))
    return bool(re.fullmatch(matcher.value, value)) is (matcher.op == op.Re)


def test_every_selector_finds_a_series_in_a_scrape(everything: None) -> None:
    samples = scrape().samples
    empty = [
        str(selector)
        for expression in set(expressions())
        for selector in selectors(expression)
        if not any(s.name == selector.name and matches(selector, s.labels) for s in samples)
    ]
    assert not empty


def test_every_label_that_is_grouped_by_is_one_of_its_series(everything: None) -> None:
    known = {label for metric in METRICS for label in metric.labels} | {"le"}
    grouped = {
        label.strip()
        for expression in expressions()
        for group in re.findall(r"\b(?:by|on) \(([^)]*)\)", expression)
        for label in group.split(",")
        if label.strip()
    }
    assert grouped <= known


def test_every_metric_is_on_the_dashboard() -> None:
    shown = {selector.name for e in expressions() for selector in selectors(e)}
    histograms = {metric.full_name for metric in METRICS if metric.kind is MetricKind.HISTOGRAM}
    assert exported_names() - shown - {f"{name}_{part}" for name in histograms for part in ("sum", "count")} == set()


def test_whoever_imports_the_dashboard_chooses_its_datasource_and_reads_what_each_panel_is() -> None:
    for panel in [panel for panel in dashboard()["panels"] if panel["type"] != "row"]:
        assert {part["datasource"]["uid"] for part in (panel, *panel["targets"])} == {"${datasource}"}
        assert panel["description"]


def test_every_alert_says_what_happened_how_bad_it_is_and_what_to_do() -> None:
    found = alerts()
    assert len({rule["alert"] for rule in found}) == len(found)
    for rule in found:
        assert rule["labels"]["severity"] in SEVERITIES
        assert rule["annotations"]["summary"]
        assert rule["annotations"]["description"].endswith(".")


def test_labels_in_an_alerts_words_are_left_by_its_expression() -> None:
    for rule in alerts():
        used = set(re.findall(r"\$labels\.(\w+)", str(rule["annotations"])))
        kept = {label.strip() for group in re.findall(r"\bby \(([^)]*)\)", rule["expr"]) for label in group.split(",")}
        assert used <= kept, rule["alert"]
