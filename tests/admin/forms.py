"""Read a page's form as a browser does, and send it back."""

import re
from collections.abc import Iterator
from html import unescape
from typing import Any
from urllib.parse import urljoin
from xml.etree.ElementTree import Element

import html5lib


def values_of(response: Any, form_id: str) -> dict[str, str]:
    """What a browser sends when the person only presses Save; empty without this form."""
    root = html5lib.parse(response.content.decode(), namespaceHTMLElements=False)
    form = root.find(f".//form[@id='{form_id}']")
    values = {field.get("name"): _value(field) for field in (form.iter() if form is not None else ())}
    return {name: value for name, value in values.items() if name and value is not None}


def answer_to_question(html: str) -> dict[str, list[str]]:
    question = html.partition("npd-question")[2]
    values: dict[str, list[str]] = {}
    for name, value in re.findall(r'type="hidden"\s+name="([^"]+)"\s+value="([^"]*)"', question):
        values.setdefault(name, []).append(unescape(value))
    return values


def presses(html: str, address: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """For each button of a page: its address, and what it sends with everything ticked."""
    root = html5lib.parse(html, namespaceHTMLElements=False)
    buttons = [element for element in root.iter() if element.tag == "button" or element.get("type") == "submit"]
    for form in root.iter("form"):
        if (form.get("method") or "").lower() != "post":
            continue
        within = set(form.iter())
        of_form = [button for button in buttons if button in within or (button.get("form") or "-") == form.get("id")]
        values: dict[str, Any] = {}
        for field in form.iter():
            if field.get("type") == "checkbox":
                values.setdefault(field.get("name"), []).append(field.get("value") or "on")
            elif (value := _value(field)) is not None and field.get("name"):
                values.setdefault(field.get("name"), value)
        acts = [
            option.get("value") for field in form.iter("select") if field.get("name") == "action" for option in field
        ]
        to = urljoin(address, form.get("action") or "")
        for button in of_form or [form]:
            sent = values | ({button.get("name"): button.get("value") or ""} if button.get("name") else {})
            yield button.get("formaction") or to, sent
        yield from ((to, values | {"action": act}) for act in acts if act)


def _value(field: Element) -> str | None:
    """What a browser sends for this field; None for nothing."""
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
