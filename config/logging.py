"""Structured logs without secrets.

Every line, also a library's and a traceback, passes one formatter, which takes the secrets out of the
finished text: by value for those that the settings know, by shape for those that they don't.
"""

import json
import logging
import re
from collections.abc import Iterable
from typing import Any

import structlog

HIDDEN = "[secret]"
# The finished line may be JSON: a quote inside a text has a backslash there, and a line's end is \n in two letters.
# What is taken out ends before that backslash, for without it the line could not be read any more.
QUOTE = r"""\\*['\"]"""
IS = rf"""(?:{QUOTE})?\s*[:=]\s*(?:{QUOTE})?"""
VALUE = rf"""(?:[^\s'\",}}\\]|\\(?!{QUOTE}))+"""
IN_ADDRESS = rf"""(?:[^&\s'\"\\]|\\(?!{QUOTE}))+"""
IN_HEADER = rf"""(?:[^\s'\"\\]|\\(?!{QUOTE}))"""
BEGIN = r"(?:\b|(?<=\\[nrt]))"
SHAPES = [
    (re.compile(rf"(?i)(authorization{IS})(?:(?:bearer|token|basic)\s+)?{VALUE}"), rf"\1{HIDDEN}"),
    (re.compile(rf"(?i)((?:api[_-]?(?:key|token)|signing[_-]?secret|password){IS}){VALUE}"), rf"\1{HIDDEN}"),
    (re.compile(r"(/webhooks/monday/)[^/\s'\"\\]+"), rf"\1{HIDDEN}"),
    (re.compile(BEGIN + r"eyJ[\w-]+\.[\w-]+\.[\w-]+"), HIDDEN),
    (re.compile(r"(://[^:/\s@]*:)[^@/\s]+@"), rf"\1{HIDDEN}@"),
    # A token without its header, and what proves an address: ours (?token=), a signed upload's (?X-Amz-Signature=).
    (
        re.compile(rf"(?i){BEGIN}(bearer )(?={IN_HEADER}*(?:[\d_~+/=-]|\.\w)){IN_HEADER}{{8,}}"),
        rf"\1{HIDDEN}",
    ),
    (
        re.compile(
            r"(?i)([?&](?:(?:access_|api_?)?(?:token|key|secret)|x-amz-(?:signature|credential|security-token))=)"
            + IN_ADDRESS
        ),
        rf"\1{HIDDEN}",
    ),
]
SHORTEST_SECRET = 6  # a shorter text would black out ordinary words


def _written(secret: str) -> set[str]:
    """A secret as it may stand in a finished line: as it is, in a Python text, and either of them in JSON."""
    plain = {secret, repr(secret)[1:-1]}
    return plain | {json.dumps(one)[1:-1] for one in plain}


class Redactor:
    """Takes secrets out of a text."""

    def __init__(self, secrets: Iterable[str]) -> None:
        told = {secret for secret in secrets if len(secret) >= SHORTEST_SECRET}
        known = sorted({form for secret in told for form in _written(secret)}, key=len, reverse=True)
        self.known = re.compile("|".join(map(re.escape, known))) if known else None

    def known_only(self, text: str) -> str:
        """Without the secrets that are known; shapes would cut into HTML."""
        return self.known.sub(HIDDEN, text) if self.known else text

    def __call__(self, text: str) -> str:
        text = self.known_only(text)
        for shape, replacement in SHAPES:
            text = shape.sub(replacement, text)
        return text


class SecretlessFormatter(structlog.stdlib.ProcessorFormatter):
    """structlog's formatter, with the secrets taken out of the finished line."""

    def __init__(self, *args: Any, secrets: Iterable[str] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.redact = Redactor(secrets)

    def format(self, record: logging.LogRecord) -> str:
        """The line to write."""
        return self.redact(super().format(record))


def shared_processors() -> list[Any]:
    """What happens to every event, whether it came from structlog or from the standard library."""
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]


def logging_config(level: str, json_lines: bool, secrets: Iterable[str]) -> dict[str, Any]:
    """Django's LOGGING: a line an event to standard error, as JSON or for reading. Configures structlog."""
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared_processors(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    renderer = (
        structlog.processors.JSONRenderer() if json_lines else structlog.dev.ConsoleRenderer(colors=False)
    )
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "line": {
                "()": SecretlessFormatter,
                "secrets": list(secrets),
                "foreign_pre_chain": shared_processors(),
                "processors": [structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
            }
        },
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {
            "django": {"handlers": [], "level": "INFO", "propagate": True},
            "django.server": {"handlers": [], "level": "INFO", "propagate": True},
        },
    }
