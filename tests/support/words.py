"""Any text as a message, where a test needs no particular one."""

from sync.words.message import Message


def said(text: str) -> Message:
    return Message("monday_error", quote=text.removesuffix("."))
