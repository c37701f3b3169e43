"""On which conditions a request is done: once for an Idempotency-Key, and only while a record's ETag is the caller's.

A POST that is sent twice is done once, and its first answer is given again. The answer is stored in the transaction of
what the request did, so both are there or neither. A lock of that transaction keeps a second request out meanwhile; it
dies with its connection, so a crash leaves nothing behind. Only what was done is stored. A refusal (4xx) and a failure
(5xx) did nothing, and the request may be sent again under the same key, corrected too. The rules are Stripe's and those
of the IETF's draft draft-ietf-httpapi-idempotency-key-header.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from django.core.files.uploadedfile import UploadedFile
from django.db import connection, transaction
from django.http import HttpResponse, HttpResponseBase
from django.utils.crypto import salted_hmac
from drf_spectacular.utils import OpenApiParameter
from rest_framework import exceptions
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from sync.api.problems import PreconditionFailed
from sync.clock import sync_now
from sync.kernel.action_errors import PartiallyDone, RefusalNoted
from sync.kernel.triggers import BOOKKEEPING
from sync.models import StoredAnswer, SyncedModel
from sync.records.external_ids import advisory_key

HEADER, REPLAYED = "Idempotency-Key", "Idempotent-Replayed"
LIFETIME = timedelta(hours=24)
RETRY_SECONDS = 1
KEPT_HEADERS = ("Location", "ETag")
_KEY = re.compile(r"[!-~](?:[ -~]{0,253}[!-~])?")


class BadKey(exceptions.APIException):
    """The header holds no key."""

    status_code = HTTPStatus.BAD_REQUEST
    default_detail = (
        "An Idempotency-Key has 1 to 255 printable ASCII characters. Take a new UUID for each thing to be done."
    )
    default_code = "bad_idempotency_key"


class KeyReused(exceptions.APIException):
    """The key has been used for another request."""

    status_code = HTTPStatus.UNPROCESSABLE_ENTITY
    default_detail = (
        "Another body or query was sent here under this Idempotency-Key. Nothing was done. Repeat that request as it "
        "was, or take a new key for this one."
    )
    default_code = "idempotency_key_reused"


class InProgress(exceptions.APIException):
    """The first request under this key isn't done yet."""

    status_code = HTTPStatus.CONFLICT
    default_detail = "A request under this Idempotency-Key is being done. Wait a second, then send this one again."
    default_code = "idempotency_in_progress"
    wait = RETRY_SECONDS  # becomes Retry-After


class AnswerNotKept(exceptions.APIException):
    """It was done, and what it answered was a secret."""

    status_code = HTTPStatus.CONFLICT
    default_detail = (
        "The request under this Idempotency-Key was done. Its answer showed a secret, which isn't kept. If you didn't "
        "get it, delete what was made, then make it again under a new key."
    )
    default_code = "idempotency_answer_not_kept"


NOT_KEPT_OF_ROTATION = (
    "The request under this Idempotency-Key was done. Its answer showed a secret, which isn't kept. If you didn't get "
    "it, rotate again under a new key."
)


def watch_repeats(view: APIView, request: Request) -> None:
    """Let the view's POST be done once for its Idempotency-Key, where it bears one; raises BadKey.

    Called when the caller is known and allowed: nobody gets an answer that isn't theirs.
    """
    key, handler = request.headers.get(HEADER), getattr(view, "post", None)
    if request.method != "POST" or key is None or handler is None:
        return
    if not _KEY.fullmatch(key):
        raise BadKey
    view.post = partial(_answer_once, view, handler, key)  # type: ignore[attr-defined]  # DRF looks it up next


def _answer_once(
    view: Any, handler: Callable[..., Response], key: str, request: Request, *args: Any, **kwargs: Any
) -> HttpResponseBase:
    # With a slash at its end and without it is one address.
    address = quote(request.path.rstrip("/"))[-255:]  # quoted: it may hold what no table can store
    whose: dict[str, Any] = {"user": request.user, "path": address, "key": key}
    fingerprint = _fingerprint(request)
    with transaction.atomic():
        if not _try_lock(advisory_key("idempotency", str(request.user.pk), address, key)):
            raise InProgress
        stored = StoredAnswer.objects.filter(**whose).first()
        if stored is not None and stored.at > sync_now() - LIFETIME:
            return _replay(stored, fingerprint)
        try:
            answer = handler(request, *args, **kwargs)
            is_done = answer.status_code < HTTPStatus.BAD_REQUEST
        # The one refusal after which something stays done: it mustn't be rolled back, nor done again.
        except PartiallyDone as error:
            answer, is_done = view.handle_exception(error), True
        # What it notes is committed; the answer isn't stored, for the request may be sent again.
        except RefusalNoted as error:
            answer, is_done = view.handle_exception(error), False
        if is_done:
            is_secret = getattr(view, "action", None) in view.unstored or "post" in view.unstored
            values = {
                "fingerprint": fingerprint,
                "status": answer.status_code,
                "content_type": answer.content_type or "application/json",
                "headers": {name: answer[name] for name in KEPT_HEADERS if name in answer},
                "body": None if is_secret else _body(answer),
                "at": sync_now(),
            }
            StoredAnswer.objects.update_or_create(defaults=values, **whose)
    return answer


def _try_lock(key: int) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [key])
        return bool(cursor.fetchone()[0])


def _replay(stored: StoredAnswer, fingerprint: str) -> HttpResponse:
    if stored.fingerprint != fingerprint:
        raise KeyReused
    if stored.body is None:
        raise AnswerNotKept if stored.status == HTTPStatus.CREATED else AnswerNotKept(NOT_KEPT_OF_ROTATION)
    headers = {**stored.headers, REPLAYED: "true"}
    return HttpResponse(stored.body, status=stored.status, content_type=stored.content_type, headers=headers)


def _body(answer: Response) -> str:
    """What the renderer will make of it."""
    return "" if answer.data is None else JSONRenderer().render(answer.data).decode()


def _fingerprint(request: Request) -> str:
    """A keyed hash of body and query; of a file its content counts. Raises what reading the body raises."""
    data = request.data
    # A form's values as lists: it may give one name several times.
    given = {name: data.getlist(name) for name in data} if hasattr(data, "getlist") else data
    text = json.dumps([given, sorted(request.query_params.lists())], sort_keys=True, default=_file_digest)
    # Keyed: a body may hold a secret that could be guessed from a plain hash.
    return salted_hmac("npd.idempotency", text, algorithm="sha256").hexdigest()


def _file_digest(value: Any) -> str:
    if not isinstance(value, UploadedFile):
        return str(value)
    digest = hashlib.sha256()
    for chunk in value.chunks():
        digest.update(chunk)
    value.seek(0)
    return f"{value.name} {digest.hexdigest()}"


# The ETag of a record: what it is a hash of, and how If-Match and If-None-Match are compared with it.


_TAG = re.compile(r'(?:W/)?("[^"]*")')

ETAG_OUT = OpenApiParameter(
    "ETag", str, OpenApiParameter.HEADER, response=[200, 201], description="A hash of what people edit."
)

IF_MATCH = OpenApiParameter(
    "If-Match",
    str,
    OpenApiParameter.HEADER,
    description="ETags as read, or *; when the record has another now, nothing is done: 412.",
)

IF_NONE_MATCH = OpenApiParameter(
    "If-None-Match",
    str,
    OpenApiParameter.HEADER,
    description="* to create only: when there is such a record, nothing is done: 412.",
)


def etag_of(record: SyncedModel) -> str:
    """The quoted tag of the record's fields, sync_enabled and sync_direction."""
    names = [
        field.attname
        for field in record._meta.concrete_fields
        if not field.primary_key and field.attname not in BOOKKEEPING
    ]
    # Without bookkeeping: a pass must not make a person's ETag stale.
    values = {name: getattr(record, name) for name in names}
    text = json.dumps(values, sort_keys=True, default=str, ensure_ascii=False)
    return f'"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'


def matches_etag(if_match: str, etag: str) -> bool:
    """Whether an If-Match header names this tag: a list of tags or `*`; `W/` is ignored."""
    return if_match.strip() == "*" or etag in _TAG.findall(if_match)


def check_tag(if_match: str | None, record: SyncedModel) -> None:
    """Compare a tag that a caller read with the record, whose row must be locked; raises PreconditionFailed."""
    # Compared under the row's lock, so that nobody can change the record in between.
    if if_match is not None and not matches_etag(if_match, etag_of(record)):
        raise PreconditionFailed(
            f"“{record}” ({record.entity_type()} {record.pk}) changed since you read it; nothing was done. "
            "GET it again, make your change on what it says now, and send that with the new ETag in If-Match."
        )


def check_precondition(request: Request, record: SyncedModel) -> None:
    """Compare If-Match with the record, whose row must be locked; raises PreconditionFailed (412)."""
    check_tag(request.headers.get("If-Match"), record)


def check_upsert_precondition(request: Request, record: SyncedModel | None) -> None:
    """The same where the record may be missing, which no If-Match names; If-None-Match says that it must be."""
    if_none_match = request.headers.get("If-None-Match")
    if record is None:
        if "If-Match" in request.headers:
            raise PreconditionFailed("There is no such record, so it isn't the one that you read; nothing was done.")
        return
    check_precondition(request, record)
    if if_none_match is not None and matches_etag(if_none_match, etag_of(record)):
        raise PreconditionFailed(
            f"There is “{record}” ({record.entity_type()} {record.pk}) already; nothing was done. Leave out "
            "If-None-Match to change it."
        )
