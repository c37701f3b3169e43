"""A second factor as stored: nothing in it can be read or used by who has the database alone."""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models

from sync.clock import SyncNow


class SecondFactor(models.Model):
    """One person's authenticator app and recovery codes.

    `sealed_key` is the app's key, encrypted; `recovery` are hashes of the codes that are left. A code counts from
    `last_step` on, the last time step of which one was accepted, so that none is accepted twice. What is only
    offered is in the session. `failures` are wrong codes, typed with the password that `failed_password` is a mark of;
    of so many of them as `told` the person had an email. `turned_on_told` is false until they had one that it is on.
    """

    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="second_factor")
    sealed_key = models.TextField()
    recovery = ArrayField(models.CharField(max_length=64), default=list)
    last_step = models.BigIntegerField(db_default=-1)
    failures = models.SmallIntegerField(db_default=0)
    failed_at = models.DateTimeField(null=True)
    failed_password = models.CharField(max_length=16, blank=True, db_default="")
    told = models.SmallIntegerField(db_default=0)
    turned_on_told = models.BooleanField(db_default=True)
    made_at = models.DateTimeField(db_default=SyncNow())
    confirmed_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "npd_second_factors"
        # Everybody has their own; an administrator takes one away, and nobody reads it.
        default_permissions: ClassVar[tuple[str, ...]] = ()

    def __str__(self) -> str:
        return f"second factor of {self.user_id}"
