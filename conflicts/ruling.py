"""Making a decision a rule, and taking that back: by the form that the board's page has for it."""

from __future__ import annotations

from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import PermissionsMixin
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.forms import modelform_factory
from django.utils import translation

from conflicts.errors import BadResolution
from conflicts.history import WRITTEN_IN
from conflicts.models import DismissedSuggestion
from conflicts.suggesting import open_on
from sync import wake
from sync.acts_log import note
from sync.admin.mapping_form import MappingForm
from sync.choices import Cause, Priority, Rule
from sync.clock import sync_now
from sync.enqueue import enqueue_many
from sync.models import FieldMapping

MAY_CHANGE = "sync.change_fieldmapping"
"""The permission that changes a field's rule, here as on the board's page."""


def set_rule(mapping_id: int, rule: str, *, shown: str, by: AbstractBaseUser, why: str) -> FieldMapping:
    """Give a field this rule, and order a look at each record on which the field is in conflict.

    `shown` is the rule that the person saw; `why` goes to the admin's log. Raises FieldMapping.DoesNotExist, or
    BadResolution where the field can't follow the rule or somebody has changed it since.
    """
    with transaction.atomic():
        mapping = (
            FieldMapping.objects.select_related("link").select_for_update(of=("self",)).get(pk=mapping_id)
        )
        before = Rule(mapping.rule)
        form = modelform_factory(FieldMapping, form=MappingForm, fields=("rule",))(
            {"rule": rule, "initial-rule": shown}, instance=mapping
        )
        if not form.is_valid():
            raise BadResolution(" ".join(text for texts in form.errors.values() for text in map(str, texts)))
        form.save()
        with translation.override(WRITTEN_IN):
            told = f"Rule of {mapping.label}: “{before.label}” became “{Rule(mapping.rule).label}”."
        sentence = f"{told} {why}".strip()
        note(by, mapping.link, sentence)
        _look_again(mapping)
    return mapping


def put_aside(mapping: FieldMapping, *, by: AbstractBaseUser) -> None:
    """Suggest no rule for this field until three decisions made from now on agree. Raises PermissionDenied."""
    _must_may(by)
    DismissedSuggestion.objects.update_or_create(
        {"at": sync_now(), "by_id": by.pk}, entity_type=mapping.link.entity_type, key=mapping.key
    )
    note(by, mapping.link, f"The suggested rule for {mapping.label} was put aside.")


def suggest_again(mapping: FieldMapping, *, by: AbstractBaseUser) -> None:
    """Take back that a suggestion was put aside. Raises PermissionDenied."""
    _must_may(by)
    named = {"entity_type": mapping.link.entity_type, "key": mapping.key}
    if DismissedSuggestion.objects.filter(**named).delete()[0]:
        note(by, mapping.link, f"The suggested rule for {mapping.label} is no longer put aside.")


def _must_may(by: AbstractBaseUser) -> None:
    if not isinstance(by, PermissionsMixin) or not by.has_perm(MAY_CHANGE):
        raise PermissionDenied


def _look_again(mapping: FieldMapping) -> None:
    """What waits on this field is decided anew, soon: whoever set the rule expects it to count."""
    entity_type = mapping.link.entity_type
    ids = [conflict.entity_id for conflict in open_on(mapping)]
    if ids:
        enqueue_many(entity_type, ids, cause=Cause.PERSON, priority=Priority.PERSON)
        transaction.on_commit(lambda: wake.board(entity_type) and None, robust=True)
