"""What leaves for Sentry and for OpenTelemetry, from real processes to a receiver of the test's own."""

import gzip
import json
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.trace import Status, StatusCode

from config import telemetry
from config.celery import app
from config.embedded.processes import Child
from config.embedded.supervisor import web_command, worker_command
from tests.support.servers import free_port, ran
from tests.support.serving import Quiet, local, serving
from tests.support.site import child_environment, started
from tests.support.waiting import wait_for

pytestmark = pytest.mark.processes

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


def keys(value: Any) -> set[str]:
    """All names in it, at any depth."""
    if isinstance(value, dict):
        return set(value).union(*map(keys, value.values()))
    return set().union(*map(keys, value)) if isinstance(value, list) else set()


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
        lines = [json.loads(line) for body in self.bodies("/api/1/envelope/") for line in body.splitlines() if line]
        return [line for line in lines if line.get("server_name") == process]

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
    assert (error["transaction"], error["transaction_info"]) == ("/webhooks/monday/[secret]/", {"source": "route"})
    assert error["request"] == {"method": "POST"}
    assert error["exception"]["values"][-1]["stacktrace"]["frames"][-1]["context_line"]
    assert len(error["tags"]["request_id"]) == 32
    assert not {"value", "vars", "abs_path"} & keys(error)
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
    app.send_task("sync.refresh_quota", queue=QUEUE)
    app.send_task("sync.work_board", [env["MONDAY_API_KEY"], PERSON], queue=QUEUE)  # one argument too many

    wait_for("the error arrives", lambda: receiver.errors("worker"), 60)
    (error, *_) = receiver.errors("worker")
    assert error["exception"]["values"][-1]["type"] == "TypeError"
    assert error["transaction"] == error["tags"]["task"] == "sync.work_board"
    wait_for("the task is traced", lambda: "run/sync.refresh_quota" in receiver.spans("worker"), 60)
    wait_for("its SQL is traced", lambda: "SELECT" in receiver.spans("worker"))
    assert "FROM" in receiver.spans("worker")["SELECT"]["db.statement"]
    wait_for("its call is traced", lambda: "POST" in receiver.spans("worker"))
    told = receiver.everything()
    assert not {secret for secret in (PERSON, HEADER, env["MONDAY_API_KEY"]) if secret in told}


SAYING = """
import logging, structlog, sentry_sdk
from config import web
web.load_application()
from django.db import DatabaseError
structlog.get_logger().error("nobody answered", person="{person}", calls=3)
logging.getLogger("a.library").error("%s is unknown", "{person}")
logging.getLogger("a.library").error("{person} was refused")
try:
    raise DatabaseError("duplicate key DETAIL: Key (name)=({person}) exists.") from KeyError("{person}")
except DatabaseError:
    structlog.get_logger().exception("pass failed", person="{person}")
    sentry_sdk.set_user({{"email": "{person}"}})
    sentry_sdk.set_context("record", {{"name": "{person}"}})
    sentry_sdk.set_extra("name", "{person}")
    sentry_sdk.capture_exception(ValueError("{person}"))
sentry_sdk.flush()
"""


def test_of_a_logged_error_its_code_its_kind_and_its_place_leave_and_no_sentence(receiver: Receiver) -> None:
    env = child_environment_without_a_database() | receiver.environment
    code = SAYING.format(person="Ada Lovelace")
    ran(sys.executable, "-c", code, env=env, check=True)
    said = receiver.errors("web")
    assert [error.get("logentry") for error in said[:4]] == [
        {"message": "nobody answered"},
        {"message": "a.library"},
        {"message": "a.library"},
        {"message": "pass failed"},
    ]
    kinds = [[one["type"] for one in error.get("exception", {}).get("values", [])] for error in said]
    assert kinds == [[], [], [], ["KeyError", "DatabaseError"], ["ValueError"]]
    assert said[3]["exception"]["values"][-1]["stacktrace"]["frames"][-1]["lineno"]
    assert "Lovelace" not in receiver.everything()


TEXTS = st.text(min_size=1).map(lambda text: f"Ada{text}")
VALUES = st.recursive(
    TEXTS | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner), max_leaves=12
)
NAMES = st.sampled_from(["value", "vars", "extra", "user", "url", "query_string", "data", "headers", "env", "abs_path"])


@given(st.dictionaries(NAMES | TEXTS, VALUES), st.sampled_from(["exception", "request", "contexts", "tags"]))
def test_what_the_scrubber_does_not_know_by_name_does_not_leave_at_any_depth(
    found: dict[str, Any], inside: str
) -> None:
    event = {**found, inside: {**found, "values": [found, {"type": "KeyError", **found}]}}
    assert telemetry.scrub(event, telemetry.OF_AN_ERROR) == {inside: {"values": [{}, {"type": "KeyError"}]}}


ASIDE = ["http.url", "http.target", "url.full", "url.path", "url.query", "http.request.header.x", "user_agent.original",
         "client.address", "net.peer.ip", "enduser.id", "db.user", "db.statement.parameters", "exception.message",
         "exception.stacktrace", "celery.args", "messaging.body", "request.body"]  # fmt: skip


@given(TEXTS, TEXTS.map(lambda text: text.replace("'", "''")))
def test_of_a_span_its_route_and_its_sql_leave_and_no_value(value: str, quoted: str) -> None:
    aside = dict.fromkeys(ASIDE, value)
    kept = {"http.route": "/contacts/{pk}/", "http.status_code": 500}
    statement = f"SELECT id FROM c WHERE name = '{quoted}' AND id = %s"
    span = ReadableSpan(
        name="SELECT",
        attributes={**aside, **kept, "db.statement": statement},
        events=[Event("exception", {**aside, "exception.type": "KeyError"})],
        status=Status(StatusCode.ERROR, value),
    )
    leaves = telemetry.scrubbed_span(span)
    assert {**(leaves.attributes or {})} | {"db.statement": ""} == {**kept, "db.statement": ""}
    assert (
        str((leaves.attributes or {})["db.statement"]).replace("?", "") == "SELECT id FROM c WHERE name =  AND id = %s"
    )
    assert [dict(event.attributes or {}) for event in leaves.events] == [{"exception.type": "KeyError"}]
    assert (leaves.status.status_code, leaves.status.description) == (StatusCode.ERROR, None)


@pytest.mark.parametrize(
    ("said", "leaves"),
    [
        ("Monday refused “ada.l+x@mail.example.test”.", "Monday refused “[secret]”."),
        ("at /webhooks/monday/abc/ as test-api-key", "at /webhooks/monday/[secret]/ as [secret]"),
        ("Bearer 0123456789", "Bearer [secret]"),
    ],
)
def test_people_and_secrets_are_taken_out_of_what_is_kept(said: str, leaves: str) -> None:
    event = {"exception": {"values": [{"type": said, "mechanism": {"handled": True}}]}}
    kept = {"exception": {"values": [{"type": leaves, "mechanism": {"handled": True}}]}}
    assert telemetry.scrub(event, telemetry.OF_AN_ERROR) == kept
    assert telemetry.scrubbed_span(ReadableSpan(name=said)).name == leaves


def test_without_their_addresses_neither_is_imported() -> None:
    code = (
        "import sys; from config import web; web.load_application();"
        "from celery.signals import beat_init, celeryd_init, worker_process_init as p;"
        "[signal.send(sender=None) for signal in (beat_init, celeryd_init, p)];"
        "print([name for name in sys.modules if name.startswith(('sentry_sdk', 'opentelemetry'))])"
    )
    env = child_environment_without_a_database()
    done = ran(sys.executable, "-c", code, env=env, check=True)
    assert done.stdout == "[]\n"


def test_an_address_of_a_collector_without_its_packages_is_said_in_a_sentence() -> None:
    code = "import sys; sys.modules['opentelemetry.sdk.trace'] = None; from config import web; web.load_application()"
    env = child_environment_without_a_database() | {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}
    done = ran(sys.executable, "-c", code, env=env)
    assert done.returncode == 1
    assert "pip install -r requirements/telemetry.txt" in done.stderr.splitlines()[-1]


def test_where_something_else_set_tracing_up_before_nothing_begins() -> None:
    code = (
        "from opentelemetry import trace; from opentelemetry.sdk.trace import TracerProvider;"
        "trace.set_tracer_provider(TracerProvider()); from config import web; web.load_application()"
    )
    env = child_environment_without_a_database() | {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}
    done = ran(sys.executable, "-c", code, env=env)
    assert done.returncode == 1
    assert "opentelemetry-instrument" in done.stderr.splitlines()[-1]


def child_environment_without_a_database() -> dict[str, str]:
    """Nothing here connects."""
    from tests.embedded.test_settings import BARE, SERVERS

    return {**BARE, **SERVERS, "SECRET_KEY": "k" * 32}
