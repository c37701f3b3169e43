"""`POST /v2`: Monday's API endpoint, from the HTTP request to the HTTP answer."""

import hmac
import time
import uuid
from dataclasses import dataclass
from typing import Any

from sandbox import errors, versions
from sandbox.calls import Call, CallLog
from sandbox.clock import Clock
from sandbox.cursors import Cursors
from sandbox.errors import RequestError
from sandbox.faults import Fault, Faults
from sandbox.graph import server
from sandbox.graph.complexity import Budget
from sandbox.graph.context import Context
from sandbox.idempotency import Idempotency
from sandbox.people import API_USER
from sandbox.web import Request, Response, cut_connection, decoded, json_response
from sandbox.webhooks.deliveries import Deliveries
from sandbox.world import World


@dataclass
class Latency:
    """How long calls take: `call_ms` each request, and `mutation_ms` each mutation in it."""

    call_ms: float = 0.0
    mutation_ms: float = 0.0


@dataclass(frozen=True)
class Asked:
    """A request that was understood."""

    operation: server.Operation
    variables: dict[str, Any]
    body: bytes
    version: versions.Version


class Api:
    """The endpoint and what it needs around the boards."""

    def __init__(self, world: World, deliveries: Deliveries, calls: CallLog, token: str | None) -> None:
        self._world = world
        self._clock: Clock = world.clock
        self._deliveries = deliveries
        self._token = token
        self.calls = calls
        self.faults = Faults()
        self.latency = Latency()
        self.budget = Budget(world.clock)
        self.idempotency = Idempotency(world.clock)
        self.cursors = Cursors(world.clock)

    def post(self, request: Request) -> Response:
        """Answer one request; every answer carries a request id and is in the log."""
        call = self.calls.begin(self._clock.time())
        call.request_id = str(uuid.uuid4())
        started = time.monotonic()
        try:
            response = self._answer(request, call)
            call.status = response.status
            return response
        except RequestError as refusal:
            call.status = refusal.status
            call.errors = [error["extensions"].get("code", "") for error in refusal.errors]
            return self._respond({"errors": refusal.errors}, call, refusal.status, refusal.headers)
        finally:
            call.ms = round((time.monotonic() - started) * 1000, 1)
            self.calls.end(call)

    def _answer(self, request: Request, call: Call) -> Response:
        asked = self._understand(request)
        call.kind = "mutation" if asked.operation.is_mutation else "query"
        call.operation, call.fields = asked.operation.name, asked.operation.fields()
        _pause(self.latency.call_ms)
        fault = self.faults.take(call.kind, [name for _, name in call.fields])
        if fault is not None and fault.status is not None:
            return self._faulty(fault, call)
        key = request.header("Idempotency-Key") if asked.operation.is_mutation else None
        if key:
            return self._once(request, asked, call, fault, key)
        return self._carry_out(request, asked, call, fault)

    def _understand(self, request: Request) -> Asked:
        given = request.header("Authorization") or ""
        if not given or (self._token and not hmac.compare_digest(given.encode(), self._token.encode())):
            raise errors.not_authenticated()
        body = request.body()
        try:
            document = decoded(body)
        except ValueError:
            raise errors.bad_body("Request body must be a JSON with query.") from None
        if not isinstance(document, dict) or not isinstance(document.get("query"), str):
            raise errors.bad_body("Request body must be a JSON with query.")
        variables = document.get("variables")
        if variables is not None and not isinstance(variables, dict):
            raise errors.bad_body(
                f"Expected object, received {type(variables).__name__.replace('str', 'string')}"
            )
        version = versions.served(request.header("API-Version"))
        operation = server.prepare(document["query"], document.get("operationName"))
        return Asked(operation, variables or {}, body, version)

    def _once(self, request: Request, asked: Asked, call: Call, fault: Fault | None, key: str) -> Response:
        """Carry a mutation out, or give again the answer it had."""
        call.idempotency_key = key
        replay = self.idempotency.claim(key, asked.body)
        if replay is not None:
            call.replayed, call.different_body = True, replay.different_body
            headers = replay.answer.headers | {"Idempotency-Replayed": "true"}
            return Response(replay.answer.status, replay.answer.body, headers)
        try:
            return self._carry_out(request, asked, call, fault, key)
        finally:
            self.idempotency.release(key)

    def _carry_out(
        self, request: Request, asked: Asked, call: Call, fault: Fault | None, key: str | None = None
    ) -> Response:
        if fault is not None and fault.timeout == "before":
            self._hang_up(request, fault, call)
        response = self._run(asked, call)
        if key:
            self.idempotency.keep(key, response)
        if fault is not None and fault.timeout == "after":
            self._hang_up(request, fault, call)
        return response

    def _run(self, asked: Asked, call: Call) -> Response:
        call.complexity = asked.operation.points(asked.variables)
        context = Context(
            world=self._world,
            cursors=self.cursors,
            user=API_USER,
            version=asked.version,
            spent=self.budget.spend(call.complexity),
            handshake=self._deliveries.handshake,
            slow_mutation=lambda: _pause(self.latency.mutation_ms),
        )
        if asked.operation.is_mutation:
            answer = server.run(asked.operation, asked.variables, context)
        else:
            with self._world.reading():
                answer = server.run(asked.operation, asked.variables, context)
        call.errors = [e.get("extensions", {}).get("code", "") for e in answer.get("errors", [])]
        return self._respond(answer, call, 200, {"API-Version": asked.version.value})

    def _respond(self, answer: dict[str, Any], call: Call, status: int, headers: dict[str, str]) -> Response:
        answer = answer | {"extensions": {"request_id": call.request_id}}
        return json_response(answer, status, {"API-Version": versions.CURRENT} | headers)

    def _faulty(self, fault: Fault, call: Call) -> Response:
        call.fault = f"HTTP {fault.status}"
        body = fault.answer()
        headers = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
        if isinstance(body, dict):
            return self._respond(body, call, fault.status or 500, headers)
        return Response(fault.status or 500, str(body).encode(), {"Content-Type": "text/html"} | headers)

    def _hang_up(self, request: Request, fault: Fault, call: Call) -> None:
        """Hold the connection for the fault's seconds, while anyone waits, then cut it."""
        call.fault = f"timeout {fault.timeout}"
        end = time.monotonic() + fault.seconds
        while time.monotonic() < end and not request.client_gone():
            time.sleep(0.05)
        cut_connection()


def _pause(milliseconds: float) -> None:
    if milliseconds > 0:
        time.sleep(milliseconds / 1000)
