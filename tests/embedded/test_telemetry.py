"""What leaves for Sentry and for OpenTelemetry, from real processes to a receiver of the test's own."""

import gzip
import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from config import telemetry
from config.celery import app
from config.embedded.processes import Child
from config.embedded.supervisor import web_command, worker_command
from tests.support.servers import ROOT, free_port
from tests.support.serving import Quiet, local, serving
from tests.support.site import child_environment, started
from tests.support.waiting import wait_for

QUEUE = "telemetry"
WEBHOOK_TOKEN = "a-webhook-token-that-nobody-may-read"
HEADER = "a-collectors-key-that-nobody-may-read"
PERSON = "ada@example.test"


class _Take(Quiet):
    """Sentry's and a collector's door."""

    def reply(self) -> None:
        body = self.body()
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        self.server.taken.append((self.path, body))  # type: ignore[attr-defined]
        self.answer()


class Receiver:
    """What was told so far."""

    def __init__(self, server: ThreadingHTTPServer) -> None:
        self.server, self.port = server, server.server_port

    @property
    def environment(self) -> dict[str, str]:
        """What switches both on."""
        return {
            "SENTRY_DSN": f"http://public@127.0.0.1:{self.port}/1",
            "SENTRY_ENVIRONMENT": "drill",
            "SENTRY_RELEASE": "1.2.3",
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{self.port}",
            "OTEL_EXPORTER_OTLP_HEADERS": f"x-key={HEADER}",
            "OTEL_BSP_SCHEDULE_DELAY": "100",
        }

    def bodies(self, path: str) -> list[bytes]:
        return [body for at, body in list(self.server.taken) if at.startswith(path)]  # type: ignore[attr-defined]

    def errors(self, process: str) -> list[dict[str, Any]]:
        """The events of one process."""
        lines = [json.loads(line) for body in self.bodies("/api/1/envelope/") for line in body.splitlines() if line]
        return [line for line in lines if line.get("tags", {}).get("process") == process]

    def spans(self, process: str) -> dict[str, dict[str, Any]]:
        """The spans of one process by name, each with its attributes."""
        found: dict[str, dict[str, Any]] = {}
        for body in self.bodies("/v1/traces"):
            for group in ExportTraceServiceRequest.FromString(body).resource_spans:
                names = {a.key: a.value.string_value for a in group.resource.attributes}
                if names["service.name"] == f"npd-{process}":
                    for scope in group.scope_spans:
                        found |= {s.name: {a.key: str(a.value) for a in s.attributes} for s in scope.spans}
        return found

    def everything(self) -> str:
        return " ".join(body.decode(errors="replace") for _, body in self.server.taken)  # type: ignore[attr-defined]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with serving(local(_Take)) as server:
        server.taken = []  # type: ignore[attr-defined]
        yield Receiver(server)


@pytest.fixture
def children() -> Iterator[list[Child]]:
    """Processes of this test, ended with it."""
    found: list[Child] = []
    yield found
    for child in found:
        child.stop(10)


def ask(address: str, body: dict[str, Any]) -> int:
    request = urllib.request.Request(address, json.dumps(body).encode(), {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_a_failure_of_web_arrives_with_its_request_and_without_a_secret_or_a_person(
    receiver: Receiver, children: list[Child], transactional_db: None
) -> None:
    site = f"http://127.0.0.1:{(port := free_port())}"
    away = "postgresql://npd:open-sesame-of-the-database@127.0.0.1:1/npd"
    env = child_environment() | receiver.environment
    env |= {"PORT": str(port), "DATABASE_URL": away, "MONDAY_WEBHOOK_TOKEN": WEBHOOK_TOKEN, "DEBUG": "false"}
    children.append(started("web-telling", web_command(), env, f"{site}/healthz"))
    event = {"type": "update_name", "triggerUuid": "t", "pulseName": PERSON, "boardId": 1, "pulseId": 1}
    assert ask(f"{site}/webhooks/monday/{WEBHOOK_TOKEN}/?mail={PERSON}", {"event": event}) >= 500

    wait_for("the error arrives", lambda: receiver.errors("web"))
    (error, *_) = receiver.errors("web")
    assert (error["environment"], error["release"]) == ("drill", "1.2.3")
    assert error["exception"]["values"][-1]["type"] == "OperationalError"
    assert set(error["request"]) == {"method", "url"}
    assert "vars" not in json.dumps(error)
    wait_for("the span arrives", lambda: receiver.spans("web"))
    spans = receiver.spans("web")
    assert [name for name in spans if name.startswith("POST ")]
    assert not [name for name in spans if "healthz" in name]
    told = receiver.everything()
    secrets = {WEBHOOK_TOKEN, HEADER, "open-sesame", PERSON, env["SECRET_KEY"], env["MONDAY_API_KEY"]}
    assert not {secret for secret in secrets if secret in told}


def test_a_failure_of_a_task_and_its_sql_arrive_from_the_pools_process(
    receiver: Receiver, children: list[Child], transactional_db: None
) -> None:
    env = child_environment() | receiver.environment
    children.append(started("worker-telling", [*worker_command(), "-Q", QUEUE], env))
    app.send_task("sync.refresh_allowance", queue=QUEUE)
    app.send_task("sync.work_board", [env["MONDAY_API_KEY"], PERSON], queue=QUEUE)  # one argument too many

    wait_for("the error arrives", lambda: receiver.errors("worker"), 60)
    (error, *_) = receiver.errors("worker")
    assert error["exception"]["values"][-1]["type"] == "TypeError"
    assert error["transaction"] == "sync.work_board"
    wait_for("the task is traced", lambda: "run/sync.refresh_allowance" in receiver.spans("worker"), 60)
    wait_for("its SQL is traced", lambda: "SELECT" in receiver.spans("worker"))
    wait_for("its call is traced", lambda: "POST" in receiver.spans("worker"))
    told = receiver.everything()
    assert not {secret for secret in (PERSON, HEADER, env["MONDAY_API_KEY"]) if secret in told}


@pytest.mark.parametrize(
    ("said", "leaves"),
    [
        ("Monday refused “ada.l+x@mail.example.test”.", "Monday refused “[secret]”."),
        ("duplicate key\nDETAIL:  Key (name)=(Ada\nLovelace) exists.", "duplicate key"),
        (["at /webhooks/monday/abc/ as test-api-key"], ["at /webhooks/monday/[secret]/ as [secret]"]),
        ({"seconds": 3, "of": {"a": "Bearer 0123456789"}}, {"seconds": 3, "of": {"a": "Bearer [secret]"}}),
    ],
)
def test_people_secrets_and_quoted_rows_are_taken_out_at_any_depth(said: Any, leaves: Any) -> None:
    assert telemetry.EventCleaner()(said) == leaves


def test_without_their_addresses_neither_is_imported() -> None:
    code = (
        "import sys, config.wsgi; from celery.signals import beat_init, celeryd_init, worker_process_init as p;"
        "[signal.send(sender=None) for signal in (beat_init, celeryd_init, p)];"
        "print([name for name in sys.modules if name.startswith(('sentry_sdk', 'opentelemetry'))])"
    )
    env = child_environment_without_a_database()
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_an_address_of_a_collector_without_its_packages_is_said_in_a_sentence() -> None:
    code = "import sys; sys.modules['opentelemetry.sdk.trace'] = None; import config.wsgi"
    env = child_environment_without_a_database() | {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "pip install -r requirements/telemetry.txt" in done.stderr.splitlines()[-1]


def child_environment_without_a_database() -> dict[str, str]:
    """Nothing here connects."""
    from tests.embedded.test_settings import BARE, SERVERS

    return {**BARE, **SERVERS, "SECRET_KEY": "k"}
