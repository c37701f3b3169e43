"""The one place that talks HTTP to Monday.com's GraphQL API.

It sends one document at a time and never repeats a request by itself: whether something is sent again is
decided by the caller, who knows what the document does.
"""

from __future__ import annotations

import http.client
import json
import re
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from requests.structures import CaseInsensitiveDict

from sync.connectors.monday import headers as told
from sync.connectors.monday.answers import Answer, Complexity
from sync.connectors.monday.codes import error_from
from sync.connectors.monday.errors import (
    AnswerWithoutData,
    EdgeRefused,
    MondayError,
    Scope,
    UnreadableAnswer,
    WrongVersion,
)
from sync.connectors.monday.keys import UsedKeys
from sync.connectors.monday.transport import transport_error

_CHUNK_BYTES = 65_536
_CONNECT_SECONDS = 10.0
_VERSION = re.compile(r"\d{4}-\d{2}")
# Errors of a field that ran: in a mutation they say nothing of the other aliases.
_SCOPES_OF_EXECUTION = frozenset({Scope.RECORD, Scope.FIELD, Scope.COLUMN, Scope.BOARD})


__all__ = ["Answer", "Complexity", "MondayClient"]


class _Token(AuthBase):
    """Sends the token bare, as Monday's own samples do.

    As `auth` and not as a session header: a .netrc entry for the host would replace a header.
    """

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = self._token
        return request

    def __repr__(self) -> str:
        return "<token>"


class MondayClient:
    """A pooled client for one token; `calls` counts the requests that it has made.

    `timeout` is the deadline in seconds of a whole request. It bounds the connection, every silence of the
    server and the sum of an answer that arrives in pieces; one that trickles overruns it by one silence at
    most. Raises ValueError for a token that can't be a header; the message doesn't hold the token.
    """

    def __init__(
        self,
        url: str,
        token: str,
        *,
        version: str = "2026-10",
        timeout: float = 30.0,
        session: requests.Session | None = None,
    ) -> None:
        token = token.strip()
        if not token.isascii() or not token.isprintable():
            # http.client would put the token into its own error message.
            raise ValueError("MONDAY_API_KEY holds characters that an API token can't have; copy it again.")
        self.url = url
        self.version = version
        self.timeout = timeout
        self.calls = 0
        self._auth = _Token(token)
        self._session = session or _session()
        self._keys = UsedKeys()
        self._counter = threading.Lock()

    def __repr__(self) -> str:
        return f"<MondayClient {self.url} version {self.version}>"

    def execute(
        self, document: str, variables: Mapping[str, Any], *, idempotency_key: str | None = None
    ) -> Answer:
        """Send one document and return its answer, errors of single fields included.

        Raises MondayError where the request failed as a whole: no connection, no answer, an HTTP error, or
        an answer with errors and no data; WrongVersion where a query was answered by another API version than
        the one asked for (a mutation's results stand, and the next query tells). An idempotency key lets
        Monday replay a mutation's answer for 30 minutes (developer.monday.com/api-reference/docs/idempotency);
        a mutation without one gets one of its own. Raises KeyReused, before anything is sent, for a key that
        went out with another body.
        """
        is_mutation = document.lstrip().startswith("mutation")
        key = (idempotency_key or uuid.uuid4().hex) if is_mutation else None
        # Sorted, so that a body that was stored as JSON and read again is the same, byte for byte.
        body = json.dumps({"query": document, "variables": dict(variables)}, sort_keys=True).encode()
        if key:
            self._keys.check(key, body)
        started = time.monotonic()
        status, headers, content = self._send(body, key)
        payload = _decode(content, status)
        if status != 200:
            raise _failure(payload, status, headers, is_mutation=is_mutation)
        if payload is None:
            raise UnreadableAnswer(
                "Monday's answer was not JSON", http_status=status, request_id=told.request_id(headers)
            )
        answer = _answer(payload, headers, time.monotonic() - started, is_mutation=is_mutation)
        if not is_mutation:
            self._check_version(answer)
        return answer

    def close(self) -> None:
        """Close the pooled connections."""
        self._session.close()

    def _check_version(self, answer: Answer) -> None:
        served = (answer.api_version or "").strip()
        if not served or served == self.version or not _VERSION.fullmatch(self.version):
            return
        error = WrongVersion(
            f"API version {self.version} was asked for, {served} answered",
            request_id=answer.request_id,
            http_status=200,
        )
        error.answer = answer
        raise error

    def _send(self, body: bytes, key: str | None) -> tuple[int, CaseInsensitiveDict[str], bytes]:
        deadline = time.monotonic() + self.timeout
        answered: CaseInsensitiveDict[str] = CaseInsensitiveDict()
        with self._counter:
            self.calls += 1
        try:
            with self._session.post(
                self.url,
                data=body,
                headers=self._headers(key),
                auth=self._auth,
                timeout=(min(_CONNECT_SECONDS, self.timeout), self.timeout),
                stream=True,
                allow_redirects=False,
            ) as response:
                answered = response.headers
                return response.status_code, answered, b"".join(_until(deadline, response))
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            raise transport_error(error, self.timeout, told.request_id(answered)) from error

    def _headers(self, idempotency_key: str | None) -> dict[str, str]:
        headers = {
            "API-Version": self.version,
            "Content-Type": "application/json",
            "Accept": "application/json",
            "Accept-Encoding": "gzip",
        }
        return headers | {"Idempotency-Key": idempotency_key} if idempotency_key else headers


def _session() -> requests.Session:
    session = requests.Session()
    adapter = HTTPAdapter(pool_connections=2, pool_maxsize=8, max_retries=0)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


def _until(deadline: float, response: requests.Response) -> Iterator[bytes]:
    # read1 returns what has arrived; iter_content would wait for a full chunk, past the deadline.
    while chunk := response.raw.read1(_CHUNK_BYTES, decode_content=True):
        yield chunk
        if time.monotonic() > deadline:
            raise requests.ReadTimeout("the answer took too long")


def _decode(body: bytes, status: int) -> dict[str, Any] | None:
    try:
        payload = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(payload, dict):
        return {"errors": [], "data": None} if status != 200 else None
    return payload


def _failure(
    payload: dict[str, Any] | None, status: int, headers: Mapping[str, str], *, is_mutation: bool
) -> MondayError:
    if payload is None and status == http.client.FORBIDDEN:
        return EdgeRefused(
            "The request was refused before it reached Monday's API (HTTP 403)",
            request_id=told.request_id(headers),
            http_status=status,
            wait_seconds=told.retry_after(headers, status),
        )
    errors = _errors(payload or {}, status, headers)
    # A refusal of one alias, or one that a failing server tells, came after others may have run.
    ran = [e for e in errors if e.scope in _SCOPES_OF_EXECUTION and (e.path or status >= 500)]
    if is_mutation and ran:
        return _without_results(ran[0], errors, status)
    if errors:
        return errors[0]
    return error_from(
        None,
        http_status=status,
        request_id=_request_id(payload or {}, headers),
        retry_after=told.retry_after(headers, status),
    )


def _errors(payload: Mapping[str, Any], status: int, headers: Mapping[str, str]) -> list[MondayError]:
    entries = payload.get("errors")
    found = list(entries) if isinstance(entries, list) else []
    if payload.get("error_code") or payload.get("error_message"):
        found = [payload]  # the format before 2025-01, which may repeat its message in `errors`
    request_id, wait = _request_id(payload, headers), told.retry_after(headers, status)
    return [error_from(entry, http_status=status, request_id=request_id, retry_after=wait) for entry in found]


def _answer(
    payload: Mapping[str, Any], headers: Mapping[str, str], seconds: float, *, is_mutation: bool
) -> Answer:
    errors = _errors(payload, 200, headers)
    data = payload.get("data")
    if not isinstance(data, dict):
        raise _without_data(errors, _request_id(payload, headers), is_mutation)
    return Answer(
        data=data,
        errors=tuple(errors),
        request_id=_request_id(payload, headers),
        api_version=headers.get("API-Version"),
        complexity=_complexity(data.get("complexity")),
        replayed=headers.get("Idempotency-Replayed", "").lower() == "true",
        limits=told.limits(headers),
        seconds=seconds,
    )


def _without_data(errors: list[MondayError], request_id: str | None, is_mutation: bool) -> MondayError:
    if not errors:
        return UnreadableAnswer("Monday's answer has neither data nor errors", request_id=request_id)
    ran = [error for error in errors if error.scope in _SCOPES_OF_EXECUTION or error.path]
    if is_mutation and ran:
        return _without_results(ran[0], errors, 200)
    return errors[0]


def _without_results(first: MondayError, errors: list[MondayError], status: int) -> MondayError:
    return AnswerWithoutData(
        f"Monday answered without results: {first.message}",
        code=first.code,
        request_id=first.request_id,
        http_status=status,
        wait_seconds=first.wait_seconds,
        errors=errors,
    )


def _request_id(payload: Mapping[str, Any], headers: Mapping[str, str]) -> str | None:
    """The id by which Monday's support finds the request: of the body, else of a header."""
    extensions = payload.get("extensions")
    request_id = extensions.get("request_id") if isinstance(extensions, dict) else None
    return str(request_id) if request_id else told.request_id(headers)


def _complexity(node: Any) -> Complexity | None:
    if not isinstance(node, dict):
        return None
    names = ("query", "before", "after", "reset_in_x_seconds")
    if not all(isinstance(node.get(name), int) for name in names):
        return None
    return Complexity(*(node[name] for name in names))
