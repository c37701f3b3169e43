"""`POST /v2`: Monday's API endpoint, from the HTTP request to the HTTP answer."""

import hmac
import time
import uuid
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

from sandbox import errors, versions
from sandbox.calls import Call, CallLog
from sandbox.clock import Clock
from sandbox.cursors import Cursors
from sandbox.errors import RequestError
from sandbox.faults import Fault, Faults
from sandbox.graph import server
from sandbox.graph.context import Context
from sandbox.graph.meddling import Middleware, meddler, remembering
from sandbox.idempotency import Idempotency
from sandbox.ingest.jobs import Jobs
from sandbox.ingest.work import worker
from sandbox.limits import CONCURRENCY_WAIT, LITTLE, Limits
from sandbox.past import Past
from sandbox.people import API_USER
from sandbox.plans import Plan
from sandbox.web import BadRequestError, Request, Response, cut_connection, decoded, json_response
from sandbox.webhooks.deliveries import Deliveries
from sandbox.world import World

FAULT_WAIT = 30  # seconds that a limit asks for where a fault names none


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

    def __init__(
        self,
        world: World,
        deliveries: Deliveries,
        calls: CallLog,
        token: str | None,
        plan: Plan | None = None,
    ) -> None:
        self._world = world
        self._clock: Clock = world.clock
        self._deliveries = deliveries
        self._token = token
        self.calls = calls
        self.faults = Faults()
        self.latency = Latency()
        self.limits = Limits(world.clock, plan)
        self.past = Past(world.clock)
        self.idempotency = Idempotency(world.clock)
        self.cursors = Cursors(world.clock)
        self.ingest = Jobs(world, worker(world))

    def post(self, request: Request) -> Response:
        """Answer one request; every answer carries a request id and is in the log."""
        call = self.calls.begin(self._clock.time())
        call.request_id = str(uuid.uuid4())
        started = time.monotonic()
        try:
            response = self._let_in(request, call)
            call.status = response.status
            return response
        finally:
            call.ms = round((time.monotonic() - started) * 1000, 1)
            self.calls.end(call)

    def get(self, request: Request) -> Response:
        """Monday took queries by GET once, and since 2025-08 answers so (community.monday.com, thread 118566)."""
        body = errors.bad_body("Request body must be a JSON with query.")
        return self._respond({"errors": body.errors}, Call(0, 0.0, request_id=str(uuid.uuid4())), 400, {})

    def schema(self, request: Request) -> Response:
        """`GET /v2/get_schema?format=sdl&version=V`, as github.com/mondaycom/mcp's fetch-schema.sh asks for it."""
        if request.query.get("format", "sdl") != "sdl":
            raise BadRequestError("the sandbox gives its schema as format=sdl")
        try:
            version = versions.served(request.query.get("version"))
        except RequestError as refusal:
            raise BadRequestError(str(refusal)) from None
        text = server.sdl(old=version.before_2026_10)
        return Response(200, text.encode(), {"Content-Type": "text/plain; charset=utf-8"})

    def _let_in(self, request: Request, call: Call) -> Response:
        """Who has no valid token belongs to no account: nothing is counted, and no allowance is shown."""
        given = request.header("Authorization") or ""
        if not given or (self._token and not hmac.compare_digest(given.encode(), self._token.encode())):
            return self._refused(errors.not_authenticated(), call)
        try:
            with self.limits.visit(request.address) as visit:
                try:
                    response = self._answer(request, call)
                except RequestError as refusal:
                    response = self._refused(refusal, call)
                if response.status == 429 or call.only_complexity:
                    visit.tenths = LITTLE
                return self._with_allowance(response)
        except RequestError as refusal:
            return self._with_allowance(self._refused(refusal, call))

    def _with_allowance(self, response: Response) -> Response:
        return replace(response, headers=response.headers | self.limits.headers())

    def _answer(self, request: Request, call: Call) -> Response:
        asked = self._understand(request, call)
        operation = asked.operation
        call.kind, call.operation, call.fields = operation.kind, operation.name, operation.fields()
        call.only_complexity = operation.is_only_complexity
        _pause(self.latency.call_ms)
        fault = self.faults.take(operation, asked.variables)
        if fault is not None:
            call.fault = fault.name()
            if fault.status is not None:
                return self._faulty(fault, call)
            if fault.limit is not None:
                self._exhaust(fault)
        key = request.header("Idempotency-Key") if operation.is_mutation else None
        if key:
            return self._once(request, asked, call, fault, key)
        return self._carry_out(request, asked, call, fault)

    def _understand(self, request: Request, call: Call) -> Asked:
        version = versions.served(request.header("API-Version"))
        call.version = version.value
        body = request.body()
        try:
            document = decoded(body)
        except ValueError:
            raise errors.bad_body("Request body must be a JSON with query.") from None
        if not isinstance(document, dict) or not isinstance(document.get("query"), str):
            raise errors.bad_body("Request body must be a JSON with query.")
        variables = document.get("variables")
        if variables is not None and not isinstance(variables, dict):
            raise errors.bad_body(f"Expected object, received {_json_type(variables)}")
        name = document.get("operationName")
        if name is not None and not isinstance(name, str):
            raise errors.bad_body(f"Expected string, received {_json_type(name)}")
        operation = server.prepare(document["query"], name, version.before_2026_10)
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
            self._hang_up(request, fault)
        if fault is not None and fault.slow is not None:
            self.faults.release().wait(fault.slow)
        response = self._run(asked, call, fault)
        if key:
            self.idempotency.keep(key, response)
        if fault is not None and fault.timeout == "after":
            self._hang_up(request, fault)
        return response

    def _run(self, asked: Asked, call: Call, fault: Fault | None) -> Response:
        call.complexity = asked.operation.points(asked.variables)
        context = Context(
            world=self._world,
            cursors=self.cursors,
            limits=self.limits,
            ingest=self.ingest,
            user=API_USER,
            version=asked.version,
            spent=self.limits.spend(call.complexity),
            handshake=self._deliveries.handshake,
            slow_mutation=lambda: _pause(self.latency.mutation_ms),
        )
        middleware = (meddler(fault, asked.operation, self.past), self._remembering(asked))
        if asked.operation.is_mutation:
            # What takes its time is written as it happens: webhooks tell of it before the answer does.
            quick = self.latency.mutation_ms == 0
            with self._world.together() if quick else nullcontext():
                answer = server.run(asked.operation, asked.variables, context, *middleware)
        else:
            with self._world.reading():
                answer = server.run(asked.operation, asked.variables, context, *middleware)
        if fault is not None and fault.partial is not None and fault.partial.no_data:
            answer.pop("data")
        call.errors = [e.get("extensions", {}).get("code", "") for e in answer.get("errors", [])]
        return self._respond(answer, call, 200, {})

    def _remembering(self, asked: Asked) -> Middleware | None:
        """What keeps earlier versions of items, while a fault asks for reads that lag behind."""
        if asked.operation.is_mutation and self.faults.await_reads():
            return remembering(self.past)
        return None

    def _respond(self, answer: dict[str, Any], call: Call, status: int, headers: dict[str, str]) -> Response:
        answer = answer | {"extensions": {"request_id": call.request_id}}
        return json_response(answer, status, {"API-Version": call.version} | headers)

    def _refused(self, refusal: RequestError, call: Call) -> Response:
        call.errors = [error["extensions"].get("code", "") for error in refusal.errors]
        return self._respond({"errors": refusal.errors}, call, refusal.status, refusal.headers)

    def _faulty(self, fault: Fault, call: Call) -> Response:
        body = fault.answer()
        headers = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
        if isinstance(body, dict):
            return self._respond(body, call, fault.status or 500, headers)
        return Response(fault.status or 500, str(body).encode(), {"Content-Type": "text/html"} | headers)

    def _exhaust(self, fault: Fault) -> None:
        """Refuse as the fault's limit does; those of single fields are met inside the document."""
        refuse, wait = {
            "complexity": (errors.complexity_limit, FAULT_WAIT),
            "minute": (errors.minute_limit, FAULT_WAIT),
            "daily": (errors.daily_limit, self.limits.usage.seconds_left()),
            "concurrency": (errors.concurrency_limit, CONCURRENCY_WAIT),
            "ip": (errors.address_limit, FAULT_WAIT),
        }.get(fault.limit or "", (None, 0))
        if refuse is None:
            return
        refusal = refuse(wait if fault.retry_in is None else fault.retry_in)
        if not fault.header:
            refusal.headers.clear()
        raise refusal

    def _hang_up(self, request: Request, fault: Fault) -> None:
        """Hold the connection for the fault's seconds, while anyone waits, then cut it."""
        end, release = time.monotonic() + fault.seconds, self.faults.release()
        while time.monotonic() < end and not request.client_gone() and not release.is_set():
            release.wait(0.05)
        cut_connection()


def _json_type(value: Any) -> str:
    """What JSON calls it."""
    names = {str: "string", bool: "boolean", list: "array", dict: "object"}
    return names.get(type(value), "number")


def _pause(milliseconds: float) -> None:
    if milliseconds > 0:
        time.sleep(milliseconds / 1000)
