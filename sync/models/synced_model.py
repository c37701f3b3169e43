"""SyncedModel, the base class of models synced with a board."""

import uuid
from collections.abc import Collection, Iterable
from typing import Any, ClassVar, Self, TypeVar

import pghistory
import pgtrigger
from django.core.validators import MaxLengthValidator
from django.db import models, transaction
from pghistory.core import event_models

from sync import choices
from sync.clock import SyncNow
from sync.kernel import triggers
from sync.monday.text_forms import drop_invisible_but_joiners, email_address

# The size of a spreadsheet's cell; web and worker can still handle 500 such texts in one answer.
LONG_TEXT_CHARACTERS = 32_767


class LongTextField(models.TextField):  # type: ignore[type-arg]  # not subscriptable when it runs
    """A text of paragraphs. Forms, API, import and sync limit its length; the database doesn't."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"max_length": LONG_TEXT_CHARACTERS} | kwargs)
        self.validators.append(MaxLengthValidator(self.max_length))

    def deconstruct(self) -> Any:
        """Appear as a plain TextField in migrations."""
        name, _, args, kwargs = super().deconstruct()
        kwargs.pop("max_length", None)
        return name, "django.db.models.TextField", args, kwargs


class SyncedModel(models.Model):
    """A record that has, or may have, a counterpart on a Monday board.

    `save()` writes only the fields that changed since they were loaded, so that a form opened before a sync of
    another field doesn't restore that field's old value.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    monday_id = models.CharField("Monday item", max_length=50, null=True, blank=True, unique=True, editable=False)
    # When that changed after the record was made; set by a trigger.
    item_since = models.DateTimeField(null=True, editable=False)
    monday_last_synced = models.DateTimeField("last found in sync", null=True, blank=True, editable=False)
    sync_status = models.CharField(
        max_length=20,
        choices=choices.RecordSyncStatus.choices,
        default=choices.RecordSyncStatus.PENDING,
        db_default=choices.RecordSyncStatus.PENDING,
        db_index=True,
        editable=False,
    )
    sync_enabled = models.BooleanField(
        "sync with Monday", default=True, db_default=True, help_text="When off, nothing is synced in either direction."
    )
    sync_direction = models.CharField(
        "direction",
        max_length=20,
        choices=choices.SyncDirection.choices,
        default=choices.SyncDirection.BIDIRECTIONAL,
        db_default=choices.SyncDirection.BIDIRECTIONAL,
    )
    created_at = models.DateTimeField(db_default=SyncNow(), editable=False)
    updated_at = models.DateTimeField(db_default=SyncNow(), editable=False)  # then set by a trigger

    objects: ClassVar[models.Manager[Self]] = models.Manager()

    # Relations that `sync_region` follows; a pass selects them with its records.
    sync_related: ClassVar[tuple[str, ...]] = ()
    # Registered fields that are stored in one form (`tidied`): addresses, numbers and labels.
    tidied_fields: ClassVar[frozenset[str]] = frozenset()
    # The installation's country of phone numbers; code that writes many records reads it once and sets it here.
    installation_region: str = ""
    _loaded: dict[str, Any]  # the attributes as they were loaded or saved last
    _committed: dict[str, Any]  # the same without saves that may still be rolled back

    class Meta:
        abstract = True
        default_permissions = ("add", "change", "delete", "view", "import", "export")
        triggers: ClassVar[list[pgtrigger.Trigger]] = triggers.synced_triggers()
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(
                condition=models.Q(sync_status__in=choices.RecordSyncStatus.values), name="%(class)s_sync_status_known"
            ),
            models.CheckConstraint(
                condition=models.Q(sync_direction__in=choices.SyncDirection.values),
                name="%(class)s_sync_direction_known",
            ),
        ]

    @classmethod
    def from_db(cls, db: str | None, field_names: Collection[str], values: Collection[Any], **kwargs: Any) -> Self:
        """Remember the loaded values, so that `save()` writes only the differences."""
        instance = super().from_db(db, field_names, values, **kwargs)
        instance._loaded = _copy_values(zip(field_names, values, strict=False))
        instance._committed = instance._loaded
        return instance

    def refresh_from_db(
        self, using: Any = None, fields: Iterable[str] | None = None, from_queryset: Any = None
    ) -> None:
        """Reload, and remember the loaded values."""
        fields = None if fields is None else list(fields)
        super().refresh_from_db(using=using, fields=fields, from_queryset=from_queryset)
        names = self._field_names() if fields is None else self._attnames(fields)
        self._loaded = getattr(self, "_loaded", {}) | self._current_values(names)
        self._committed = getattr(self, "_committed", {}) | self._current_values(names)

    def clean_fields(self, exclude: Collection[str] | None = None) -> None:
        """Bring addresses, numbers and labels into the form in which they are stored, then check as Django does."""
        for name in self.tidied_fields.difference(exclude or ()):
            setattr(self, name, self.tidied(name, getattr(self, name)))
        super().clean_fields(exclude=exclude)

    @classmethod
    def tidied(cls, name: str, value: Any) -> Any:
        """Return a typed value of one of the `tidied_fields` as it is stored: without invisible characters."""
        if isinstance(value, list):
            return [cls.tidied(name, element) for element in value]
        if not isinstance(value, str):
            return value
        is_email = isinstance(cls._meta.get_field(name), models.EmailField)
        return email_address(value) if is_email else drop_invisible_but_joiners(value)

    def changed_fields(self) -> list[str]:
        """Return the names of attributes that differ from the loaded, saved or committed values."""
        snapshots = (getattr(self, "_loaded", {}), getattr(self, "_committed", {}))
        current = self._current_values(
            name for name in self._field_names() if name not in ("id", "item_since", "created_at", "updated_at")
        )
        return [
            name
            for name, value in current.items()
            if any(name not in snapshot or snapshot[name] != value for snapshot in snapshots)
        ]

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Insert, or update only the columns changed since loading; without changes, write nothing.

        The table's triggers (sync/kernel/triggers.py) write the job that syncs it, and after the commit a worker is
        woken (sync/outbox/wakeups.py).
        """
        if self._state.adding or kwargs.get("force_insert") or args:
            super().save(*args, **kwargs)
            saved: Iterable[str] = self._field_names()
        else:
            requested = kwargs.pop("update_fields", None)
            saved = self.changed_fields()
            # `update_fields` narrows the changed columns and never adds one.
            if requested is not None:
                saved = [name for name in saved if name in self._attnames(requested)]
            super().save(update_fields=saved, **kwargs)
        values = self._current_values(saved)
        self._loaded = getattr(self, "_loaded", {}) | values

        def remember_commit() -> None:
            self._committed = getattr(self, "_committed", {}) | values

        transaction.on_commit(remember_commit, using=self._state.db)

    def _field_names(self) -> list[str]:
        return [field.attname for field in self._meta.concrete_fields]

    def _current_values(self, names: Iterable[str]) -> dict[str, Any]:
        return _copy_values((name, self.__dict__[name]) for name in names if name in self.__dict__)

    def _attnames(self, names: Iterable[str]) -> set[str]:
        return {self._meta.get_field(name).attname for name in names}  # type: ignore[union-attr]

    @property
    def may_sync(self) -> bool:
        """Whether a pass may change this record at all."""
        return self.sync_enabled and self.sync_direction != choices.SyncDirection.NONE

    @property
    def is_left_out(self) -> bool:
        """Whether the board's filter left it out in its last pass; after every save a pass decides again."""
        return self.may_sync and self.sync_status == choices.RecordSyncStatus.DISABLED

    def sync_region(self) -> str:
        """Return the default country of phone numbers, as a code or name; empty for the installation's."""
        return ""

    @classmethod
    def entity_type(cls) -> str:
        """Return the model's name in lower case, as tables and the API call it."""
        return cls._meta.model_name or cls.__name__.lower()


Tracked = TypeVar("Tracked", bound=type[SyncedModel])


def track_history(model: Tracked) -> Tracked:
    """Decorate a model to keep a history of its rows, with author and cause, by statement-level triggers."""
    tracked: Tracked = pghistory.track(level=pghistory.Statement, exclude=list(triggers.BOOKKEEPING))(model)
    return tracked


def history_of(model: type[SyncedModel]) -> Any:
    """Return the model of a synced model's history, or None if its application keeps none."""
    return next(iter(event_models(tracks_model=model)), None)


def _copy_values(values: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Copy values so that changing a list in place doesn't affect the copy."""
    return {name: list(value) if isinstance(value, list) else value for name, value in values}


def unsynced() -> models.Q:
    """Return the condition for records that no pass may change: sync off, or direction none."""
    return models.Q(sync_enabled=False) | models.Q(sync_direction=choices.SyncDirection.NONE)
