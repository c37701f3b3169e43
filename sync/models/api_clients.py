"""Programs that use the API: their tokens, and how often each caller has asked.

Only a hash of a token's text is stored. SHA-512 without a salt suits a text of 256 random bits, which nobody can guess.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.contrib.auth.models import User
from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.db.models import Q
from rest_framework.authtoken.models import Token as ClearTextToken

from sync.choices import TokenScope, TokenState
from sync.clock import SyncNow, sync_now
from sync.kernel.humanize import CONTROL_CHARACTERS
from sync.kernel.messages import ActionError, Conflict

ALL_SCOPES = tuple(TokenScope.values)
PREFIX = "npd_"
"""What every new token begins with, so that scanners find one that was published by mistake."""

START_LENGTH = 8
"""Characters that are stored in clear, by which its owner knows a token again."""

# As long as a key of REST framework's own model may be.
LONGEST_CLEAR_TEXT = 40
MAX_GRACE = timedelta(hours=24)
USED_INTERVAL = timedelta(minutes=1)
"""`last_used_at` is written at most this often: a request that only reads should write nothing."""


def token_digest(text: str) -> str:
    return hashlib.sha512(text.encode(errors="replace")).hexdigest()


def ordered_scopes(scopes: Iterable[str]) -> list[str]:
    """Return scopes once each, in the order in which they are always listed."""
    wanted = set(scopes)
    return [scope for scope in ALL_SCOPES if scope in wanted]


@dataclass(frozen=True)
class FoundToken:
    """A token found by its text, and why it opens nothing: `refused` is ACTIVE where it does open."""

    token: ApiToken
    refused: TokenState


class ApiTokenManager(models.Manager["ApiToken"]):
    """Makes tokens, and finds one by its text."""

    def issue(
        self,
        user: User,
        name: str,
        *,
        scopes: Iterable[str] = ALL_SCOPES,
        expires_at: datetime | None = None,
        text: str = "",
        made_with: ApiToken | None = None,
    ) -> tuple[ApiToken, str]:
        """Make a token, and return it with its text, which is stored nowhere; `text` takes a given one.

        One `made_with` another is revoked with that one: who has stolen a token mustn't outlive it by making more.

        Raises ActionError without a scope, and for an end that has passed; Conflict where the other was revoked.
        """
        listed = ordered_scopes(scopes)
        if not listed:
            raise ActionError("A token needs a scope. Choose what it may be used for.", code="no_scope")
        if expires_at is not None and expires_at <= sync_now():
            raise ActionError("A token can't have expired already. Choose a later time.", code="expired")
        text = text or new_text()
        with transaction.atomic():
            if made_with is not None:
                # The request was let in before; revoke() waits for this one, and then finds what it made, or was first.
                maker = self.select_for_update().filter(pk=made_with.pk, revoked_at=None).first()
                if maker is None:
                    raise Conflict("The token that asks was revoked meanwhile.", code=TokenState.REVOKED)
            token = self.create(
                user=user,
                name=name,
                scopes=listed,
                expires_at=expires_at,
                start=text[:START_LENGTH],
                digest=token_digest(text),
                made_with=made_with,
            )
        return token, text

    def find(self, text: str) -> FoundToken | None:
        """Return the token with this text and whether it is refused, in one query; None where there is none."""
        digest = token_digest(text)
        rows = self.filter(Q(digest=digest) | Q(previous_digest=digest)).select_related("user")
        token = next(iter(rows.annotate(now=SyncNow())[:1]), None)
        if token is None:
            return self.find(text) if self._adopt(text) else None
        now: datetime = token.now  # annotated above
        token.is_replaced = token.digest != digest
        if token.is_replaced and (token.previous_until is None or token.previous_until <= now):
            return FoundToken(token, TokenState.REVOKED)
        state = token.state_at(now)
        if state == TokenState.ACTIVE and (token.last_used_at is None or now - token.last_used_at > USED_INTERVAL):
            self.filter(pk=token.pk).update(last_used_at=now)
        return FoundToken(token, state)

    def _adopt(self, text: str) -> bool:
        """Take over a clear-text token that a script has made with DRF's own model; whether there was one."""
        # Its keys are hexadecimal; other texts needn't be looked up, and some can't be.
        looks_alike = text.isascii() and text.isalnum() and len(text) <= LONGEST_CLEAR_TEXT
        found = ClearTextToken.objects.filter(key=text).first() if looks_alike else None
        if found is None:
            return False
        row = self.model(
            user_id=found.user_id,
            name="Made with authtoken",
            scopes=list(ALL_SCOPES),
            start=text[:START_LENGTH],
            digest=token_digest(text),
        )
        # Two requests may be the first at one moment; the digest is unique.
        self.bulk_create([row], ignore_conflicts=True)
        ClearTextToken.objects.filter(key=text).delete()
        return True


def check_token_name(name: str) -> None:
    """Raise ValidationError where a name would be read otherwise than it is written."""
    if CONTROL_CHARACTERS.search(name):
        raise ValidationError(
            "It holds a character that can't be seen, as a line's end. Leave that out.", code="invalid"
        )


def new_text() -> str:
    return PREFIX + secrets.token_hex(32)


class ApiToken(models.Model):
    """A token for the API. `start` is the beginning of its text.

    After a rotation the text before it opens the API until `previous_until`. `made_with` is the token of the
    request that made it.
    """

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="api_tokens")
    name = models.CharField(max_length=100)
    scopes = ArrayField(models.CharField(max_length=20, choices=TokenScope.choices), db_default=[])
    start = models.CharField(max_length=START_LENGTH, verbose_name="begins with")
    digest = models.CharField(max_length=128, unique=True)
    previous_digest = models.CharField(max_length=128, unique=True, null=True, blank=True)
    previous_until = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(db_default=SyncNow(), verbose_name="created")
    rotated_at = models.DateTimeField(null=True, blank=True, verbose_name="rotated")
    last_used_at = models.DateTimeField(null=True, blank=True, verbose_name="last used")
    expires_at = models.DateTimeField(null=True, blank=True, verbose_name="expires")
    revoked_at = models.DateTimeField(null=True, blank=True, verbose_name="revoked")
    made_with = models.ForeignKey("self", models.SET_NULL, null=True, blank=True, related_name="made")

    is_replaced = False
    """Whether it was found by the text that its last rotation replaced."""

    objects = ApiTokenManager()

    class Meta:
        db_table = "sync_api_tokens"
        verbose_name = "API token"
        # Everybody manages their own, administrators see all: no permission decides that.
        default_permissions = ()

    def __str__(self) -> str:
        return self.name

    @property
    def shown_start(self) -> str:
        """Return by what its owner knows its text again."""
        return f"{self.start}…"

    @property
    def ends_at(self) -> datetime | None:
        """Return when the text that it was found by opens nothing more; None: never."""
        ends = [self.expires_at, self.previous_until if self.is_replaced else None]
        return min((one for one in ends if one is not None), default=None)

    def state_at(self, now: datetime) -> TokenState:
        """Return whether it opens the API, and why not."""
        if self.revoked_at is not None:
            return TokenState.REVOKED
        if self.expires_at is not None and self.expires_at <= now:
            return TokenState.EXPIRED
        return TokenState.ACTIVE

    def rotate(self, grace: timedelta = timedelta()) -> str:
        """Give it a new text, and return that; the one until now opens the API for `grace`, up to 24 hours.

        Raises Conflict for one that opens nothing, ActionError for a longer grace.
        """
        if not timedelta() <= grace <= MAX_GRACE:
            raise ActionError("The old text can stay valid for 24 hours at most.", code="long_grace")
        with transaction.atomic():
            row = ApiToken.objects.select_for_update().get(pk=self.pk)
            now = sync_now()
            if (state := row.state_at(now)) != TokenState.ACTIVE:
                raise Conflict(f"This token is {state.label.lower()}. Make a new one.", code=state)
            text = new_text()
            row.previous_digest, row.previous_until = (row.digest, now + grace) if grace else (None, None)
            row.start, row.digest, row.rotated_at = text[:START_LENGTH], token_digest(text), now
            row.save()
        self.__dict__.update({name: value for name, value in row.__dict__.items() if name != "_state"})
        return text

    def revoke(self) -> bool:
        """End it with both its texts, and all that were made with it; whether it had not been revoked before."""
        with transaction.atomic():
            # Against issue(): what is being made with it now is there before the rows are read.
            ApiToken.objects.select_for_update().filter(pk=self.pk).first()
            now = sync_now()
            is_first = ApiToken.objects.filter(pk=self.pk, revoked_at=None).update(revoked_at=now) == 1
            ended = [self.pk] if is_first else []
            while ended:  # those made with it, those made with these, …
                made = ApiToken.objects.filter(made_with__in=ended, revoked_at=None)
                ended = list(made.select_for_update().values_list("pk", flat=True))
                made.update(revoked_at=now)
        self.revoked_at = self.revoked_at or now
        return is_first


class CacheEntry(models.Model):
    """The table of Django's cache in the database (settings.CACHES)."""

    cache_key = models.CharField(primary_key=True, max_length=255)
    value = models.TextField()
    expires = models.DateTimeField(db_index=True)

    class Meta:
        db_table = "sync_cache"
        default_permissions = ()

    def __str__(self) -> str:
        return self.cache_key
