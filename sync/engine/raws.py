"""What a move has to be remembered by, so that it can be taken back: NPD's raw values before and after it."""

from __future__ import annotations

from typing import Any

from sync.connectors.monday.converters import CannotSplit, UnknownValue
from sync.engine.planned import Planned


def raws_of_pull(planned: Planned) -> dict[str, Any]:
    """Return NPD's values before and after it took over Monday's."""
    return {"raw_before": dict(planned.local_raw), "raw_after": dict(planned.write_raw or {})}


def raws_of_push(planned: Planned) -> dict[str, Any]:
    """Return what NPD would hold had Monday's value stood, and what it holds; nothing where that can't be told.

    Where Monday showed what was last agreed, NPD's own spelling of that counts; else what Monday showed, which is
    also what a rule that lets NPD win has overridden.
    """
    if planned.remote_raw is None:
        return {}
    try:
        before = _before(planned)
    except (CannotSplit, UnknownValue, ValueError):
        return {}
    return {"raw_before": before, "raw_after": dict(planned.local_raw)}


def _before(planned: Planned) -> dict[str, Any]:
    convert, base = planned.convert, planned.base
    if base is not None and convert.remote(base["remote"]) == convert.remote(planned.remote_raw):
        return dict(base["local"])
    return dict(convert.to_local(planned.remote_raw, planned.local_raw))
