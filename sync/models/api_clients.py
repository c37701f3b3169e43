"""Programs that use the API: their tokens, and how often each caller has asked."""

from __future__ import annotations

from django.db import models
from knox.models import AuthToken


class ApiToken(AuthToken):  # type: ignore[misc]  # knox has no types
    """A token of knox, whose table holds a hash of it; by the words of our pages."""

    class Meta:
        proxy = True
        verbose_name = "API token"
        # Everybody manages their own, administrators see all: no permission decides that.
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.token_key}…"


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
