"""Who may see the rows of a model, and change the records of a type."""

from typing import Any

from sync.registry import entity, is_registered


def _has_permission(user: Any, action: str, model: str) -> bool:
    """Whether a person has the permission for an `action` (view, add, …) on a model, by its label (app.model)."""
    app, _, name = model.partition(".")
    return bool(user.has_perm(f"{app}.{action}_{name}"))


def may_view(user: Any, model: str) -> bool:
    """Whether a person may see rows of a model (its label), by the permission to view or to change them."""
    return _has_permission(user, "view", model) or _has_permission(user, "change", model)


def may_act(user: Any, action: str, entity_type: str) -> bool:
    """Whether a person has the permission for an `action` (view, add, …) on records of a registered type."""
    return is_registered(entity_type) and _has_permission(user, action, entity(entity_type).model._meta.label_lower)
