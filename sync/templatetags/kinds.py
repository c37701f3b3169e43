"""What a type of records is called: `{{ row.entity_type|kind }}`."""

from __future__ import annotations

from django import template

register = template.Library()


@register.filter
def kind(entity_type: str) -> str:
    """The type as its model names it, in the reader's language."""
    from sync.registry import kind_words  # the theme loads this library before the admin is ready

    return kind_words(entity_type)


@register.filter
def kind_name(entity_type: str) -> str:
    """The same as it stands within a sentence."""
    from sync.registry import kind_name as name_of_kind

    return name_of_kind(entity_type)
