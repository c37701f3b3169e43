"""The languages that are offered: English, and those whose translation is there."""

from __future__ import annotations

from pathlib import Path

from django.conf.locale import LANG_INFO


def translated(folder: Path) -> list[tuple[str, str]]:
    """Return each language with a compiled translation in the folder, with its own name for itself."""
    found = (path.parents[1].name for path in sorted(folder.glob("*/LC_MESSAGES/django.mo")))
    codes = (name.replace("_", "-").lower() for name in found)
    return [(code, str(LANG_INFO.get(code, {}).get("name_local", code))) for code in codes]
