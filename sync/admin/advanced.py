"""The lists under Advanced in the settings, for superusers, and django-celery-beat's schedule."""

from typing import Any

from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.db.models import Model
from django.http import HttpRequest
from django_celery_beat.admin import CrontabScheduleAdmin as BeatCrontabScheduleAdmin
from django_celery_beat.admin import PeriodicTaskAdmin as BeatPeriodicTaskAdmin
from django_celery_beat.admin import PeriodicTaskForm, TaskSelectWidget
from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from sync.admin.admin_base import EntityFilter, ReadOnlyAdmin, RecordLinkMixin, SettingsAdmin, plain_column
from sync.kernel import humanize
from sync.models import Intent, MondayAccount, SyncMetadata, WebhookEvent


class SuperuserAdmin(ReadOnlyAdmin):
    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Only superusers, because the rows contain values of all types of records."""
        return request.user.is_active and request.user.is_superuser

    has_module_permission = has_view_permission


@admin.register(SyncMetadata)
class SyncMetadataAdmin(RecordLinkMixin, SuperuserAdmin):
    empty_words = "The first sync of a record writes its row."
    list_display = ("record", "record_type", "sync_status", "remote_id", "last_sync_attempt", "last_error")
    list_display_links = ("sync_status",)
    list_filter = ("sync_status", EntityFilter)
    search_fields = ("entity_id", "remote_id", "last_error__says", "note__says")
    ordering = ("-id",)


@admin.register(Intent)
class IntentAdmin(RecordLinkMixin, SuperuserAdmin):
    empty_words = "Each write to Monday is listed from before its call until its answer is stored."
    list_display = ("created_at", "state", "record", "record_type", "board_id", "item_id", "request_id")
    list_filter = ("state", EntityFilter)
    search_fields = ("item_id", "board_id", "request_id", "entity_id")
    ordering = ("-created_at",)


@admin.register(WebhookEvent)
class WebhookEventAdmin(SuperuserAdmin):
    empty_words = "Monday reports edits here once a board is set up and this address can be reached."
    list_display = ("received_at", "type", "board_id", "item_id", "column_id", "processed_at", "outcome")
    list_filter = ("type", "received_at")
    search_fields = ("item_id", "board_id", "type", "trigger_id", "outcome")
    ordering = ("-id",)


@admin.register(MondayAccount)
class MondayAccountAdmin(SuperuserAdmin):
    empty_words = "The first call to Monday writes its row."
    list_display = ("__str__", "tier", "free_since")


@admin.register(LogEntry)
class LogEntryAdmin(SuperuserAdmin):
    # PageAdmin's is HTML, which the filter by content type would show as it is.
    empty_value_display = humanize.DASH
    empty_words = "What people do on these pages is listed."
    list_display = ("action_time", "user", "content_type", "about", "change")
    list_filter = ("action_time", "content_type")
    list_select_related = ("user", "content_type")
    fields = ("action_time", "user", "content_type", "object_id", "about", "change")
    search_fields = ("object_repr", "change_message", "user__username", "object_id")
    ordering = ("-action_time", "-id")

    about = plain_column("About", lambda entry: entry.object_repr, "object_repr")
    change = plain_column("What was done", LogEntry.get_change_message)


# The admins below replace django-celery-beat's, for unfold's look; clocked and solar schedules have none.
admin.site.unregister([model for model in admin.site._registry if model._meta.app_label == "django_celery_beat"])


class UnfoldTaskSelectWidget(UnfoldAdminSelectWidget, TaskSelectWidget):
    """Offers the tasks that a worker knows."""


class UnfoldPeriodicTaskForm(PeriodicTaskForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["task"].widget = UnfoldAdminTextInputWidget()
        self.fields["regtask"].widget = UnfoldTaskSelectWidget()


def _interval_words(interval: IntervalSchedule) -> str:
    """Return such as “every 10 minutes”; beat counts the 600 seconds."""
    return f"every {humanize.interval_text(interval.schedule.run_every.total_seconds())}"


@admin.register(PeriodicTask)
class PeriodicTaskAdmin(BeatPeriodicTaskAdmin, SettingsAdmin):
    form = UnfoldPeriodicTaskForm
    actions = ("run_tasks",)  # beat's other actions are the form's “Enabled”, without a line in the activity
    change_form_template = None  # beat's own template has an inline script, which our CSP blocks
    date_hierarchy = None  # beat's is by start_time, which is rarely set
    list_display = ("name", "enabled", "when", "last_run_at")
    list_filter = ("enabled",)
    fieldsets = (
        (None, {"fields": ("name", "regtask", "task", "enabled", "description")}),
        ("Schedule", {"fields": ("interval", "crontab", "start_time", "last_run_at", "one_off")}),
        ("Arguments", {"fields": ("args", "kwargs"), "classes": ("collapse",)}),
        ("Execution options", {"fields": ("expires", "expire_seconds"), "classes": ("collapse",)}),
    )
    readonly_fields = ("last_run_at",)

    @admin.display(description="Schedule")
    def when(self, task: PeriodicTask) -> str:
        return _interval_words(task.interval) if task.interval else str(task.scheduler)

    def has_add_permission(self, request: HttpRequest) -> bool:
        # `migrate` adds the tasks of SCHEDULE (config/settings.py); people only change them.
        return False


@admin.register(IntervalSchedule)
class IntervalScheduleAdmin(SettingsAdmin):
    list_display = ("words", "every", "period")

    @admin.display(description="Interval")
    def words(self, interval: IntervalSchedule) -> str:
        return _interval_words(interval)


@admin.register(CrontabSchedule)
class CrontabScheduleAdmin(BeatCrontabScheduleAdmin, SettingsAdmin):
    inlines = ()  # beat's list of its tasks isn't in unfold's look
