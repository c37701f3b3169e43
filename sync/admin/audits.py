"""Samples of records that say `synced`: what was compared, and what differed."""

from __future__ import annotations

from django.contrib import admin
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from sync.admin import words
from sync.admin.base import ReadOnlyAdmin, page_now, record_url
from sync.admin.filters import EntityFilter
from sync.models import SyncAudit
from sync.registry import kind_words


@admin.register(SyncAudit)
class SyncAuditAdmin(ReadOnlyAdmin):
    """One sample a row."""

    list_display = ("outcome", "kind", "sampled", "drifted", "moment")
    list_filter = (EntityFilter,)
    ordering = ("-id",)
    empty_title = gettext_lazy("No sample yet")
    empty_words = gettext_lazy(
        "A few times a day records that say “synced” are read again on both sides. What differs is drift, "
        "and there should be none."
    )

    def get_fields(self, request: object, obj: object = None) -> list[str]:
        """Say in words what differed."""
        return ["outcome", "kind", "moment", "sampled", "drifted", "calls", "found"]

    @admin.display(description=gettext_lazy("Outcome"))
    def outcome(self, row: SyncAudit) -> SafeString:
        """Return what the sample says."""
        if row.drifted:
            return words.badge(
                "bad",
                "difference",
                (_("%(drifted)s of %(sampled)s differed") % {"drifted": row.drifted, "sampled": row.sampled}),
            )
        if row.sampled:
            return words.badge(
                "ok", "verified", (_("%(sampled)s of %(sampled)s equal") % {"sampled": row.sampled})
            )
        return words.badge("off", "help", _("Nothing could be compared"))

    @admin.display(description=gettext_lazy("Type"), ordering="entity_type")
    def kind(self, row: SyncAudit) -> str:
        """Return the records' type."""
        return kind_words(row.entity_type)

    @admin.display(description=gettext_lazy("Read"), ordering="at")
    def moment(self, row: SyncAudit) -> SafeString | str:
        """Return when."""
        return words.time_tag(row.at, page_now(row))

    @admin.display(description=gettext_lazy("What was found"))
    def found(self, row: SyncAudit) -> SafeString | str:
        """Return which fields of which records differed."""
        lines = [
            (record_url(row.entity_type, told["record"]), told.get("name") or told["record"], field["words"])
            for told in row.details
            if "record" in told
            for field in told["fields"]
        ]
        reasons = " ".join(told["words"] for told in row.details if "words" in told)
        shown = format_html_join(SafeString("<br>"), '<a class="npd-link" href="{}">{}</a> {}', lines)
        return shown or words.plain(reasons) or words.NOTHING
