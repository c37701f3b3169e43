"""Reading a page's form as a browser does, and sending it back."""

from __future__ import annotations

from typing import Any
from xml.etree.ElementTree import Element

import html5lib


def values_of(response: Any, form_id: str) -> dict[str, str]:
    """What a browser would send if the person only pressed Save; nothing where the page has no such form."""
    root = html5lib.parse(response.content.decode(), namespaceHTMLElements=False)
    form = root.find(f".//form[@id='{form_id}']")
    values = {one.get("name"): _value(one) for one in (form.iter() if form is not None else ())}
    return {name: value for name, value in values.items() if name and value is not None}


def _value(field: Element) -> str | None:
    """What a field sends; None where it sends nothing."""
    if field.tag == "textarea":
        # A browser sends the line ends of a text area as CR LF.
        return (field.text or "").replace("\n", "\r\n")
    if field.tag == "select":
        chosen = [option.get("value") for option in field.iter("option") if option.get("selected") is not None]
        return chosen[-1] if chosen else ""
    if field.tag != "input" or field.get("type") in ("submit", "button"):
        return None
    if field.get("type") != "checkbox":
        return field.get("value") or ""
    return None if field.get("checked") is None else field.get("value") or "on"
