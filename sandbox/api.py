"""`POST /v2`: Monday's API endpoint, from the HTTP request to the HTTP answer.

Each call is logged, and the answer under an idempotency key is stored and repeated.
"""

import hmac
import itertools
import threading
import time
import uuid
from collections import deque
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from email.utils import format_datetime
from typing import Any

from waitress.channel import ClientDisconnected

from sandbox import api_errors, api_limits, faults, lags, web
from sandbox.api_errors import RequestError
from sandbox.graph import documents, resolvers
from sandbox.model import Clock, World
from sandbox.webhooks import Deliveries

LOG_LENGTH = 5_000  # calls


@dataclass
class Call:
    """One request at /v2 for the log, without the token and the variables."""

    id: int
    at: float  # the sandbox's time
    status: int | None = None  # of the HTTP answer; None if the connection was cut
    ms: float = 0.0
    kind: str = ""  # "query" or "mutation"; empty if the document can't be read
    operation: str | None = None  # the name in the document
    fields: list[str] = field(default_factory=list)  # the names of the root fields
    complexity: int = 0  # points
    request_id: str = ""
    idempotency_key: str | None = None
    replayed: bool = False  # answered by the stored answer to an earlier request under the key
    errors: list[str] = field(default_factory=list)  # their codes
    fault: str = ""  # the fault that happened to it, in words
    version: str = resolvers.CURRENT


# `Idempotency-Key`: a mutation's first answer is repeated for 30 minutes
# (developer.monday.com/api-reference/docs/idempotency). How Monday answers another body under the same key is not
# published; the sandbox repeats the first answer.
KEY_SECONDS = 1800


@dataclass
class StoredAnswer:
    since: float  # when the first request came, in the sandbox's time
    answer: web.Response | None = None  # None while it is being answered


class Idempotency:
    """Stored answers by key."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._answers: dict[str, StoredAnswer] = {}  # in the order of their first requests, so the oldest are in front
        self._lock = threading.Lock()

    def claim(self, key: str) -> web.Response | None:
        """Claim a new key for this request; for a used key return its answer.

        Raises RequestError (409) while the first request still runs.
        """
        with self._lock:
            oldest = self._clock.time() - KEY_SECONDS
            while self._answers and next(iter(self._answers.values())).since <= oldest:
                del self._answers[next(iter(self._answers))]
            stored = self._answers.get(key)
            if stored is None:
                self._answers[key] = StoredAnswer(self._clock.time())
                return None
            # The client has to wait: the first request may still succeed or fail (docs/idempotency).
            if stored.answer is None:
                raise api_errors.idempotency_conflict()
            return stored.answer

    def store(self, key: str, answer: web.Response) -> None:
        with self._lock:
            if stored := self._answers.get(key):
                stored.answer = answer

    def release(self, key: str) -> None:
        """Free a claimed key without a stored answer: its request was not carried out, so a retry must be."""
        with self._lock:
            stored = self._answers.get(key)
            if stored is not None and stored.answer is None:
                del self._answers[key]


FAULT_WAIT = 30  # seconds in the answer of a limit where its fault names none

# Limits that refuse a whole request; "field" refuses one field inside the document.
LIMIT_REFUSALS = {
    "complexity": api_errors.complexity_limit,
    "minute": api_errors.minute_limit,
    "daily": api_errors.daily_limit,
    "concurrency": api_errors.concurrency_limit,
}


class Api:
    """The endpoint, with its faults, limits, cursors and stored answers."""

    def __init__(
        self, world: World, deliveries: Deliveries, token: str | None, plan: api_limits.Plan | None = None
    ) -> None:
        self._world = world
        self._clock: Clock = world.clock
        self._deliveries = deliveries
        self._token = token
        self._plan = plan
        self._numbers = itertools.count(1)
        self.faults = faults.Faults()
        self.reset()

    def reset(self) -> None:
        """Begin again without calls, faults, stored answers and cursors, with the first plan."""
        self.faults.clear()
        self.calls: deque[Call] = deque(maxlen=LOG_LENGTH)  # oldest first
        # Milliseconds: of each request, and of each mutation in it.
        self.latency = {"call_ms": 0.0, "mutation_ms": 0.0}
        self.limits = api_limits.Limits(self._clock, self._plan)
        self.history = lags.ItemHistory(self._world)
        self.idempotency = Idempotency(self._clock)
        self.cursors = resolvers.OpenCursors(self._world)

    def post(self, request: web.Request) -> web.Response:
        """Answer one request and log it."""
        call = Call(next(self._numbers), self._clock.time(), request_id=str(uuid.uuid4()))
        started = time.monotonic()
        try:
            response = self._admit(request, call)
            call.status = response.status
            # Not the web server's own, whose clock can't be moved.
            date = format_datetime(self._clock.moment(), usegmt=True)
            return replace(response, headers=response.headers | {"Date": date})
        finally:
            call.ms = round((time.monotonic() - started) * 1000, 1)
            self.calls.append(call)

    def _admit(self, request: web.Request, call: Call) -> web.Response:
        """Answer a request within the account's limits."""
        token = request.header("Authorization") or ""
        # Without a token of its own the sandbox accepts any. Compared as bytes, because compare_digest takes only ASCII
        # texts.
        is_valid = not self._token or hmac.compare_digest(token.encode(), self._token.encode())
        # Refused before anything is counted, because such a request belongs to no account.
        if not token or not is_valid:
            return self._refusal_response(api_errors.not_authenticated(), call)
        try:
            with self.limits.count_call():
                try:
                    response = self._answer(request, call)
                except RequestError as refusal:
                    response = self._refusal_response(refusal, call)
                # A refused call counts a tenth (developer.monday.com/api-reference/docs/rate-limits).
                if response.status == 429:
                    self.limits.count_as_refused()
                return response
        except RequestError as refusal:
            return self._refusal_response(refusal, call)

    def _answer(self, request: web.Request, call: Call) -> web.Response:
        operation, variables = self._parse_request(request, call)
        call.kind = operation.kind
        call.operation = operation.name
        call.fields = [name for _, name in operation.fields]
        # Keys are for mutations (developer.monday.com/api-reference/docs/idempotency); a query is answered anew.
        key = request.header("Idempotency-Key") if operation.is_mutation else None
        call.idempotency_key = key
        _pause(self.latency["call_ms"])
        # Before a fault holds the request, because a second request under the key must find it claimed.
        replay = self.idempotency.claim(key) if key else None
        try:
            fault = self.faults.take(operation, variables)
            if fault is not None:
                call.fault = fault.description()
                # Even if the answer is stored, because Monday fails like this before it looks for the key.
                if fault.status is not None:
                    headers = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
                    body = fault.status_body()
                    if isinstance(body, dict):
                        return self._respond(body, call, fault.status, headers)
                    return web.Response(fault.status, str(body).encode(), {"Content-Type": "text/html"} | headers)
                if fault.limit in LIMIT_REFUSALS:
                    waits = {"daily": self.limits.usage.seconds_left(), "concurrency": api_limits.CONCURRENCY_WAIT}
                    wait = waits.get(fault.limit, FAULT_WAIT) if fault.retry_in is None else fault.retry_in
                    raise LIMIT_REFUSALS[fault.limit](wait)
            if replay is not None:
                call.replayed = True
                return replace(replay, headers=replay.headers | {"Idempotency-Replayed": "true"})
            return self._carry_out(operation, variables, call, fault)
        finally:
            if key:
                self.idempotency.release(key)

    def _parse_request(self, request: web.Request, call: Call) -> tuple[documents.Operation, dict[str, Any]]:
        call.version = resolvers.served_version(request.header("API-Version"))
        try:
            document = web.decode_json(request.body())
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
        return documents.prepare(document["query"], name), variables or {}

    def _carry_out(
        self, operation: documents.Operation, variables: dict[str, Any], call: Call, fault: faults.Fault | None
    ) -> web.Response:
        """Run the document, with what its fault does before, within and after it."""
        # An exception of waitress's, because nothing else cuts the connection without a status.
        if fault is not None and fault.timeout == "before":
            raise ClientDisconnected
        if fault is not None and fault.slow is not None:
            fault.cleared.wait(fault.slow)
        call.complexity = operation.points(variables)
        reads = self.faults.lags()
        if fault is not None and fault.stale is not None:
            reads.append(lags.Lag(lags.LAG_KINDS, edits=0, writes=fault.stale))
        root = resolvers.Root(
            world=self._world,
            cursors=self.cursors,
            limits=self.limits,
            served_version=call.version,
            complexity=self.limits.spend(call.complexity),
            handshake=self._deliveries.sender.handshake,
            slow_mutation=lambda: _pause(self.latency["mutation_ms"]),
            view=lags.View(self._world, self.history, reads, self.faults.late_rows()),
        )
        middleware: list[Any] = []
        if fault is not None:
            middleware.append(faults.FieldFault(fault, operation))
        # One transaction for all mutations of a document. Slow mutations open their own, so that webhooks report them
        # before the answer does; so does a new webhook, because its address is called in the meantime.
        access: AbstractContextManager[Any] = self._world.transaction()
        if not operation.is_mutation:
            access = self._world.lock
        elif self.latency["mutation_ms"] or "create_webhook" in operation.names():
            access = nullcontext()
        with access:
            answer = documents.run(operation, variables, root, *middleware)
        # What the other fields did stays done, as in the report (community topic 109452).
        if fault is not None and fault.partial is not None and fault.partial.no_data:
            answer.pop("data")
        call.errors = [e.get("extensions", {}).get("code", "") for e in answer.get("errors", [])]
        response = self._respond(answer, call, 200, {})
        # Before the connection is cut, because the client repeats the request under its key.
        if call.idempotency_key:
            self.idempotency.store(call.idempotency_key, response)
        if fault is not None and fault.timeout == "after":
            raise ClientDisconnected
        return response

    def _respond(self, answer: dict[str, Any], call: Call, status: int, headers: dict[str, str]) -> web.Response:
        if "error_code" not in answer:  # the format before 2025-01, which internal errors still have
            answer = answer | {"extensions": {"request_id": call.request_id}}
        # Both ids are equal in recorded answers (monday_ruby, 2025-10).
        own_headers = {"API-Version": call.version, "X-Request-Id": call.request_id}
        return web.json_response(answer, status, own_headers | headers)

    def _refusal_response(self, refusal: RequestError, call: Call) -> web.Response:
        call.errors = [error.get("extensions", {}).get("code", "") for error in refusal.errors]
        answer = {"errors": refusal.errors}
        if not refusal.has_request_id:
            return web.json_response(answer, refusal.status, refusal.headers)
        response = self._respond(answer, call, refusal.status, refusal.headers)
        if not refusal.names_version:
            del response.headers["API-Version"]
        return response


def _json_type(value: Any) -> str:
    names = {str: "string", bool: "boolean", list: "array", dict: "object"}
    return names.get(type(value), "number")


def _pause(milliseconds: float) -> None:
    if milliseconds > 0:
        time.sleep(milliseconds / 1000)
