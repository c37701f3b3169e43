"""Tokens of an older installation, DRF's and knox's, after the update and after going back."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from rest_framework.authtoken.models import Token
from rest_framework.test import APIClient

from sync.models import ApiToken

BEFORE = [("sync", "0028_folded_activity")]
KNOX_TABLE = """
    CREATE TABLE knox_authtoken (
        digest varchar(128) PRIMARY KEY, created timestamptz NOT NULL, user_id integer NOT NULL
            REFERENCES auth_user DEFERRABLE INITIALLY DEFERRED,
        expiry timestamptz, token_key varchar(25) NOT NULL)
"""
OF_KNOX, EXPIRED = "a" * 64, "b" * 64


def migrate(target: list[tuple[str, str]]) -> None:
    MigrationExecutor(connection).migrate(target)


def sql(statement: str, *values: object) -> list[tuple[object, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return cursor.fetchall() if cursor.description else []


def opens(text: str, scheme: str) -> bool:
    answer = APIClient().get("/api/v1/me", headers={"Authorization": f"{scheme} {text}"})
    return bool(answer.status_code == 200)


def digest(text: str) -> str:
    return hashlib.sha512(text.encode()).hexdigest()


@pytest.fixture
def key(transactional_db: None) -> Iterator[str]:
    """The key of a token in clear text, in the tables as they were, beside two of knox."""
    migrate(BEFORE)
    sql(KNOX_TABLE)
    user = User.objects.create_user("old")
    for text, expiry in ((OF_KNOX, None), (EXPIRED, "2020-01-31")):
        row = (digest(text), user.pk, expiry, text[:15])
        sql("INSERT INTO knox_authtoken VALUES (%s, '2025-05-01', %s, %s, %s)", *row)
    yield Token.objects.create(user=user).key
    call_command("migrate", verbosity=0)
    sql("DROP TABLE knox_authtoken")


def test_tokens_of_both_kinds_go_on_and_none_is_left_in_clear(key: str) -> None:
    migrate(MigrationExecutor(connection).loader.graph.leaf_nodes())
    assert (opens(key, "Token"), opens(OF_KNOX, "Bearer"), opens(EXPIRED, "Bearer")) == (True, True, False)
    assert [token.is_legacy for token in ApiToken.objects.order_by("start")] == [key < OF_KNOX, key > OF_KNOX]
    assert not Token.objects.exists()
    assert not sql("SELECT * FROM knox_authtoken")
    # Back: knox's own look-up finds all that may everything, by the beginning and the hash.
    user = User.objects.get()
    maker, new = ApiToken.objects.issue(user, "new")
    narrow, gone = ApiToken.objects.issue(user, "narrow", scopes=["read"])[1], ApiToken.objects.issue(user, "gone")[1]
    ApiToken.objects.filter(name="narrow").update(made_with=maker)
    ApiToken.objects.issue(user, "revoked")[0].revoke()
    before = list(ApiToken.objects.order_by("id").values())
    migrate(BEFORE)
    back = {one[0] for one in sql("SELECT digest FROM knox_authtoken WHERE token_key <> ''")}
    assert back == {digest(text) for text in (key, OF_KNOX, new, gone)}
    assert digest(narrow) not in back
    # With the next update they are as they were, but for what was revoked or made there.
    sql("DELETE FROM knox_authtoken WHERE digest = %s", digest(gone))
    other = Token.objects.create(user=User.objects.create_user("other")).key
    migrate(MigrationExecutor(connection).loader.graph.leaf_nodes())
    assert list(ApiToken.objects.filter(user=user).order_by("id").values()) == [
        row for row in before if row["name"] != "gone"
    ]
    assert all(opens(text, "Token") for text in (key, other))
    assert ApiToken.objects.get(user__username="other").is_legacy
    assert {"sync_api_tokens_kept", "sync_api_tokens_made"}.isdisjoint(connection.introspection.table_names())


@pytest.mark.django_db(transaction=True)
def test_who_could_manage_webhooks_before_they_had_a_scope_still_can() -> None:
    migrate([("sync", "0040_what_an_export_shows")])
    try:
        user = User.objects.create_user("old")
        for scopes in (["read", "write", "resolve", "operate"], ["read", "operate"], ["read", "write"]):
            row = (user.pk, " ".join(scopes), scopes, digest("".join(scopes)))
            sql("INSERT INTO sync_api_tokens (user_id, name, scopes, start, digest) VALUES (%s, %s, %s, '', %s)", *row)
    finally:
        call_command("migrate", verbosity=0)
    assert {token.name: "webhooks" in token.scopes for token in ApiToken.objects.all()} == {
        "read write resolve operate": True,
        "read operate": True,
        "read write": False,
    }
