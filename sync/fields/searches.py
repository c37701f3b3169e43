"""How lists of records are searched and sorted: by their texts, their phones, and the names of related records."""

from collections.abc import Collection, Iterable
from typing import Any

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.utils.text import smart_split, unescape_string_literal

from sync.fields.field_values import choices_of
from sync.kernel.db import LONGEST_SEARCH, SortKey, contains_unmarked, typed_phone_digits
from sync.models import SyncedModel
from sync.monday import text_forms
from sync.registry import entity, name_field, own_fields, own_relations, target_of


def default_ordering(model: type[SyncedModel]) -> tuple[Any, ...]:
    """Return a total order for lists, so that pages don't overlap: the model's own or by name, then by key."""
    order: list[Any] = [*(model._meta.ordering or ())] or [sort_expression(model, name_field(model) or "pk")]
    return (*order,) if "id" in order or "pk" in order else (*order, "pk")


def sort_expression(model: type[SyncedModel], name: str) -> Any:
    """Return what orders a list by this field, or descending by “-” and the field: texts by their sort key."""
    field = name.removeprefix("-")
    if field not in own_texts(model):
        return name
    return SortKey(field).desc() if name.startswith("-") else SortKey(field)


def searched_fields(model: type[SyncedModel]) -> tuple[str, ...]:
    """Return the fields that a search reads: the model's texts, and the names of related records."""
    named = [(field.name, name_field(target_of(field))) for field in own_relations(model)]
    return (*own_texts(model), *(f"{relation}__{name}" for relation, name in named if name))


def own_texts(model: type[SyncedModel]) -> list[str]:
    return [field.name for field in own_fields(model) if isinstance(field, (models.CharField, models.TextField))]


def search_condition(model: type[SyncedModel], names: Collection[str], term: str) -> models.Q:
    """Return the condition that a record contains every word of a term, in any order, or its phone number."""
    condition = models.Q()
    for word in words_of(term):
        condition &= _containing(model, names, word)
    if digits := typed_phone_digits(term):
        for mapping in entity(model.entity_type()).mappings:
            if mapping.converter == "phone" and mapping.fields[0] in names:
                condition |= models.Q(**{f"{mapping.fields[0]}__holds_phone": digits})
    return condition


def words_of(term: str) -> list[str]:
    """Split a search as Django does, so that quoted words may contain spaces.

    A comma after a word is dropped, so that an address is found as boards show it, as one text.
    """
    words = []
    for word in smart_split(term[:LONGEST_SEARCH]):
        is_quoted = word[0] in "\"'" and word[0] == word[-1]
        words.append(unescape_string_literal(word) if is_quoted else word.rstrip(",;"))
    return words


def _containing(model: type[SyncedModel], fields: Iterable[str], text: str) -> models.Q:
    """Return the condition that one of these fields contains a text, ignoring case and diacritics.

    Related records are searched in a subquery, because they are fewer than the records that point at them.
    """
    condition = models.Q()
    for name in fields:
        relation, _, related_name = name.partition("__")
        if related_name:
            field: Any = model._meta.get_field(relation)
            targets = target_of(field).objects.order_by()
            matching = targets.filter(contains_unmarked(related_name, text)).values("pk")
            condition |= models.Q(**{f"{relation}__in": matching})
        else:
            condition |= contains_unmarked(name, text)
            key = text_forms.match_key(text)
            labels = choices_of(model, [name]).items()
            if values := [value for value, label in labels if key in text_forms.match_key(label)]:
                is_list = isinstance(model._meta.get_field(name), ArrayField)
                condition |= models.Q(**{f"{name}__{'overlap' if is_list else 'in'}": values})
    return condition
