"""Secrets of this folder's own, made once and kept under var/."""

import fcntl
import json
import os
import secrets
from dataclasses import dataclass, fields
from pathlib import Path


@dataclass(frozen=True)
class Secrets:
    """What an installation on one machine needs and no person has to think of."""

    secret_key: str
    monday_api_key: str
    monday_webhook_token: str
    cron_secret: str
    admin_password: str
    npd_token: str  # the board page's, for NPD's API


def secrets_of(var: Path) -> Secrets:
    """Read var/secrets.json, made at the first call; only its owner can read it.

    Two processes that call this first at the same time get the same secrets.
    """
    path = var / "secrets.json"
    var.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        known: dict[str, str] = json.loads(file.read() or "{}")
        missing = [field.name for field in fields(Secrets) if field.name not in known]
        if missing:
            known |= {name: secrets.token_urlsafe(24) for name in missing}
            file.seek(0)
            json.dump(known, file, indent=1)
    return Secrets(**{field.name: known[field.name] for field in fields(Secrets)})
