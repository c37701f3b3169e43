"""Reading a page's form as a browser does, and sending it back."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any


class _Inputs(HTMLParser):
    def __init__(self, form_id: str) -> None:
        super().__init__()
        self.form_id, self.inside = form_id, False
        self.values: dict[str, str] = {}
        self.select = self.textarea = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        name = found.get("name") or ""
        if tag == "form":
            self.inside = found.get("id") == self.form_id
        elif not self.inside:
            return
        elif tag == "input" and name and found.get("type") not in ("submit", "button"):
            if found.get("type") != "checkbox" or "checked" in found:
                self.values[name] = found.get("value") or ("on" if found.get("type") == "checkbox" else "")
        elif tag == "textarea":
            self.textarea, self.values[name] = name, ""
        elif tag == "select":
            self.select, self.values[name] = name, ""
        elif tag == "option" and self.select and "selected" in found:
            self.values[self.select] = found.get("value") or ""

    def handle_data(self, data: str) -> None:
        if self.textarea:
            self.values[self.textarea] += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea":
            # A browser drops the first line end of a text area, and sends the others as CR LF.
            text = self.values[self.textarea].removeprefix("\n")
            self.values[self.textarea] = text.replace("\n", "\r\n")
            self.textarea = ""
        elif tag == "select":
            self.select = ""
        elif tag == "form":
            self.inside = False


def values_of(response: Any, form_id: str) -> dict[str, str]:
    """What a browser would send if the person only pressed Save."""
    reader = _Inputs(form_id)
    reader.feed(response.content.decode())
    return reader.values
