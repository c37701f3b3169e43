"""How many addresses have a view that we wrote, beside those of Django's admin, DRF's routers and libraries."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from functools import partial
from typing import Any

from django.urls import URLPattern, URLResolver, get_resolver
from rest_framework.viewsets import ViewSetMixin

OUR_PACKAGES = {"npd", "sync", "conflicts", "config"}
MOST = 45


def views(resolver: URLResolver) -> Iterator[Any]:
    """The function or class that answers each address, without what is wrapped round it."""
    for pattern in resolver.url_patterns:
        if isinstance(pattern, URLPattern):
            view = inspect.unwrap(pattern.callback)
            yield getattr(view, "cls", getattr(view, "view_class", view.func if isinstance(view, partial) else view))
        else:
            yield from views(pattern)


def is_written_by_us(view: Any) -> bool:
    """A page that an admin class of ours only changes, as Django's list or import-export's import, is not ours."""
    if not is_ours(view):
        return False
    if inspect.isclass(view):
        return not issubclass(view, ViewSetMixin)
    owner, _, name = view.__qualname__.rpartition(".")
    owning_class = getattr(sys.modules[view.__module__], owner, None)
    bases = inspect.getmro(owning_class) if owning_class else ()
    return not any(hasattr(base, name) for base in bases if not is_ours(base))


def is_ours(part: Any) -> bool:
    return part.__module__.partition(".")[0] in OUR_PACKAGES


def test_few_addresses_have_a_view_of_ours() -> None:
    own = {f"{view.__module__}.{view.__qualname__}" for view in views(get_resolver()) if is_written_by_us(view)}
    assert len(own) > 20, own  # the test sees them
    assert len(own) <= MOST, sorted(own)
