"""Django's page and mail about a failure, without secrets."""

import re
from collections.abc import ItemsView
from html import escape
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.views.debug import ExceptionReporter, SafeExceptionReporterFilter

from config.logging import Redactor

DJANGOS_OWN = SafeExceptionReporterFilter.hidden_settings.pattern
OURS = "DATABASE|BROKER|REDIS|MONDAY|WEBHOOK|CRON|CONNINFO|DSN"


class SecretlessFilter(SafeExceptionReporterFilter):
    """Hides by name: settings, headers, and what a function of the trace holds, at any depth."""

    hidden_settings = re.compile(f"{DJANGOS_OWN}|{OURS}", re.IGNORECASE)

    def get_traceback_frame_variables(
        self, request: HttpRequest | None, tb_frame: Any
    ) -> ItemsView[str, Any]:
        """The variables of one line of the trace."""
        found = super().get_traceback_frame_variables(request, tb_frame)
        return {name: self.cleanse_setting(name, value) for name, value in found}.items()


class SecretlessReporter(ExceptionReporter):
    """Hides by value what is left: a secret in a message, in a path, or in an object's text."""

    def get_traceback_html(self) -> SafeString:
        """The page."""
        hidden = {variant for text in settings.SECRET_TEXTS for variant in (text, escape(text))}
        # Django has escaped the page; taking words out of it leaves it so.
        return SafeString(Redactor(hidden).known_only(super().get_traceback_html()))

    def get_traceback_text(self) -> SafeString:
        """The plain text."""
        return SafeString(Redactor(settings.SECRET_TEXTS)(super().get_traceback_text()))
