"""HTTP to Monday.com's GraphQL API; nothing else in the project does that.

The client sends one document at a time and never repeats a request by itself: the caller knows what the document
does, and so whether it may be sent again.
"""

import http
import json
import re
import ssl
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from requests.structures import CaseInsensitiveDict
from urllib3 import exceptions as urllib3_errors

from sync.monday import errors
from sync.monday.errors import MondayError, translate_error
from sync.monday.graphql import Answer, Complexity

_CHUNK_BYTES = 65_536
# Decoded. 500 items take a few million; what is longer is cut off, and so unreadable.
MAX_ANSWER_BYTES = 32_000_000
# Shorter than the deadline of an answer, because trying again is safe while nothing was sent.
_CONNECT_SECONDS = 10.0
_DOCUMENT_NAME = re.compile(r"\s*(?:query|mutation)\s+(\w+)")
_VERSION = re.compile(r"\d{4}-\d{2}")  # unlike “current” or “dev”, which any version may answer
_SHORTEST_SECRET = 6  # hiding a shorter text would hide words

# What people are told of a failed connection, by its cause.
_REASONS: Mapping[type[BaseException], str] = {
    urllib3_errors.NameResolutionError: "its address was not found",
    ConnectionRefusedError: "it was refused",
    ssl.SSLCertVerificationError: "the certificate is not trusted",
    requests.exceptions.ProxyError: "the proxy failed",
}

# Scopes of errors in executing a document: one alias of a mutation may fail while the others succeed.
_SCOPES_OF_EXECUTION = frozenset({errors.Scope.RECORD, errors.Scope.FIELD, errors.Scope.COLUMN, errors.Scope.BOARD})


class _Token(AuthBase):
    """Sends the token without "Bearer", as Monday's own samples do.

    It is `auth` and no session header, because a .netrc entry for the host would replace a header.
    """

    def __init__(self, token: str) -> None:
        self.token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = self.token
        return request


class MondayClient:
    """A pooled client for one token.

    `timeout`, in seconds, limits the connection, each wait for the server, and a whole request; one that began to be
    answered in time may take one more wait. Raises ValueError for a token that can't be a header, without showing it.
    """

    def __init__(self, url: str, token: str, *, version: str, timeout: float = 30.0) -> None:
        token = token.strip()
        if not token.isascii() or not token.isprintable():
            # http.client's own error message would show the token.
            raise ValueError("MONDAY_API_KEY holds characters that an API token can't have; copy it again.")
        self.url = url
        self.version = version
        self.timeout = timeout
        self._auth = _Token(token)
        self._session = requests.Session()
        # No retries by the library, because only the caller knows whether the request may be repeated.
        adapter = HTTPAdapter(pool_connections=2, pool_maxsize=8, max_retries=0)
        self._session.mount("https://", adapter)
        self._session.mount("http://", adapter)

    def execute(self, document: str, variables: Mapping[str, Any], *, idempotency_key: str | None = None) -> Answer:
        """Send one document and return its answer, errors of single fields included.

        Raises MondayError where the request failed as a whole: no connection, no answer, an HTTP error, or an answer
        with errors and no data; also where another API version than ours answered a query (after a mutation the next
        query raises it). With an idempotency key Monday repeats a mutation's answer for 30 minutes
        (developer.monday.com/api-reference/docs/idempotency); a mutation without one gets its own.
        """
        is_mutation = document.lstrip().startswith("mutation")
        key = (idempotency_key or uuid.uuid4().hex) if is_mutation else None
        # Sorted, so that a body stays the same, byte for byte, when it is stored as JSON and read again.
        body = json.dumps({"query": document, "variables": dict(variables)}, sort_keys=True).encode()
        started = time.monotonic()
        status, headers, content = self._send(body, key)
        payload = _decode(content, status)
        if payload is not None:
            payload = self._without_secrets(payload, str(variables.get("url") or ""))
        try:
            if status != 200:
                raise _failure_of(payload, status, headers, is_mutation=is_mutation)
            if payload is None:
                message = "Monday's answer was not JSON"
                raise MondayError(
                    errors.UNREADABLE_ANSWER, message, http_status=status, request_id=request_id_of(headers)
                )
            answer = _parse_answer(payload, headers, time.monotonic() - started, is_mutation=is_mutation)
        except MondayError as error:
            if error.kind in (errors.DOCUMENT_REJECTED, errors.INVALID_DOCUMENT):
                name = _DOCUMENT_NAME.match(document)
                error.add_document_name(name.group(1) if name else "", headers.get("API-Version") or self.version)
            raise
        served = (answer.api_version or "").strip()
        is_other_version = bool(served) and served != self.version and _VERSION.fullmatch(self.version)
        # A mutation was executed, so its answer counts; the next query stops the account.
        if is_other_version and not is_mutation:
            message = f"API version {self.version} was asked for, {served} answered"
            fault = MondayError(errors.WRONG_VERSION, message, request_id=answer.request_id, http_status=status)
            fault.answer = answer
            raise fault
        return answer

    def close(self) -> None:
        self._session.close()

    def _without_secrets(self, payload: dict[str, Any], url: str) -> dict[str, Any]:
        """Remove our token and a webhook's address from an answer's errors, which are stored and shown.

        The address may end with a secret. `data` stays as it is.
        """
        problems = json.dumps({name: entry for name, entry in payload.items() if name != "data"})
        for secret in (self._auth.token, url, urlsplit(url).path.rstrip("/").rpartition("/")[2]):
            if len(secret) >= _SHORTEST_SECRET:
                problems = problems.replace(secret, "[secret]")
        redacted: dict[str, Any] = json.loads(problems)
        return payload | redacted

    def _send(self, body: bytes, key: str | None) -> tuple[int, CaseInsensitiveDict[str], bytes]:
        """Send a body and return status, headers and body of the answer; raises MondayError if that is incomplete."""
        deadline = time.monotonic() + self.timeout
        answer_headers: CaseInsensitiveDict[str] = CaseInsensitiveDict()
        headers = {
            "API-Version": self.version,
            "Content-Type": "application/json",
            "Accept": "application/json",
            "Accept-Encoding": "gzip",
        }
        if key:
            headers["Idempotency-Key"] = key
        try:
            with self._session.post(
                self.url,
                data=body,
                headers=headers,
                auth=self._auth,
                timeout=(min(_CONNECT_SECONDS, self.timeout), self.timeout),
                stream=True,
                # A redirect is no answer of the API.
                allow_redirects=False,
            ) as response:
                answer_headers = response.headers
                content = bytearray()
                # iter_content would wait for a full chunk, past the deadline.
                while len(content) < MAX_ANSWER_BYTES and (
                    chunk := response.raw.read1(_CHUNK_BYTES, decode_content=True)
                ):
                    content += chunk
                    if time.monotonic() > deadline:
                        raise requests.ReadTimeout("the answer took too long")
                return response.status_code, answer_headers, bytes(content)
        except (requests.RequestException, urllib3_errors.HTTPError) as error:
            raise transport_error(error, self.timeout, request_id_of(answer_headers)) from error


def transport_error(
    error: requests.RequestException | urllib3_errors.HTTPError, timeout: float, request_id: str | None = None
) -> MondayError:
    """Translate a failed exchange; UNREACHABLE only if Monday has certainly received nothing.

    `request_id` is the one in the answer's headers, if they came before the answer broke off.
    """
    # A failed certificate check comes before any byte of the request.
    nothing_sent = (urllib3_errors.NewConnectionError, urllib3_errors.ConnectTimeoutError, ssl.SSLCertVerificationError)
    # For a malformed URL the library raises errors that are ValueErrors too, before it opens a socket.
    never_connected = isinstance(error, requests.ConnectTimeout | requests.exceptions.ProxyError | ValueError)
    if never_connected or any(isinstance(cause, nothing_sent) for cause in causes_of(error)):
        return MondayError(errors.UNREACHABLE, f"No connection to Monday could be made{_reason_of(error)}")
    if isinstance(error, requests.Timeout | urllib3_errors.ReadTimeoutError):
        return MondayError(errors.TIMED_OUT, f"Monday did not answer within {timeout:g} s", request_id=request_id)
    message = f"The connection to Monday broke before the answer was complete{_reason_of(error)}"
    return MondayError(errors.CONNECTION_LOST, message, request_id=request_id)


def causes_of(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception and those inside it: requests wraps urllib3's, which has its own in `reason` or `args`."""
    pending: list[Any] = [error]
    visited: set[int] = set()
    while pending:
        cause = pending.pop()
        if isinstance(cause, BaseException) and id(cause) not in visited:
            visited.add(id(cause))
            yield cause
            pending += [getattr(cause, "reason", None), cause.__cause__, *cause.args]


def _reason_of(error: BaseException) -> str:
    """Return what is known of a failure, not in the innermost error's own text, which could show addresses."""
    reasons = (_REASONS[type(cause)] for cause in causes_of(error) if type(cause) in _REASONS)
    return f": {reason}" if (reason := next(reasons, "")) else ""


def _decode(body: bytes, status: int) -> dict[str, Any] | None:
    """Return an answer's JSON object, or None; a failure with other JSON counts as an object without errors."""
    try:
        payload = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(payload, dict):
        return {"errors": [], "data": None} if status != 200 else None
    return payload


def _failure_of(
    payload: dict[str, Any] | None, status: int, headers: Mapping[str, str], *, is_mutation: bool
) -> MondayError:
    # Not JSON, so it is from a firewall before Monday's API.
    if payload is None and status == http.HTTPStatus.FORBIDDEN:
        return MondayError(
            errors.FIREWALL_REJECTED,
            "The request was refused before it reached Monday's API (HTTP 403)",
            request_id=request_id_of(headers),
            http_status=status,
            wait_seconds=retry_after_seconds(headers),
        )
    entries = _parse_errors(payload or {}, status, headers)
    # Other aliases may have been executed before the error of this one, or before the server failed.
    executed = [
        error
        for error in entries
        if error.scope in _SCOPES_OF_EXECUTION
        and not error.kind.refuses_document
        and (error.path or status >= http.HTTPStatus.INTERNAL_SERVER_ERROR)
    ]
    if is_mutation and executed:
        return _no_results_error(executed[0], entries)
    if entries:
        return entries[0]
    return translate_error(
        None, http_status=status, request_id=request_id_of(headers, payload), retry_after=retry_after_seconds(headers)
    )


def _parse_errors(payload: Mapping[str, Any], status: int, headers: Mapping[str, str]) -> list[MondayError]:
    entries = payload.get("errors")
    failures = [entry for entry in (entries if isinstance(entries, list) else [entries]) if entry]
    request_id = request_id_of(headers, payload)
    wait = retry_after_seconds(headers)
    return [translate_error(entry, http_status=status, request_id=request_id, retry_after=wait) for entry in failures]


def _parse_answer(
    payload: Mapping[str, Any], headers: Mapping[str, str], seconds: float, *, is_mutation: bool
) -> Answer:
    field_errors = _parse_errors(payload, 200, headers)
    data = payload.get("data")
    if not isinstance(data, dict):
        if not field_errors:
            request_id = request_id_of(headers, payload)
            raise MondayError(
                errors.UNREADABLE_ANSWER, "Monday's answer has neither data nor errors", request_id=request_id
            )
        # Nothing of an invalid document was executed, though some of its errors have a path.
        for error in field_errors:
            if error.kind.refuses_document:
                raise error
        # After an error with a path, or of execution, a part of the mutation may have been executed.
        executed = [error for error in field_errors if error.scope in _SCOPES_OF_EXECUTION or error.path]
        raise _no_results_error(executed[0], field_errors) if is_mutation and executed else field_errors[0]
    points = data.get("complexity")
    policy = _POINTS_POLICY.search(headers.get("RateLimit-Policy", ""))
    names = ("query", "after", "reset_in_x_seconds")
    complexity = None
    # An incomplete answer must not correct the quota.
    if isinstance(points, dict) and all(isinstance(points.get(name), int) for name in names):
        complexity = Complexity(*(points[name] for name in names))
    return Answer(
        data=data,
        errors=tuple(field_errors),
        request_id=request_id_of(headers, payload),
        api_version=headers.get("API-Version"),
        complexity=complexity,
        replayed=headers.get("Idempotency-Replayed", "").lower() == "true",
        points_limit=int(policy[1]) if policy else None,
        dated=_date_of(headers),
        seconds=seconds,
    )


def _date_of(headers: Mapping[str, str]) -> datetime | None:
    with suppress(ValueError):
        moment = parsedate_to_datetime(headers.get("Date", ""))
        return moment if moment.tzinfo else None
    return None


def _no_results_error(cause: MondayError, field_errors: list[MondayError]) -> MondayError:
    return cause.as_kind(errors.ANSWER_WITHOUT_DATA, errors.WITHOUT_RESULTS.format(cause.message), field_errors)


# The API's answers have the request's id in the body; those of the proxies before it only in a header.
_REQUEST_IDS = ("X-Request-Id", "Request-Id")
# The complexity points of a whole minute (developer.monday.com/api-reference/docs/rate-limits).
_POINTS_POLICY = re.compile(r'"?complexityMinute"?\s*;\s*q=([0-9]{1,9})\b')


def request_id_of(headers: Mapping[str, str], payload: Mapping[str, Any] | None = None) -> str | None:
    """Return the id by which Monday's support finds the request: in the answer's body, else in a header."""
    extensions = (payload or {}).get("extensions")
    request_id = extensions.get("request_id") if isinstance(extensions, dict) else None
    return str(request_id) if request_id else next(filter(None, map(headers.get, _REQUEST_IDS)), None)


def retry_after_seconds(headers: Mapping[str, str]) -> float | None:
    """Return the seconds to wait by Retry-After, which Monday gives as a number."""
    text = headers.get("Retry-After", "").strip()
    return float(text) if text.isascii() and text.replace(".", "", 1).isdigit() else None
