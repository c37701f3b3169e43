"""Sign in as a person does, for tests of what follows."""

import json
from time import time
from typing import Any

from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import hotp_value
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.db import connection
from django.test import Client

from sync.kernel.secret_texts import decrypt

LOGIN, MFA, SESSIONS = "/accounts/login/", "/accounts/2fa/", "/accounts/sessions/"
CODE, APP, CODES = f"{MFA}authenticate/", f"{MFA}totp/activate/", f"{MFA}recovery-codes/"
RECORDS = "account_authentication_methods"


def sign_in(password: str = "right", name: str = "ada", **headers: Any) -> tuple[Client, Any]:
    client = Client(**headers)
    return client, client.post(LOGIN, {"login": name, "password": password})


def is_in(client: Client) -> bool:
    """Return whether an address of the admin answers, one that takes no page to make."""
    return client.get("/admin/search/").status_code == 200


def code_of(user: User) -> str:
    """Return the person's next one-time code: that of this half minute may be used up."""
    return code_by(decrypt(Authenticator.objects.get(user=user, type="totp").data["secret"]), time() + 30)


def code_by(key: str, moment: float | None = None) -> str:
    return f"{hotp_value(key, int(moment or time()) // 30):06d}"


def set_up(client: Client) -> Any:
    """Add an authenticator app; return the page with the recovery codes."""
    return client.post(APP, {"code": code_by(client.get(APP).context["form"].secret)}, follow=True)


def enrolled(user: User) -> list[str]:
    """Give the person an authenticator app; return the recovery codes."""
    client, _answer = sign_in(name=user.get_username())
    codes: list[str] = set_up(client).context["unused_codes"]
    client.post("/accounts/logout/")
    return codes


def grow_old(client: Client) -> None:
    """Move this session's sign-in ten minutes back."""
    session = client.session
    session[RECORDS] = [{**record, "at": record["at"] - 600} for record in session[RECORDS]]
    session.save()


def everything_stored() -> str:
    """Return all rows of the database, with sessions decoded."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        rows = []
        for (table,) in cursor.fetchall():
            cursor.execute(f'SELECT row::text FROM "{table}" AS row')
            rows += [row for (row,) in cursor.fetchall()]
    return "\n".join([*rows, *(json.dumps(session.get_decoded()) for session in Session.objects.all())])
