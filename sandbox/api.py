"""`POST /v2`: Monday's API endpoint, from the HTTP request to the HTTP answer.

Each call is logged, and the answer to an idempotency key is kept and given again.
"""

import hashlib
import hmac
import itertools
import threading
import time
import uuid
from collections import deque
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from sandbox import api_errors, api_limits, faults, graph, web
from sandbox.api_errors import RequestError
from sandbox.graph import resolvers
from sandbox.model import API_USER, Clock
from sandbox.webhooks.deliveries import Deliveries
from sandbox.world import World

LOG_LENGTH = 5_000


@dataclass
class Call:
    """One request at /v2, as the log shows it; never the token, never the variables."""

    id: int
    at: float
    status: int | None = None
    ms: float = 0.0
    kind: str = ""
    operation: str | None = None
    fields: list[tuple[str, str]] = field(default_factory=list)
    complexity: int = 0
    request_id: str = ""
    idempotency_key: str | None = None
    replayed: bool = False
    different_body: bool = False
    errors: list[str] = field(default_factory=list)
    fault: str = ""
    version: str = resolvers.CURRENT

    def to_json(self) -> dict[str, Any]:
        shown = asdict(self)
        shown["aliases"] = [alias for alias, _ in self.fields]
        shown["fields"] = [name for _, name in self.fields]
        return shown


class CallLog:
    """The last calls, oldest first."""

    def __init__(self) -> None:
        self._calls: deque[Call] = deque(maxlen=LOG_LENGTH)
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()

    def begin(self, at: float) -> Call:
        with self._lock:
            return Call(next(self._numbers), at)

    def end(self, call: Call) -> None:
        with self._lock:
            self._calls.append(call)

    def since(self, number: int = 0) -> list[dict[str, Any]]:
        with self._lock:
            return [call.to_json() for call in self._calls if call.id > number]

    def last(self, count: int) -> list[Call]:
        with self._lock:
            return list(self._calls)[-count:]

    def clear(self) -> None:
        with self._lock:
            self._calls.clear()


# `Idempotency-Key`: a mutation's first answer is kept 30 minutes and given again.


# developer.monday.com/api-reference/docs/idempotency. What Monday does with another body under the same key is not
# published; here the first answer is given too, and the log says so.
KEY_SECONDS = 1800


@dataclass
class StoredAnswer:
    digest: bytes
    since: float
    answer: web.Response | None = None


class Idempotency:
    """The answers kept by key."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._kept: dict[str, StoredAnswer] = {}  # in the order of their first requests
        self._lock = threading.Lock()

    def claim(self, key: str, body: bytes) -> tuple[web.Response, bool] | None:
        """Take the key for this request; else the answer that it had before, and whether to another body.

        409 while the first one still runs.
        """
        digest = hashlib.sha256(body).digest()
        with self._lock:
            oldest = self._clock.time() - KEY_SECONDS
            while self._kept and next(iter(self._kept.values())).since <= oldest:
                del self._kept[next(iter(self._kept))]
            kept = self._kept.get(key)
            if kept is None:
                self._kept[key] = StoredAnswer(digest, self._clock.time())
                return None
            if kept.answer is None:
                raise api_errors.idempotency_conflict()
            return kept.answer, kept.digest != digest

    def keep(self, key: str, answer: web.Response) -> None:
        with self._lock:
            if kept := self._kept.get(key):
                kept.answer = answer

    def release(self, key: str) -> None:
        """The request came to nothing: the key is free again."""
        with self._lock:
            kept = self._kept.get(key)
            if kept is not None and kept.answer is None:
                del self._kept[key]

    def clear(self) -> None:
        with self._lock:
            self._kept.clear()


FAULT_WAIT = 30  # seconds that a limit asks for where a fault names none


@dataclass
class Latency:
    """How long calls take: `call_ms` each request, and `mutation_ms` each mutation in it."""

    call_ms: float = 0.0
    mutation_ms: float = 0.0


@dataclass(frozen=True)
class ApiRequest:
    operation: graph.Operation
    variables: dict[str, Any]
    body: bytes
    version: resolvers.Version


class Api:
    """The endpoint and what it needs around the boards."""

    def __init__(
        self,
        world: World,
        deliveries: Deliveries,
        calls: CallLog,
        token: str | None,
        plan: api_limits.Plan | None = None,
    ) -> None:
        self._world = world
        self._clock: Clock = world.clock
        self._deliveries = deliveries
        self._token = token
        self.calls = calls
        self.faults = faults.Faults()
        self.latency = Latency()
        self.limits = api_limits.Limits(world.clock, plan)
        self.history = faults.ItemHistory(world.clock)
        self.idempotency = Idempotency(world.clock)
        self.cursors = resolvers.OpenCursors(world.clock)

    def post(self, request: web.Request) -> web.Response:
        """Answer one request; every answer carries a request id and is in the log."""
        call = self.calls.begin(self._clock.time())
        call.request_id = str(uuid.uuid4())
        started = time.monotonic()
        try:
            response = self._admit(request, call)
            call.status = response.status
            return response
        finally:
            call.ms = round((time.monotonic() - started) * 1000, 1)
            self.calls.end(call)

    def _admit(self, request: web.Request, call: Call) -> web.Response:
        """Who has no valid token belongs to no account: nothing is counted, and no quota is shown."""
        sent = request.header("Authorization") or ""
        # Without a token of its own the sandbox takes any.
        # Compared as bytes: of texts, compare_digest takes ASCII alone.
        admitted = bool(sent) and (not self._token or hmac.compare_digest(sent.encode(), self._token.encode()))
        if not admitted:
            return self._rejection_response(api_errors.not_authenticated(), call)
        try:
            with self.limits.visit() as visit:
                try:
                    response = self._answer(request, call)
                except RequestError as refusal:
                    response = self._rejection_response(refusal, call)
                if response.status == 429:
                    visit.tenths = api_limits.REJECTED_CALL
                return self._with_limit_headers(response)
        except RequestError as refusal:
            return self._with_limit_headers(self._rejection_response(refusal, call))

    def _with_limit_headers(self, response: web.Response) -> web.Response:
        return replace(response, headers=response.headers | self.limits.headers())

    def _answer(self, request: web.Request, call: Call) -> web.Response:
        api_request = self._parse_request(request, call)
        operation = api_request.operation
        call.kind = operation.kind
        call.operation = operation.name
        call.fields = operation.fields
        _pause(self.latency.call_ms)
        key = request.header("Idempotency-Key") if operation.is_mutation else None
        call.idempotency_key = key
        # Before a fault holds the request: a second one under its key must find it.
        replay = self.idempotency.claim(key, api_request.body) if key else None
        try:
            return self._faulted(request, api_request, call, key, replay)
        finally:
            if key:
                self.idempotency.release(key)

    def _faulted(
        self,
        request: web.Request,
        api_request: ApiRequest,
        call: Call,
        key: str | None,
        replay: tuple[web.Response, bool] | None,
    ) -> web.Response:
        """Answer with the fault that waits for such a request, else replay the key's answer or carry it out."""
        fault = self.faults.take(api_request.operation, api_request.variables)
        if fault is not None:
            call.fault = fault.name()
            if fault.status is not None:
                headers = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
                body = fault.answer()
                if isinstance(body, dict):
                    return self._respond(body, call, fault.status, headers)
                return web.Response(fault.status, str(body).encode(), {"Content-Type": "text/html"} | headers)
            if fault.limit is not None:
                self._exhaust(fault)
        if replay is not None:
            answer, call.different_body = replay
            call.replayed = True
            return replace(answer, headers=answer.headers | {"Idempotency-Replayed": "true"})
        return self._carry_out(request, api_request, call, fault, key)

    def _parse_request(self, request: web.Request, call: Call) -> ApiRequest:
        version = resolvers.served_version(request.header("API-Version"))
        call.version = version.value
        body = request.body()
        try:
            document = web.percent_decode(body)
        except ValueError:
            raise api_errors.bad_body("Request body must be a JSON with query.") from None
        if not isinstance(document, dict) or not isinstance(document.get("query"), str):
            raise api_errors.bad_body("Request body must be a JSON with query.")
        variables = document.get("variables")
        if variables is not None and not isinstance(variables, dict):
            raise api_errors.bad_body(f"Expected object, received {_json_type(variables)}")
        name = document.get("operationName")
        if name is not None and not isinstance(name, str):
            raise api_errors.bad_body(f"Expected string, received {_json_type(name)}")
        operation = graph.prepare(document["query"], name, version.era)
        return ApiRequest(operation, variables or {}, body, version)

    def _carry_out(
        self,
        request: web.Request,
        api_request: ApiRequest,
        call: Call,
        fault: faults.Fault | None,
        key: str | None = None,
    ) -> web.Response:
        if fault is not None and fault.timeout == "before":
            self._hang_up(request, fault)
        if fault is not None and fault.slow is not None:
            fault.over.wait(fault.slow)
        response = self._run(api_request, call, fault)
        # Kept before the connection is cut: whoever has lost this answer asks for it again under its key.
        if key:
            self.idempotency.keep(key, response)
        if fault is not None and fault.timeout == "after":
            self._hang_up(request, fault)
        return response

    def _run(self, api_request: ApiRequest, call: Call, fault: faults.Fault | None) -> web.Response:
        call.complexity = api_request.operation.points(api_request.variables)
        context = resolvers.Context(
            world=self._world,
            cursors=self.cursors,
            limits=self.limits,
            user=API_USER,
            version=api_request.version,
            spent=self.limits.spend(call.complexity),
            handshake=self._deliveries.handshake,
            slow_mutation=lambda: _pause(self.latency.mutation_ms),
        )
        # What keeps earlier versions of items, while a fault asks for reads that lag behind.
        recorded = api_request.operation.is_mutation and self.faults.await_reads()
        recording = faults.history_middleware(self.history) if recorded else None
        middleware = (faults.fault_middleware(fault, api_request.operation, self.history), recording)
        with self._access(api_request.operation):
            answer = graph.run(api_request.operation, api_request.variables, context, *middleware)
        if fault is not None and fault.partial is not None and fault.partial.no_data:
            answer.pop("data")
        call.errors = [e.get("extensions", {}).get("code", "") for e in answer.get("errors", [])]
        return self._respond(answer, call, 200, {})

    def _access(self, operation: graph.Operation) -> AbstractContextManager[None]:
        """One look at the account, or one transaction for all mutations of a document.

        Those that take their time have one each, so that webhooks report them before the answer does; and so has a new
        webhook, whose address is called meanwhile.
        """
        if not operation.is_mutation:
            return self._world.read_lock()
        if self.latency.mutation_ms or "create_webhook" in operation.names():
            return nullcontext()
        return self._world.transaction()

    def _respond(self, answer: dict[str, Any], call: Call, status: int, headers: dict[str, str]) -> web.Response:
        if "error_code" not in answer:  # the form of before 2025-01, which internal errors still have
            answer = answer | {"extensions": {"request_id": call.request_id}}
        own_headers = {"API-Version": call.version, "X-Request-Id": call.request_id}
        return web.json_response(answer, status, own_headers | headers)

    def _rejection_response(self, refusal: RequestError, call: Call) -> web.Response:
        call.errors = [error.get("extensions", {}).get("code", "") for error in refusal.errors]
        answer = {"errors": refusal.errors}
        if not refusal.served:
            return web.json_response(answer, refusal.status, refusal.headers)
        response = self._respond(answer, call, refusal.status, refusal.headers)
        if not refusal.names_version:
            del response.headers["API-Version"]
        return response

    def _exhaust(self, fault: faults.Fault) -> None:
        """Refuse as the fault's limit does; those of single fields are met inside the document."""
        refuse, wait = {
            "complexity": (api_errors.complexity_limit, FAULT_WAIT),
            "minute": (api_errors.minute_limit, FAULT_WAIT),
            "daily": (api_errors.daily_limit, self.limits.usage.seconds_left()),
            "concurrency": (api_errors.concurrency_limit, api_limits.CONCURRENCY_WAIT),
        }.get(fault.limit or "", (None, 0))
        if refuse is None:
            return
        raise refuse(wait if fault.retry_in is None else fault.retry_in)

    def _hang_up(self, request: web.Request, fault: faults.Fault) -> None:
        """Hold the connection for the fault's seconds, while anyone waits, then cut it."""
        end = time.monotonic() + fault.seconds
        while time.monotonic() < end and not request.client_gone() and not fault.over.is_set():
            fault.over.wait(0.05)
        web.cut_connection()


def _json_type(value: Any) -> str:
    """What JSON calls it."""
    names = {str: "string", bool: "boolean", list: "array", dict: "object"}
    return names.get(type(value), "number")


def _pause(milliseconds: float) -> None:
    if milliseconds > 0:
        time.sleep(milliseconds / 1000)
