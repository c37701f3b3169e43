"""On which conditions a request is done: once for an Idempotency-Key, while a record's ETag is the caller's, and beside
another record of the same value or not.

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
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from http import HTTPStatus
from typing import Any
from urllib.parse import quote
from uuid import UUID

from django.db import transaction
from django.http import HttpResponse, HttpResponseBase
from django.utils.crypto import salted_hmac
from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from sync import registry
from sync.api.callers import has_scope
from sync.api.problems import BadQuery, Refused
from sync.choices import TokenScope
from sync.clock import sync_now
from sync.kernel.db import advisory_lock
from sync.kernel.messages import Conflict, PartiallyDone, RefusalNoted
from sync.kernel.triggers import BOOKKEEPING
from sync.models import StoredAnswer, SyncedModel
from sync.reconcile.lookups import match_key, records_sharing
from sync.records.external_ids import advisory_key, lock_values

HEADER, REPLAYED = "Idempotency-Key", "Idempotent-Replayed"
LIFETIME = timedelta(hours=24)
RETRY_SECONDS = 1
FAILED = "precondition_failed"
KEPT_HEADERS = ("Location", "ETag")
_KEY = re.compile(r"[!-~](?:[ -~]{0,253}[!-~])?")


NOT_KEPT = "It was done under this Idempotency-Key. Its answer showed a secret, which isn't kept. If you lack it, "


def watch_repeats(view: APIView, request: Request) -> None:
    """Let the view's POST be done once for its Idempotency-Key, where it bears one; raises Refused.

    Called when the caller is known and allowed: nobody gets an answer that isn't theirs.
    """
    key, handler = request.headers.get(HEADER), getattr(view, "post", None)
    if request.method != "POST" or key is None or handler is None:
        return
    if not _KEY.fullmatch(key):
        raise Refused(
            "bad_idempotency_key",
            "An Idempotency-Key has 1 to 255 printable ASCII characters. Take a new UUID for each thing to be done.",
        )
    view.post = partial(_answer_once, view, handler, key)  # type: ignore[attr-defined]  # DRF looks it up next


def _answer_once(
    view: Any, handler: Callable[..., Response], key: str, request: Request, *args: Any, **kwargs: Any
) -> HttpResponseBase:
    # With a slash at its end and without it is one address.
    address = quote(request.path.rstrip("/"))[-255:]  # quoted: it may hold what no table can store
    whose: dict[str, Any] = {"user": request.user, "path": address, "key": key}
    fingerprint = _fingerprint(request)
    with transaction.atomic():
        if not advisory_lock(advisory_key("idempotency", str(request.user.pk), address, key), "try"):
            raise Refused(
                "idempotency_in_progress",
                "A request under this Idempotency-Key is being done. Wait a second, then send this one again.",
                wait=RETRY_SECONDS,
            )
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
                "body": None if is_secret else JSONRenderer().render(answer.data).decode(),
                "at": sync_now(),
            }
            StoredAnswer.objects.update_or_create(defaults=values, **whose)
    return answer


def _replay(stored: StoredAnswer, fingerprint: str) -> HttpResponse:
    if stored.fingerprint != fingerprint:
        raise Refused(
            "idempotency_key_reused",
            "Another body or query was sent here under this Idempotency-Key. Nothing was done. Repeat that request as "
            "it was, or take a new key for this one.",
        )
    if stored.body is None:
        made = "delete what was made, then make it again under a new key."
        what_to_do = made if stored.status == HTTPStatus.CREATED else "rotate again under a new key."
        raise Refused("idempotency_answer_not_kept", NOT_KEPT + what_to_do)
    headers = {**stored.headers, REPLAYED: "true"}
    return HttpResponse(stored.body, status=stored.status, content_type=stored.content_type, headers=headers)


def _fingerprint(request: Request) -> str:
    """A keyed hash of body and query. Raises what reading the body raises."""
    text = json.dumps([request.data, sorted(request.query_params.lists())], sort_keys=True)
    # Keyed: a body may hold a secret that could be guessed from a plain hash.
    return salted_hmac("npd.idempotency", text, algorithm="sha256").hexdigest()


# ETags. Of a record it is "fields.body": what stands before the dot is a hash of what people edit, with which If-Match
# is compared, so that a pass makes no person's tag stale. All of it covers the whole answer, as the tag of any other
# does, and is what a 304 needs: none hides what a pass has changed.


_FIELDS_OF_TAG = re.compile(r'(?:W/)?("[^".]*)(?:\.[^"]*)?"')

ETAG_OUT = OpenApiParameter(
    "ETag",
    str,
    OpenApiParameter.HEADER,
    response=[200, 201],
    description="For If-Match: before its dot a hash of what people edit, as the body's `etag`, then one of the body.",
)

IF_MATCH = OpenApiParameter(
    "If-Match",
    {"type": "string", "pattern": r'^(\*|(W/)?"[!#-~]*"(, ?(W/)?"[!#-~]*")*)$'},
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
    return _tag_of(text.encode())


def etag_of_answer(record: SyncedModel, data: Any) -> str:
    """The tag of a record with that of what is answered of it."""
    body = _tag_of(JSONRenderer().render(data))
    return f'{etag_of(record)[:-1]}.{body[1:17]}"'


def _tag_of(text: bytes) -> str:
    return f'"{hashlib.sha256(text).hexdigest()[:32]}"'


def matches_etag(if_match: str, etag: str) -> bool:
    """Whether an If-Match header names the tag of a record, whatever body it was read with: a list of tags or `*`.

    `W/` is ignored.
    """
    return if_match.strip() == "*" or etag[:-1] in _FIELDS_OF_TAG.findall(if_match)


def check_tag(if_match: str | None, record: SyncedModel) -> None:
    """Compare a tag that a caller read with the record, whose row must be locked; raises Refused (412)."""
    # Compared under the row's lock, so that nobody can change the record in between.
    if if_match is not None and not matches_etag(if_match, etag_of(record)):
        raise Refused(
            FAILED,
            f"“{record}” ({record.entity_type()} {record.pk}) changed since you read it; nothing was done. "
            "GET it again, make your change on what it says now, and send that with the new ETag in If-Match.",
        )


def check_upsert_precondition(request: Request, record: SyncedModel | None, number: int) -> None:
    """The same where the record may be missing, which no If-Match names; If-None-Match says that it must be.

    `number` is how many fit; of several `record` is None.
    """
    if_none_match = request.headers.get("If-None-Match")
    if number > 1:
        if if_none_match is not None and if_none_match.strip() == "*":
            raise Refused(FAILED, f"{number} records fit already; nothing was done. Look at them first.")
        return
    if record is None:
        if "If-Match" in request.headers:
            raise Refused(FAILED, "There is no such record, so it isn't the one that you read; nothing was done.")
        return
    check_tag(request.headers.get("If-Match"), record)
    if if_none_match is not None and matches_etag(if_none_match, etag_of(record)):
        raise Refused(
            FAILED,
            f"There is “{record}” ({record.entity_type()} {record.pk}) already; nothing was done. Leave out "
            "If-None-Match to change it.",
        )


# Whether another record says the same in the field by which records are known to be the same.


POSSIBLE_DUPLICATE = "possible_duplicate"
"""The code of a warning, and of the Conflict where `unique` is asked."""

MAX_DUPLICATES = 20
"""Records that a warning names."""


class WarningSerializer(serializers.Serializer[Any]):
    """What was done, and may be a mistake."""

    code = serializers.ChoiceField(choices=[POSSIBLE_DUPLICATE])
    field = serializers.CharField(help_text="The field that other records say the same in.")
    ids = serializers.ListField(
        child=serializers.UUIDField(), help_text=f"Those that you may see, {MAX_DUPLICATES} at most."
    )
    detail = serializers.CharField()


def may_name_others(request: Request, model: type[SyncedModel]) -> bool:
    """Whether a refusal may say which other record stands in the way: to who may read it."""
    return registry.may_view(request.user, model._meta.label_lower) and has_scope(request, TokenScope.READ)


class SameValue:
    """One request's look for records that say the same as those it writes; `field` is their match field."""

    def __init__(self, request: Request, model: type[SyncedModel]) -> None:
        """Raise BadQuery where `unique` names another field."""
        self.model, self.field = model, registry.match_field(model) or ""
        self.is_unique = "unique" in request.query_params
        if self.is_unique and request.query_params["unique"] != self.field:
            known = f"Known: {self.field}." if self.field else "There are none."
            raise BadQuery({"unique": [f"Not known here. {known}"]}, code="unknown")
        self.names_others = may_name_others(request, model)

    def lock(self, bodies: Iterable[Any]) -> None:
        """Where unique is asked, let nobody else who asks it write the same; before any record's row is locked."""
        if self.is_unique:
            said = [body[self.field] for body in bodies if isinstance(body, dict) and self.field in body]
            # A number is stored as its text.
            keys = {match_key(self.model.entity_type(), self.field, str(one)) for one in said if one}
            lock_values(self.model.entity_type(), self.field, keys - {""})

    def others(self, written: Mapping[UUID, Any]) -> dict[UUID, list[UUID]]:
        """The other records that say what these do, by the ids of these."""
        entity_type, said = self.model.entity_type(), {pk: value for pk, value in written.items() if value}
        found = records_sharing(self.model, self.field, said.values(), MAX_DUPLICATES + 1)
        keys = {pk: match_key(entity_type, self.field, value) for pk, value in said.items()}
        return {pk: [one for one in found.get(key, ()) if one != pk][:MAX_DUPLICATES] for pk, key in keys.items()}

    def check(self, values: Mapping[str, Any], pk: UUID | None) -> list[dict[str, Any]]:
        """Return the warnings of writing these to this record, or a new one; raises Conflict where unique is asked."""
        if self.field not in values:
            return []
        own = pk or UUID(int=0)
        others = self.others({own: values[self.field]}).get(own, [])
        if others and self.is_unique:
            raise self.refusal(others)
        return self.warnings(others)

    def refusal(self, others: Sequence[UUID]) -> Conflict:
        """Why a record isn't written beside these."""
        named = f": {', '.join(map(str, others))}" if self.names_others and others else ""
        sentence = f"Another {self.model._meta.verbose_name} has this {self.field} already{named}. Nothing was written."
        return Conflict(f"{sentence} Change that one, or send it without unique.", code=POSSIBLE_DUPLICATE)

    def warnings(self, others: Sequence[UUID]) -> list[dict[str, Any]]:
        """That these say the same, to somebody who may see them or not."""
        if not others:
            return []
        detail = f"Another {self.model._meta.verbose_name} has this {self.field}. Is it the same?"
        ids = [str(one) for one in others] if self.names_others else []
        return [{"code": POSSIBLE_DUPLICATE, "field": self.field, "ids": ids, "detail": detail}]


def unique_parameter(field: str | None) -> list[OpenApiParameter]:
    """What the schema says of `unique`; of a model without such a field nothing."""
    said = "Refuse (409 `possible_duplicate`) what another record says in this field, as the sync compares it."
    return [OpenApiParameter("unique", str, enum=[field], description=said)] if field else []
