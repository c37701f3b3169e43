"""SyncedModel: what a model inherits to be kept equal with a board."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable
from typing import Any, ClassVar, Self

import pgtrigger
from django.db import models, transaction
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from sync.choices import RecordSyncStatus, SyncDirection
from sync.clock import SyncNow
from sync.triggers import BOOKKEEPING, synced_triggers

__all__ = ["BOOKKEEPING", "SyncedModel"]


class SyncedModel(models.Model):
    """A record that has, or may have, a counterpart on a Monday board.

    `save()` writes only the fields that differ from what was loaded, so a form that was opened before
    a sync changed another field does not put the old value back.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    monday_id = models.CharField(
        _("Monday item"), max_length=50, null=True, blank=True, unique=True, editable=False
    )
    monday_last_synced = models.DateTimeField(_("last found in sync"), null=True, blank=True, editable=False)
    sync_status = models.CharField(
        max_length=20,
        choices=RecordSyncStatus.choices,
        default=RecordSyncStatus.PENDING,
        db_default=RecordSyncStatus.PENDING,
        db_index=True,
        editable=False,
    )
    sync_enabled = models.BooleanField(
        _("sync with Monday"),
        default=True,
        db_default=True,
        help_text=_("Off: nothing is sent and nothing is taken over."),
    )
    sync_direction = models.CharField(
        _("direction"),
        max_length=20,
        choices=SyncDirection.choices,
        default=SyncDirection.BIDIRECTIONAL,
        db_default=SyncDirection.BIDIRECTIONAL,
    )
    created_at = models.DateTimeField(db_default=SyncNow(), editable=False)
    updated_at = models.DateTimeField(db_default=SyncNow(), editable=False)

    BOOKKEEPING: ClassVar[tuple[str, ...]] = BOOKKEEPING
    sync_related: ClassVar[tuple[str, ...]] = ()
    """Relations that `sync_region` follows; a look reads them with its records, in one query."""
    _loaded: dict[str, Any]
    _committed: dict[str, Any]

    class Meta:
        abstract = True
        triggers: ClassVar[list[pgtrigger.Trigger]] = synced_triggers()
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(
                condition=Q(sync_status__in=RecordSyncStatus.values), name="%(class)s_sync_status_known"
            ),
            models.CheckConstraint(
                condition=Q(sync_direction__in=SyncDirection.values), name="%(class)s_sync_direction_known"
            ),
        ]

    @classmethod
    def from_db(
        cls, db: str | None, field_names: Collection[str], values: Collection[Any], **kwargs: Any
    ) -> Self:
        """Remember what was loaded, to write only what differs from it."""
        instance = super().from_db(db, field_names, values, **kwargs)
        instance._loaded = _copied(zip(field_names, values, strict=False))
        instance._committed = instance._loaded
        return instance

    def refresh_from_db(
        self, using: Any = None, fields: Iterable[str] | None = None, from_queryset: Any = None
    ) -> None:
        """Reload, and remember what was loaded."""
        fields = None if fields is None else list(fields)
        super().refresh_from_db(using=using, fields=fields, from_queryset=from_queryset)
        names = self._names() if fields is None else self._attnames(fields)
        self._loaded = getattr(self, "_loaded", {}) | self._now(names)
        self._committed = getattr(self, "_committed", {}) | self._now(names)

    def changed_fields(self) -> list[str]:
        """Return the attribute names whose value differs from what was loaded, saved, or committed last.

        Committed too, for a save whose transaction is rolled back has written nothing.
        """
        known = (getattr(self, "_loaded", {}), getattr(self, "_committed", {}))
        now = self._now(name for name in self._names() if name not in ("id", "created_at", "updated_at"))
        return [name for name, value in now.items() if any(name not in k or k[name] != value for k in known)]

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Insert, or update only what changed since it was loaded; nothing changed writes nothing."""
        if self._state.adding or kwargs.get("force_insert") or args:
            super().save(*args, **kwargs)
            saved: Iterable[str] = self._names()
        else:
            asked = kwargs.pop("update_fields", None)
            saved = self.changed_fields()
            if asked is not None:
                saved = [name for name in saved if name in self._attnames(asked)]
            super().save(update_fields=saved, **kwargs)
        self._remember(saved)

    def _remember(self, names: Iterable[str]) -> None:
        saved = self._now(names)
        self._loaded = getattr(self, "_loaded", {}) | saved

        def committed() -> None:
            self._committed = getattr(self, "_committed", {}) | saved

        transaction.on_commit(committed, using=self._state.db)

    def _names(self) -> list[str]:
        return [f.attname for f in self._meta.concrete_fields]

    def _now(self, names: Iterable[str]) -> dict[str, Any]:
        return _copied((name, self.__dict__[name]) for name in names if name in self.__dict__)

    def _attnames(self, names: Iterable[str]) -> set[str]:
        return {self._meta.get_field(name).attname for name in names}  # type: ignore[union-attr]

    @property
    def may_sync(self) -> bool:
        """Whether looks may touch this record at all."""
        return self.sync_enabled and self.sync_direction != SyncDirection.NONE

    def sync_region(self) -> str:
        """Return the country of telephone numbers that name none, as a code or name; empty: the setting's."""
        return ""

    @classmethod
    def entity_type(cls) -> str:
        """Return the model's name in lower case, as tables and the API call it."""
        return cls._meta.model_name or cls.__name__.lower()


def _copied(values: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """A copy that a change in place, as of a list, doesn't reach."""
    return {name: list(value) if isinstance(value, list) else value for name, value in values}


def unsynced(alias: str = "") -> Q:
    """Records that no look may touch: sync off, or direction none."""
    prefix = f"{alias}__" if alias else ""
    return Q(**{f"{prefix}sync_enabled": False}) | Q(**{f"{prefix}sync_direction": SyncDirection.NONE})
