"""Tables of libraries: the API's tokens (knox), and Django's cache in the database."""

from django.db import models
from knox.models import AuthToken


class ApiToken(AuthToken):  # type: ignore[misc]  # knox has no types
    """A token of knox, which stores a hash of it, with the names of our pages."""

    class Meta:
        proxy = True
        verbose_name = "API token"
        # Everybody manages their own, administrators see all, without a permission.
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
