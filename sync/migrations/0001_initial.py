import django.contrib.postgres.fields
import django.contrib.postgres.indexes
import django.db.models.deletion
import pgtrigger.compiler
import pgtrigger.migrations
import sync.clock
import uuid
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = [migrations.swappable_dependency(settings.AUTH_USER_MODEL)]

    operations = [
        migrations.CreateModel(
            name="BoardLink",
            fields=[
                (
                    "stops",
                    models.JSONField(
                        blank=True,
                        db_default=models.Value({}, models.JSONField()),
                        default=dict,
                        verbose_name="what is stopped after errors",
                    ),
                ),
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("entity_type", models.CharField(max_length=50, unique=True)),
                ("board_id", models.CharField(blank=True, db_default="", max_length=50)),
                ("group_id", models.CharField(blank=True, db_default="", max_length=50)),
                ("npd_id_column", models.CharField(blank=True, db_default="", max_length=50)),
                ("match_key", models.CharField(max_length=50, verbose_name="records and items are matched by")),
                (
                    "creates_records",
                    models.BooleanField(db_default=False, verbose_name="create records from new Monday items"),
                ),
                (
                    "sync_filter",
                    models.JSONField(
                        blank=True,
                        db_default=models.Value({}, models.JSONField()),
                        verbose_name="which records and items are synced",
                    ),
                ),
                ("webhooks", models.JSONField(blank=True, db_default=models.Value({}, models.JSONField()))),
                ("pause", models.JSONField(blank=True, null=True, verbose_name="who paused it, when and why")),
                (
                    "batch_limit",
                    models.SmallIntegerField(
                        db_default=100, default=100, verbose_name="records a document, by the time calls took"
                    ),
                ),
                ("last_pass_at", models.DateTimeField(blank=True, null=True)),
                (
                    "read_lags",
                    models.JSONField(
                        blank=True,
                        db_default=models.Value({}, models.JSONField()),
                        verbose_name="after what time reads showed what was reported",
                    ),
                ),
                (
                    "removed_item_policy",
                    models.CharField(
                        choices=[
                            ("ask", "Ask"),
                            ("unlink", "Unlink the record"),
                            ("delete_record", "Delete the record"),
                            ("create_item", "Create the item again"),
                        ],
                        db_default="ask",
                        max_length=20,
                        verbose_name="when an item is deleted on Monday",
                    ),
                ),
                (
                    "deleted_record_policy",
                    models.CharField(
                        choices=[
                            ("archive_item", "Archive the item"),
                            ("delete_item", "Delete the item"),
                            ("unlink", "Unlink the item"),
                            ("ask", "Ask"),
                        ],
                        db_default="archive_item",
                        max_length=20,
                        verbose_name="when a record is deleted in NPD",
                    ),
                ),
                (
                    "swept_to",
                    models.DateTimeField(blank=True, null=True, verbose_name="newest time that a finished sweep saw"),
                ),
                ("swept_at", models.DateTimeField(blank=True, null=True)),
                ("log_read_from", models.DateTimeField(blank=True, null=True)),
                ("log_read_to", models.DateTimeField(blank=True, null=True)),
                ("sweep_problem", models.TextField(blank=True, db_default="")),
                (
                    "log_state",
                    models.JSONField(blank=True, db_default=models.Value({}, models.JSONField()), default=dict),
                ),
                (
                    "compared_at",
                    models.DateTimeField(blank=True, null=True, verbose_name="last comparison of everything"),
                ),
                (
                    "compared",
                    models.TextField(blank=True, db_default="", verbose_name="what the last comparison found"),
                ),
                (
                    "comparison_problem",
                    models.TextField(blank=True, db_default="", verbose_name="what the last comparison could not see"),
                ),
                (
                    "listing_state",
                    models.JSONField(blank=True, db_default=models.Value({}, models.JSONField()), default=dict),
                ),
                ("webhooks_checked_at", models.DateTimeField(blank=True, null=True)),
                ("webhooks_problem", models.TextField(blank=True, db_default="")),
                (
                    "silence",
                    models.TextField(
                        blank=True, db_default="", verbose_name="why its webhooks seem to have fallen silent"
                    ),
                ),
                ("verified_at", models.DateTimeField(blank=True, null=True, verbose_name="last verified")),
                ("verified_records", models.IntegerField(db_default=0, verbose_name="records verified")),
                ("differed_records", models.IntegerField(db_default=0, verbose_name="records that differed")),
                (
                    "differences",
                    models.JSONField(
                        blank=True,
                        db_default=models.Value([], models.JSONField()),
                        verbose_name="which fields of which records differed",
                    ),
                ),
                (
                    "npd_id_problem",
                    models.TextField(blank=True, db_default="", verbose_name="what is wrong with the NPD ID column"),
                ),
                (
                    "creates_held",
                    models.TextField(blank=True, db_default="", verbose_name="why nothing new is created for now"),
                ),
                (
                    "setup",
                    models.JSONField(
                        blank=True,
                        null=True,
                        verbose_name="the set-up that was started last: its choices, and how far it is",
                    ),
                ),
                (
                    "shape",
                    models.JSONField(
                        blank=True,
                        db_default=models.Value({}, models.JSONField()),
                        verbose_name="the board as it was last seen: its name, its columns",
                    ),
                ),
            ],
            options={
                "verbose_name": "board",
                "db_table": "sync_board_links",
                "default_permissions": ("change", "view"),
            },
        ),
        migrations.CreateModel(
            name="CacheEntry",
            fields=[
                ("cache_key", models.CharField(max_length=255, primary_key=True, serialize=False)),
                ("value", models.TextField()),
                ("expires", models.DateTimeField(db_index=True)),
            ],
            options={"db_table": "sync_cache", "default_permissions": ()},
        ),
        migrations.CreateModel(
            name="FieldMapping",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("key", models.CharField(max_length=50)),
                ("label", models.CharField(max_length=100)),
                (
                    "fields",
                    django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=50), size=None),
                ),
                ("column_id", models.CharField(blank=True, db_default="", max_length=50)),
                ("converter", models.CharField(max_length=30)),
                (
                    "direction",
                    models.CharField(
                        choices=[
                            ("bidirectional", "Both ways"),
                            ("npd_to_monday", "NPD to Monday only"),
                            ("monday_to_npd", "Monday to NPD only"),
                            ("none", "Sync off"),
                        ],
                        db_default="bidirectional",
                        max_length=20,
                    ),
                ),
                (
                    "rule",
                    models.CharField(
                        choices=[
                            ("ask", "Ask"),
                            ("npd_wins", "NPD wins"),
                            ("monday_wins", "Monday wins"),
                            ("newest", "The newer edit wins"),
                            ("union", "Merge lists"),
                        ],
                        db_default="ask",
                        max_length=20,
                    ),
                ),
                (
                    "first_match",
                    models.CharField(
                        choices=[
                            ("ask", "Ask"),
                            ("npd_wins", "NPD wins"),
                            ("monday_wins", "Monday wins"),
                            ("newest", "The newer edit wins"),
                            ("union", "Merge lists"),
                        ],
                        db_default="ask",
                        max_length=20,
                    ),
                ),
                ("required", models.BooleanField(db_default=False, verbose_name="required")),
                ("version", models.IntegerField(db_default=1, default=1)),
                ("position", models.SmallIntegerField(db_default=0)),
                (
                    "options",
                    models.JSONField(blank=True, db_default=models.Value({}, models.JSONField()), default=dict),
                ),
                (
                    "problem",
                    models.TextField(
                        blank=True, db_default="", default="", verbose_name="what is wrong with its column"
                    ),
                ),
                ("problem_code", models.CharField(blank=True, db_default="", default="", max_length=30)),
            ],
            options={
                "db_table": "sync_field_mappings",
                "ordering": ["link_id", "position", "id"],
                "default_permissions": ("change", "view"),
            },
        ),
        migrations.CreateModel(
            name="IgnoredItem",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("entity_type", models.CharField(max_length=50)),
                ("item_id", models.CharField(max_length=50)),
                ("reason", models.TextField()),
                (
                    "left_alone",
                    models.BooleanField(db_default=False, verbose_name="left alone by a policy or a person"),
                ),
                (
                    "entity_id",
                    models.UUIDField(
                        blank=True,
                        null=True,
                        verbose_name="the record that it was unlinked from, or is not the same as",
                    ),
                ),
                (
                    "erased",
                    models.BooleanField(
                        db_default=False, verbose_name="its person was erased: nothing of it may be stored"
                    ),
                ),
                ("at", models.DateTimeField(db_default=sync.clock.SyncNow())),
            ],
            options={
                "verbose_name": "ignored item",
                "verbose_name_plural": "ignored items",
                "db_table": "sync_ignored_items",
                "default_permissions": ("delete", "view"),
            },
        ),
        migrations.CreateModel(
            name="Intent",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ("entity_type", models.CharField(max_length=50, verbose_name="type of record")),
                ("entity_id", models.UUIDField(verbose_name="NPD ID")),
                ("board_id", models.CharField(max_length=50)),
                ("item_id", models.CharField(blank=True, db_default="", max_length=50)),
                ("idempotency_key", models.CharField(max_length=64)),
                (
                    "alias",
                    models.CharField(blank=True, db_default="", max_length=20, verbose_name="name in the request"),
                ),
                ("values", models.JSONField(db_default=models.Value({}, models.JSONField()))),
                ("body", models.JSONField(blank=True, null=True)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("open", "Not confirmed yet"),
                            ("applied", "Done"),
                            ("confirmed", "Done, confirmed afterwards"),
                            ("rejected", "Not written"),
                            ("void", "Probably not written"),
                        ],
                        db_default="open",
                        max_length=20,
                    ),
                ),
                ("created_at", models.DateTimeField(db_default=sync.clock.SyncNow())),
                ("deadline", models.DateTimeField()),
                ("was_searched", models.BooleanField(db_default=False, verbose_name="searched for in vain")),
                ("answer", models.JSONField(blank=True, null=True)),
                ("request_id", models.CharField(blank=True, db_default="", max_length=100)),
                ("settled_at", models.DateTimeField(blank=True, null=True, verbose_name="done at")),
            ],
            options={
                "verbose_name": "API write",
                "verbose_name_plural": "API writes",
                "db_table": "sync_intents",
                "default_permissions": (),
            },
        ),
        migrations.CreateModel(
            name="MondayAccount",
            fields=[
                (
                    "stops",
                    models.JSONField(
                        blank=True,
                        db_default=models.Value({}, models.JSONField()),
                        default=dict,
                        verbose_name="what is stopped after errors",
                    ),
                ),
                ("id", models.SmallIntegerField(db_default=1, primary_key=True, serialize=False)),
                ("pause", models.JSONField(blank=True, null=True, verbose_name="who paused every board")),
                (
                    "free_since",
                    models.DateTimeField(blank=True, null=True, verbose_name="end of the last stop or pause"),
                ),
                (
                    "asked_at",
                    models.DateTimeField(blank=True, null=True, verbose_name="last asked because a person tried again"),
                ),
                (
                    "answered_mark",
                    models.CharField(
                        blank=True,
                        db_default="",
                        max_length=64,
                        verbose_name="mark of the token that Monday answered last",
                    ),
                ),
                (
                    "user_id",
                    models.CharField(
                        blank=True, db_default="", default="", max_length=50, verbose_name="the token's user"
                    ),
                ),
                (
                    "version_answered",
                    models.CharField(blank=True, db_default="", max_length=20, verbose_name="API version in use"),
                ),
                ("tier", models.CharField(blank=True, db_default="", max_length=30, verbose_name="plan")),
                (
                    "users",
                    models.JSONField(
                        blank=True,
                        db_default=models.Value({}, models.JSONField()),
                        default=dict,
                        verbose_name="users by id: name and email",
                    ),
                ),
                (
                    "time_zone",
                    models.CharField(
                        blank=True,
                        db_default="",
                        default="",
                        max_length=64,
                        verbose_name="time zone of the token's user",
                    ),
                ),
                (
                    "phone_region",
                    models.CharField(
                        blank=True,
                        db_default="",
                        default="",
                        max_length=2,
                        verbose_name="country of phone numbers without one",
                    ),
                ),
            ],
            options={
                "verbose_name": "Monday account",
                "db_table": "sync_monday_account",
                "default_permissions": ("change", "view"),
            },
        ),
        migrations.CreateModel(
            name="Notification",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("key", models.CharField(max_length=200)),
                ("gone_at", models.DateTimeField(blank=True, null=True)),
            ],
            options={"db_table": "sync_notifications", "default_permissions": ()},
        ),
        migrations.CreateModel(
            name="NotificationReceiver",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("name", models.CharField(blank=True, db_default="", max_length=60)),
                ("address", models.TextField(blank=True, db_default="")),
                (
                    "frequency",
                    models.CharField(
                        choices=[("off", "Off"), ("at_once", "At once"), ("daily", "Once a day, at 08:00 UTC")],
                        db_default="off",
                        max_length=10,
                    ),
                ),
                ("due_at", models.DateTimeField(db_default=sync.clock.SyncNow())),
                ("last_sent", models.DateTimeField(blank=True, null=True)),
                ("failures", models.SmallIntegerField(db_default=0, verbose_name="failures in a row")),
                ("failed_since", models.DateTimeField(blank=True, null=True, verbose_name="failing since")),
                ("problem", models.TextField(blank=True, db_default="")),
            ],
            options={"db_table": "sync_notification_receivers", "default_permissions": ()},
        ),
        migrations.CreateModel(
            name="StoredSecret",
            fields=[
                (
                    "name",
                    models.CharField(
                        choices=[("api_token", "API token"), ("webhook_token", "Webhook token")],
                        max_length=30,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("sealed", models.TextField()),
                ("set_at", models.DateTimeField(db_default=sync.clock.SyncNow())),
            ],
            options={"db_table": "sync_stored_secrets", "default_permissions": ()},
        ),
        migrations.CreateModel(
            name="SyncMetadata",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("entity_type", models.CharField(max_length=50, verbose_name="type of record")),
                ("entity_id", models.TextField(verbose_name="NPD ID")),
                ("system", models.CharField(db_default="monday", max_length=20)),
                ("remote_id", models.CharField(blank=True, max_length=50, null=True, verbose_name="Monday item")),
                (
                    "sync_status",
                    models.CharField(
                        choices=[
                            ("pending", "Pending"),
                            ("in_progress", "In progress"),
                            ("completed", "Done"),
                            ("failed", "Failed"),
                            ("skipped", "Sync off"),
                        ],
                        db_default="pending",
                        default="pending",
                        max_length=20,
                    ),
                ),
                ("last_sync_attempt", models.DateTimeField(blank=True, null=True)),
                ("last_successful_sync", models.DateTimeField(blank=True, null=True)),
                ("error_count", models.IntegerField(db_default=0, default=0)),
                ("last_error", models.TextField(blank=True, db_default="", default="")),
                (
                    "sync_direction",
                    models.CharField(
                        choices=[
                            ("local_to_remote", "NPD to the other side"),
                            ("remote_to_local", "The other side to NPD"),
                            ("bidirectional", "Both ways"),
                        ],
                        db_default="bidirectional",
                        max_length=20,
                    ),
                ),
                ("sync_batch_id", models.UUIDField(blank=True, null=True)),
                ("content_hash", models.CharField(blank=True, db_default="", max_length=64)),
                (
                    "conflicts",
                    models.JSONField(blank=True, db_default=models.Value({}, models.JSONField()), default=dict),
                ),
                (
                    "resolution_strategy",
                    models.CharField(
                        choices=[
                            ("auto", "By the merge's rules"),
                            ("manual", "A person decides"),
                            ("jira_wins", "Jira wins"),
                            ("local_wins", "NPD wins"),
                            ("monday_wins", "Monday wins"),
                        ],
                        db_default="manual",
                        max_length=20,
                    ),
                ),
                (
                    "sync_duration_ms",
                    models.IntegerField(blank=True, null=True, verbose_name="duration of the last sync (ms)"),
                ),
                ("api_calls_count", models.IntegerField(db_default=0, verbose_name="API calls of the last sync")),
                ("local_modified", models.DateTimeField(blank=True, null=True, verbose_name="last change in NPD")),
                ("remote_modified", models.DateTimeField(blank=True, null=True, verbose_name="last change on Monday")),
                (
                    "base",
                    models.JSONField(
                        blank=True,
                        db_default=models.Value({}, models.JSONField()),
                        default=dict,
                        verbose_name="last synced values",
                    ),
                ),
                (
                    "blocked_fields",
                    models.JSONField(blank=True, db_default=models.Value({}, models.JSONField()), default=dict),
                ),
                (
                    "altered",
                    models.JSONField(
                        blank=True,
                        db_default=models.Value({}, models.JSONField()),
                        default=dict,
                        verbose_name="values that Monday stored differently",
                    ),
                ),
                ("note", models.TextField(blank=True, db_default="", default="", verbose_name="reason")),
                (
                    "remote_state",
                    models.CharField(
                        blank=True, db_default="", default="", max_length=20, verbose_name="last answer about the item"
                    ),
                ),
                (
                    "removed_since",
                    models.DateTimeField(blank=True, null=True, verbose_name="item known to be gone since"),
                ),
                (
                    "removed_passes",
                    models.SmallIntegerField(
                        db_default=0, default=0, verbose_name="checks in a row that found it missing"
                    ),
                ),
                (
                    "seen",
                    models.JSONField(
                        blank=True,
                        db_default=models.Value({}, models.JSONField()),
                        default=dict,
                        verbose_name="values last seen on Monday",
                    ),
                ),
                (
                    "emptied",
                    models.JSONField(
                        blank=True,
                        db_default=models.Value({}, models.JSONField()),
                        default=dict,
                        verbose_name="cells emptied without a word",
                    ),
                ),
                (
                    "made_from_item",
                    models.BooleanField(db_default=False, verbose_name="created from an item, unchanged in NPD"),
                ),
                (
                    "is_unplanned",
                    models.BooleanField(
                        db_default=False, default=False, verbose_name="got no new item in the set-up's plan"
                    ),
                ),
                (
                    "left_out",
                    models.CharField(
                        blank=True,
                        db_default="",
                        default="",
                        max_length=10,
                        verbose_name="side whose filter leaves it out",
                    ),
                ),
                ("conflict_opened_at", models.DateTimeField(blank=True, null=True, verbose_name="last conflict found")),
                (
                    "conflict_resolved_at",
                    models.DateTimeField(blank=True, null=True, verbose_name="last conflict resolved"),
                ),
            ],
            options={
                "verbose_name": "sync state",
                "verbose_name_plural": "sync states",
                "db_table": "sync_metadata",
                "default_permissions": ("view",),
            },
        ),
        migrations.CreateModel(
            name="SyncQueue",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("entity_type", models.CharField(max_length=50, verbose_name="type of record")),
                ("entity_id", models.UUIDField(blank=True, null=True, verbose_name="NPD ID")),
                ("remote_id", models.CharField(blank=True, max_length=50, null=True, verbose_name="Monday item")),
                (
                    "direction",
                    models.CharField(
                        choices=[("to_monday", "To Monday"), ("to_npd", "To NPD")],
                        db_default="to_monday",
                        max_length=20,
                    ),
                ),
                (
                    "operation",
                    models.CharField(
                        choices=[("create", "Create"), ("update", "Update"), ("delete", "Delete")],
                        db_default="update",
                        max_length=20,
                    ),
                ),
                ("payload", models.JSONField(blank=True, db_default=models.Value({}, models.JSONField()))),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("pending", "Pending"),
                            ("in_progress", "In progress"),
                            ("completed", "Done"),
                            ("failed", "Failed"),
                        ],
                        db_default="pending",
                        max_length=20,
                    ),
                ),
                (
                    "priority",
                    models.SmallIntegerField(
                        choices=[
                            (10, "A person's click"),
                            (20, "A new edit"),
                            (30, "A check for missed changes"),
                            (40, "A load of many records"),
                        ],
                        db_default=20,
                    ),
                ),
                ("causes", models.SmallIntegerField(db_default=1, verbose_name="what caused it")),
                ("attempts", models.SmallIntegerField(db_default=0)),
                ("max_attempts", models.SmallIntegerField(db_default=5)),
                ("last_attempt", models.DateTimeField(blank=True, null=True)),
                ("next_retry", models.DateTimeField(db_default=sync.clock.SyncNow(), verbose_name="next attempt")),
                ("error_message", models.TextField(blank=True, db_default="")),
                ("reason", models.TextField(blank=True, db_default="", verbose_name="why it waits")),
                (
                    "waits_for_writes",
                    models.BooleanField(db_default=False, verbose_name="waits until Monday stores what is sent"),
                ),
                ("created_at", models.DateTimeField(db_default=sync.clock.SyncNow())),
                ("finished_at", models.DateTimeField(blank=True, null=True)),
                ("lease_token", models.UUIDField(blank=True, null=True, verbose_name="worker that has it")),
                ("counted", models.BooleanField(db_default=False, verbose_name="the present attempt counts")),
                ("claim_size", models.SmallIntegerField(db_default=0, verbose_name="records synced with it")),
                (
                    "claim_at_most",
                    models.SmallIntegerField(db_default=0, verbose_name="records synced together next (0: no limit)"),
                ),
            ],
            options={
                "verbose_name": "job",
                "verbose_name_plural": "jobs",
                "db_table": "sync_queue",
                "permissions": (
                    ("retry_syncqueue", "Can retry jobs"),
                    ("cancel_syncqueue", "Can cancel pending jobs"),
                    ("discard_syncqueue", "Can discard failed jobs"),
                    ("pause_syncqueue", "Can pause and resume the sync"),
                ),
                "default_permissions": ("view",),
            },
        ),
        migrations.CreateModel(
            name="Tombstone",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("entity_type", models.CharField(max_length=50, verbose_name="type of record")),
                ("entity_id", models.UUIDField(verbose_name="NPD ID")),
                ("monday_id", models.CharField(blank=True, max_length=50, null=True)),
                ("data", models.JSONField(db_default=models.Value({}, models.JSONField()))),
                ("deleted_at", models.DateTimeField(db_default=sync.clock.SyncNow())),
                ("note", models.TextField(blank=True, db_default="", verbose_name="reason")),
                ("reason_code", models.CharField(blank=True, db_default="", max_length=30)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("waiting", "Its item is checked next"),
                            ("asked", "Waits for your decision"),
                            ("pending_approval", "Waits for approval"),
                            ("archived", "Its item was archived"),
                            ("deleted", "Its item was deleted"),
                            ("unlinked", "Its item was unlinked"),
                            ("kept", "Its item stays as it is"),
                            ("nothing_left", "Nothing was left to do"),
                            ("restored", "The record was restored"),
                        ],
                        db_default="waiting",
                        max_length=20,
                    ),
                ),
                ("settled_at", models.DateTimeField(blank=True, null=True, verbose_name="done at")),
                (
                    "context_id",
                    models.UUIDField(
                        blank=True, editable=False, null=True, verbose_name="history context of its deletion"
                    ),
                ),
            ],
            options={
                "verbose_name": "deleted record",
                "verbose_name_plural": "deleted records",
                "db_table": "sync_tombstones",
                "default_permissions": ("view",),
            },
        ),
        migrations.CreateModel(
            name="UnmatchedItem",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("entity_type", models.CharField(max_length=50, verbose_name="type of record")),
                ("board_id", models.CharField(blank=True, db_default="", max_length=50)),
                ("item_id", models.CharField(max_length=50, verbose_name="Monday item")),
                ("name", models.TextField(blank=True, db_default="")),
                ("reason_code", models.CharField(db_default="queued", max_length=30, verbose_name="why")),
                ("details", models.JSONField(blank=True, db_default=models.Value({}, models.JSONField()))),
                ("values", models.JSONField(blank=True, db_default=models.Value({}, models.JSONField()))),
                ("first_seen", models.DateTimeField(db_default=sync.clock.SyncNow(), verbose_name="since")),
                (
                    "last_seen",
                    models.DateTimeField(db_default=sync.clock.SyncNow(), verbose_name="last seen on the board"),
                ),
                (
                    "is_unplanned",
                    models.BooleanField(
                        db_default=False, default=False, verbose_name="got no new record in the set-up's plan"
                    ),
                ),
                ("ignored_at", models.DateTimeField(blank=True, null=True, verbose_name="ignored")),
            ],
            options={
                "verbose_name": "unmatched item",
                "verbose_name_plural": "unmatched items",
                "db_table": "sync_unmatched_items",
                "default_permissions": ("change", "view"),
            },
        ),
        migrations.CreateModel(
            name="WebhookEvent",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("trigger_id", models.CharField(max_length=64)),
                ("board_id", models.CharField(max_length=50)),
                ("item_id", models.CharField(blank=True, max_length=50, null=True)),
                ("column_id", models.CharField(blank=True, max_length=50, null=True)),
                ("type", models.CharField(max_length=50)),
                ("body", models.JSONField()),
                ("received_at", models.DateTimeField(db_default=sync.clock.SyncNow())),
                ("processed_at", models.DateTimeField(blank=True, null=True)),
                ("outcome", models.CharField(blank=True, db_default="", max_length=200)),
            ],
            options={"db_table": "sync_webhook_events", "default_permissions": ()},
        ),
        migrations.CreateModel(
            name="WriteLoop",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("entity_type", models.CharField(max_length=50)),
                ("entity_id", models.UUIDField()),
                ("key", models.CharField(max_length=100, verbose_name="field")),
                (
                    "times",
                    models.JSONField(
                        db_default=models.Value([], models.JSONField()), verbose_name="when it was rewritten"
                    ),
                ),
                ("by", models.CharField(blank=True, db_default="", max_length=200, verbose_name="who rewrites it")),
                ("throttled_until", models.DateTimeField(blank=True, null=True)),
            ],
            options={"db_table": "sync_write_loops"},
        ),
        migrations.CreateModel(
            name="ActivityLine",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("entity_type", models.CharField(max_length=50, verbose_name="type of record")),
                ("entity_id", models.UUIDField(blank=True, null=True, verbose_name="NPD ID")),
                (
                    "remote_id",
                    models.CharField(blank=True, db_default="", default="", max_length=50, verbose_name="Monday item"),
                ),
                ("key", models.CharField(blank=True, db_default="", default="", max_length=100, verbose_name="field")),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("push", "Sent to Monday"),
                            ("pull", "Updated from Monday"),
                            ("create", "Created"),
                            ("import", "Imported"),
                            ("edit", "Edited"),
                            ("undo", "Undo"),
                            ("link", "Linked"),
                            ("unlinked", "Unlinked"),
                            ("left_out", "Left out or let in by the filter"),
                            ("let_in", "Left out or let in by the filter"),
                            ("blocked", "Blocked"),
                            ("loop", "Blocked"),
                            ("approval", "Approvals"),
                            ("removed", "Gone from the board, or back"),
                            ("returned", "Gone from the board, or back"),
                            ("delete", "Deleted"),
                            ("archived", "Archived on Monday"),
                            ("deleted", "Deleted on Monday"),
                            ("restored", "Restored"),
                            ("overwritten", "Lost on Monday"),
                            ("rejected", "Resolution"),
                            ("conflict_found", "Conflict found"),
                            ("conflict_identity", "Copy on the board"),
                            ("conflict_chosen", "Resolution"),
                            ("conflict_settled", "Resolution"),
                            ("conflict_over", "Conflict closed"),
                            ("conflict_returned", "Resolution"),
                            ("conflict_undo", "Undo"),
                            ("conflict_undo_refused", "Undo"),
                            ("pause", "Paused or resumed"),
                            ("stop", "Stopped, or running again"),
                            ("stop_end", "Stopped, or running again"),
                            ("column", "Board changed"),
                            ("settings", "Settings changed"),
                            ("job", "Job retried or ended"),
                        ],
                        max_length=30,
                    ),
                ),
                ("sentence", models.TextField()),
                ("values", models.JSONField(blank=True, db_default=models.Value({}, models.JSONField()), default=dict)),
                ("actor", models.CharField(blank=True, db_default="", default="", max_length=200)),
                ("batch_id", models.UUIDField(blank=True, null=True)),
                ("request_id", models.CharField(blank=True, db_default="", default="", max_length=100)),
                ("at", models.DateTimeField(db_default=sync.clock.SyncNow())),
                ("cause", models.JSONField(blank=True, db_default=models.Value({}, models.JSONField()), default=dict)),
                ("undoes", models.BigIntegerField(blank=True, null=True, verbose_name="line that this one undoes")),
                (
                    "folded",
                    models.BooleanField(
                        db_default=False, default=False, verbose_name="listed within another line of its act"
                    ),
                ),
                ("fold_id", models.UUIDField(blank=True, null=True, verbose_name="act")),
            ],
            options={
                "verbose_name": "line of activity",
                "verbose_name_plural": "lines of activity",
                "db_table": "sync_decisions",
                "ordering": ["-at", "-id"],
                "default_permissions": ("change", "view"),
                "indexes": [
                    models.Index(fields=["at"], name="sync_decisions_age"),
                    models.Index(fields=["batch_id"], name="sync_decisions_batch"),
                    models.Index(fields=["entity_id", "-at"], name="sync_decisions_of_record"),
                    models.Index(
                        condition=models.Q(("folded", False)), fields=["-at", "-id"], name="sync_decisions_listed"
                    ),
                    models.Index(
                        condition=models.Q(("fold_id__isnull", False)), fields=["fold_id"], name="sync_decisions_of_act"
                    ),
                    models.Index(
                        condition=models.Q(("undoes__isnull", False)), fields=["undoes"], name="sync_decisions_undone"
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="ApiQuota",
            fields=[
                ("id", models.SmallIntegerField(db_default=1, primary_key=True, serialize=False)),
                ("day_limit", models.IntegerField(blank=True, null=True)),
                ("points_limit", models.BigIntegerField(blank=True, null=True)),
                ("points_end", models.DateTimeField(blank=True, null=True)),
                ("points", models.BigIntegerField(db_default=0, verbose_name="complexity points spent in the window")),
                ("day", models.DateField(blank=True, null=True)),
                ("day_calls", models.IntegerField(db_default=0)),
                ("others_calls", models.IntegerField(db_default=0)),
                ("monday_ahead", models.FloatField(blank=True, null=True)),
            ],
            options={
                "db_table": "sync_api_quota",
                "constraints": [models.CheckConstraint(condition=models.Q(("id", 1)), name="sync_api_quota_one_row")],
            },
        ),
        migrations.CreateModel(
            name="ApiToken",
            fields=[
                ("digest", models.CharField(max_length=128, primary_key=True, serialize=False)),
                ("token_key", models.CharField(db_index=True, max_length=25)),
                ("created", models.DateTimeField(auto_now_add=True)),
                ("expiry", models.DateTimeField(blank=True, null=True)),
                (
                    "name",
                    models.CharField(
                        blank=True,
                        db_default="",
                        default="",
                        help_text="The program that uses it, and where.",
                        max_length=100,
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="auth_token_set",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={"verbose_name": "API token", "db_table": "knox_authtoken", "default_permissions": ()},
        ),
        migrations.CreateModel(
            name="ApprovalRequest",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("entity_type", models.CharField(max_length=50, verbose_name="type of record")),
                ("entity_id", models.UUIDField(verbose_name="NPD ID")),
                ("remote_id", models.CharField(blank=True, db_default="", max_length=50, verbose_name="Monday item")),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("items", "Archive or delete items on Monday"),
                            ("records", "Delete records in NPD"),
                            ("clear_monday", "Empty fields on Monday"),
                            ("clear_npd", "Empty fields in NPD"),
                        ],
                        max_length=20,
                    ),
                ),
                ("key", models.CharField(blank=True, db_default="", max_length=100, verbose_name="field")),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("pending", "Waits for approval"),
                            ("approved", "Approved, not done yet"),
                            ("rejected", "Rejected, not put back yet"),
                            ("released", "Not needed any more"),
                            ("done", "Done"),
                            ("kept", "Rejected, left as it is"),
                            ("refilled", "Filled in again"),
                        ],
                        max_length=20,
                    ),
                ),
                ("label", models.TextField(blank=True, db_default="", verbose_name="what would be deleted or emptied")),
                ("values", models.JSONField(blank=True, db_default=models.Value({}, models.JSONField()))),
                ("at", models.DateTimeField(db_default=sync.clock.SyncNow())),
                ("decided_at", models.DateTimeField(blank=True, null=True)),
                (
                    "decided_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "verbose_name": "approval",
                "verbose_name_plural": "approvals",
                "db_table": "sync_approval_requests",
                "default_permissions": ("change", "view"),
            },
        ),
        migrations.CreateModel(
            name="Attention",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("stop", "Stopped"),
                            ("difference", "Differences"),
                            ("failed", "Failed"),
                            ("notification", "Notifications failing"),
                            ("approval", "Approvals"),
                            ("removed", "Removed on Monday"),
                            ("conflict", "Conflicts"),
                            ("duplicate", "Possible duplicates"),
                            ("rejected", "Rejected by Monday"),
                            ("blocked", "Blocked"),
                            ("board", "Boards"),
                            ("unmatched", "Unmatched items"),
                        ],
                        max_length=20,
                    ),
                ),
                ("source", models.CharField(max_length=200)),
                ("cause", models.CharField(max_length=200)),
                ("code", models.CharField(blank=True, db_default="", max_length=30)),
                (
                    "entity_type",
                    models.CharField(blank=True, db_default="", max_length=50, verbose_name="type of record"),
                ),
                ("entity_id", models.UUIDField(blank=True, null=True, verbose_name="NPD ID")),
                ("item_id", models.CharField(blank=True, db_default="", max_length=50, verbose_name="Monday item")),
                ("field", models.TextField(blank=True, db_default="")),
                ("actor", models.CharField(blank=True, db_default="", max_length=200)),
                ("act", models.CharField(blank=True, db_default="", max_length=20)),
                ("since", models.DateTimeField(db_default=sync.clock.SyncNow())),
                ("until", models.DateTimeField(blank=True, null=True)),
                ("values", models.JSONField(blank=True, db_default=models.Value({}, models.JSONField()))),
            ],
            options={
                "db_table": "sync_attention",
                "default_permissions": (),
                "indexes": [
                    models.Index(fields=["cause", "since", "id"], name="sync_attention_of_cause"),
                    models.Index(fields=["entity_id"], name="sync_attention_of_record"),
                    models.Index(
                        condition=models.Q(("entity_id", None)),
                        fields=["entity_type", "item_id"],
                        name="sync_attention_of_item",
                    ),
                ],
                "constraints": [models.UniqueConstraint(fields=("kind", "source"), name="sync_attention_once")],
            },
        ),
        migrations.CreateModel(
            name="AwaitedRelation",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ("entity_type", models.CharField(max_length=50)),
                ("entity_id", models.UUIDField()),
                ("key", models.CharField(max_length=50, verbose_name="field")),
                ("target_type", models.CharField(max_length=50)),
                ("target", models.TextField()),
            ],
            options={
                "db_table": "sync_awaited_relations",
                "indexes": [
                    django.contrib.postgres.indexes.HashIndex(fields=["target"], name="sync_awaited_relations_target")
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("entity_type", "entity_id", "key"), name="sync_awaited_relations_one_a_field"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="BoardLease",
            fields=[
                (
                    "link",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="lease",
                        serialize=False,
                        to="sync.boardlink",
                    ),
                ),
                ("token", models.UUIDField(blank=True, null=True)),
                ("expires", models.DateTimeField(db_default=sync.clock.SyncNow())),
                ("session_pid", models.IntegerField(blank=True, null=True)),
                ("session_start", models.DateTimeField(blank=True, null=True)),
                ("lost", models.SmallIntegerField(db_default=0)),
            ],
            options={"db_table": "sync_board_leases"},
        ),
        migrations.AddConstraint(
            model_name="boardlink",
            constraint=models.UniqueConstraint(
                condition=models.Q(("board_id", ""), _negated=True),
                fields=("board_id",),
                name="sync_board_links_one_model_a_board",
            ),
        ),
        migrations.AddField(
            model_name="fieldmapping",
            name="link",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="mappings", to="sync.boardlink"
            ),
        ),
        migrations.AddConstraint(
            model_name="ignoreditem",
            constraint=models.UniqueConstraint(fields=("entity_type", "item_id"), name="sync_ignored_items_once"),
        ),
        migrations.AddIndex(
            model_name="intent",
            index=models.Index(
                condition=models.Q(("state", "open")), fields=["entity_id", "deadline"], name="sync_intents_open"
            ),
        ),
        migrations.AddIndex(
            model_name="intent", index=models.Index(fields=["idempotency_key"], name="sync_intents_document")
        ),
        migrations.AddIndex(model_name="intent", index=models.Index(fields=["created_at"], name="sync_intents_age")),
        migrations.AddIndex(
            model_name="intent", index=models.Index(fields=["entity_id", "-created_at"], name="sync_intents_record")
        ),
        migrations.AddConstraint(
            model_name="mondayaccount",
            constraint=models.CheckConstraint(condition=models.Q(("id", 1)), name="sync_monday_account_one_row"),
        ),
        migrations.AddField(
            model_name="notificationreceiver",
            name="user",
            field=models.OneToOneField(
                null=True, on_delete=django.db.models.deletion.CASCADE, related_name="+", to=settings.AUTH_USER_MODEL
            ),
        ),
        migrations.AddField(
            model_name="notification",
            name="receiver",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="+", to="sync.notificationreceiver"
            ),
        ),
        migrations.AddField(
            model_name="storedsecret",
            name="set_by",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddIndex(
            model_name="syncmetadata",
            index=models.Index(condition=models.Q(("system", "jira")), fields=["remote_id"], name="sync_metadata_jira"),
        ),
        migrations.AddIndex(
            model_name="syncmetadata",
            index=models.Index(fields=["entity_type", "remote_id"], name="sync_metadata_remote"),
        ),
        migrations.AddIndex(
            model_name="syncmetadata",
            index=models.Index(
                condition=models.Q(("blocked_fields", models.Value({}, models.JSONField())), _negated=True),
                fields=["entity_type", "entity_id"],
                name="sync_metadata_blocked",
            ),
        ),
        migrations.AddIndex(
            model_name="syncmetadata",
            index=models.Index(
                condition=models.Q(("emptied", models.Value({}, models.JSONField())), _negated=True),
                fields=["entity_type"],
                name="sync_metadata_emptied",
            ),
        ),
        migrations.AddIndex(
            model_name="syncmetadata",
            index=models.Index(
                condition=models.Q(("removed_since__isnull", False)),
                fields=["entity_type", "removed_since"],
                name="sync_metadata_removed",
            ),
        ),
        migrations.AddConstraint(
            model_name="syncmetadata",
            constraint=models.UniqueConstraint(
                fields=("entity_type", "entity_id", "system"), name="sync_metadata_one_a_record"
            ),
        ),
        migrations.AddConstraint(
            model_name="syncmetadata",
            constraint=models.CheckConstraint(
                condition=models.Q(("sync_status__in", ["pending", "in_progress", "completed", "failed", "skipped"])),
                name="sync_metadata_status_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="syncmetadata",
            constraint=models.CheckConstraint(
                condition=models.Q(("sync_direction__in", ["local_to_remote", "remote_to_local", "bidirectional"])),
                name="sync_metadata_direction_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="syncmetadata",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("resolution_strategy__in", ["auto", "manual", "jira_wins", "local_wins", "monday_wins"])
                ),
                name="sync_metadata_strategy_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="syncmetadata",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("entity_type", ""), _negated=True),
                    models.Q(("entity_id", ""), _negated=True),
                    models.Q(("system", ""), _negated=True),
                ),
                name="sync_metadata_named",
            ),
        ),
        migrations.AddConstraint(
            model_name="syncmetadata",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("api_calls_count__gte", 0),
                    ("error_count__gte", 0),
                    ("removed_passes__gte", 0),
                    models.Q(("sync_duration_ms", None), ("sync_duration_ms__gte", 0), _connector="OR"),
                ),
                name="sync_metadata_counts_not_negative",
            ),
        ),
        migrations.AddConstraint(
            model_name="syncmetadata",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("last_successful_sync", None),
                    models.Q(
                        ("last_successful_sync__lte", models.F("last_sync_attempt")),
                        ("last_sync_attempt__isnull", False),
                    ),
                    _connector="OR",
                ),
                name="sync_metadata_success_was_attempt",
            ),
        ),
        migrations.AddConstraint(
            model_name="syncmetadata",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("conflict_resolved_at", None),
                    models.Q(
                        ("conflict_opened_at__isnull", False),
                        ("conflict_resolved_at__gte", models.F("conflict_opened_at")),
                    ),
                    _connector="OR",
                ),
                name="sync_metadata_conflict_opened_first",
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="syncmetadata",
            trigger=pgtrigger.compiler.Trigger(
                name="success_was_attempt",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    condition="WHEN (NEW.last_successful_sync IS NOT NULL AND (NEW.last_sync_attempt IS NULL OR NEW.last_sync_attempt < NEW.last_successful_sync))",
                    func="NEW.last_sync_attempt := NEW.last_successful_sync; RETURN NEW;",
                    hash="9cc737254936e35c37bdc6668d08c8938d78a09c",
                    operation="INSERT OR UPDATE",
                    pgid="pgtrigger_success_was_attempt_5fa96",
                    table="sync_metadata",
                    when="BEFORE",
                ),
            ),
        ),
        migrations.AddIndex(
            model_name="syncqueue",
            index=models.Index(
                condition=models.Q(("status", "pending")),
                fields=["entity_type", "priority", "next_retry"],
                name="sync_queue_due",
            ),
        ),
        migrations.AddIndex(
            model_name="syncqueue",
            index=models.Index(
                condition=models.Q(("status", "in_progress")),
                fields=["entity_type", "lease_token"],
                name="sync_queue_in_air",
            ),
        ),
        migrations.AddIndex(
            model_name="syncqueue", index=models.Index(fields=["entity_id", "status"], name="sync_queue_of_record")
        ),
        migrations.AddIndex(
            model_name="syncqueue",
            index=models.Index(
                models.OrderBy(models.F("created_at"), descending=True),
                condition=models.Q(("status", "failed")),
                name="sync_queue_dead",
            ),
        ),
        migrations.AddIndex(
            model_name="syncqueue",
            index=models.Index(
                condition=models.Q(("status", "completed")),
                fields=["finished_at", "entity_type"],
                name="sync_queue_finished",
            ),
        ),
        migrations.AddConstraint(
            model_name="syncqueue",
            constraint=models.UniqueConstraint(
                condition=models.Q(("entity_id__isnull", False), ("status", "pending")),
                fields=("entity_type", "entity_id", "direction"),
                name="sync_queue_one_waiting",
            ),
        ),
        migrations.AddConstraint(
            model_name="syncqueue",
            constraint=models.UniqueConstraint(
                condition=models.Q(("entity_id__isnull", True), ("status", "pending")),
                fields=("entity_type", "remote_id"),
                name="sync_queue_one_unmatched_item",
            ),
        ),
        migrations.AddConstraint(
            model_name="syncqueue",
            constraint=models.CheckConstraint(
                condition=models.Q(("entity_id__isnull", False), ("remote_id__isnull", False), _connector="OR"),
                name="sync_queue_names_something",
            ),
        ),
        migrations.AddConstraint(
            model_name="syncqueue",
            constraint=models.CheckConstraint(
                condition=models.Q(("status__in", ["pending", "in_progress", "completed", "failed"])),
                name="sync_queue_status_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="syncqueue",
            constraint=models.CheckConstraint(
                condition=models.Q(("direction__in", ["to_monday", "to_npd"])), name="sync_queue_direction_known"
            ),
        ),
        migrations.AddConstraint(
            model_name="syncqueue",
            constraint=models.CheckConstraint(
                condition=models.Q(("operation__in", {"create": "Create", "delete": "Delete", "update": "Update"})),
                name="sync_queue_operation_known",
            ),
        ),
        migrations.AddIndex(
            model_name="tombstone", index=models.Index(fields=["entity_type", "monday_id"], name="sync_tombstones_item")
        ),
        migrations.AddConstraint(
            model_name="tombstone",
            constraint=models.UniqueConstraint(
                fields=("entity_type", "entity_id"), name="sync_tombstones_one_a_record"
            ),
        ),
        migrations.AddIndex(
            model_name="unmatcheditem",
            index=django.contrib.postgres.indexes.HashIndex(
                models.Func(
                    "name",
                    output_field=models.TextField(),
                    template="normalize(regexp_replace(regexp_replace(replace(translate(replace(replace(lower(btrim(regexp_replace(normalize(regexp_replace(%(expressions)s, '[\\u0001-\\u0008\\u000e-\\u001b\\u007f-\\u0084\\u0086-\\u009f\\u00ad\\u034f\\u061c\\u115f\\u1160\\u17b4\\u17b5\\u180b-\\u180f\\u200b-\\u200f\\u202a-\\u202e\\u2060-\\u206f\\u2800\\u3164\\ufe00-\\ufe0f\\ufeff\\uffa0\\ufff0-\\ufffb\\U0001bca0-\\U0001bca3\\U0001d173-\\U0001d17a\\U000e0000-\\U000e0fff]+', '', 'g'), NFKC), '[\\s\\u001c-\\u001f\\u0085\\u00a0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]+', ' ', 'g'))), 'ß', 'ss'), 'i̇', 'i'), 'ςı。', 'σi.'), ' ́', ''''), '[`ʹʻʼʽ՚‘’‛′‵ꞌ](?=[^ ]* )|(?<= [^ ]*)[`ʹʻʼʽ՚‘’‛′‵ꞌ]|(?<!^.+@.*)[`ʹʻʼʽ՚‘’‛′‵ꞌ](?!.*@)', '''', 'g'), '[֊־᐀᠆‐‑‒–—―⁃−⸗⸚⸺⸻⹀⹝〜〰゠𐺭](?=[^ ]* )|(?<= [^ ]*)[֊־᐀᠆‐‑‒–—―⁃−⸗⸚⸺⸻⹀⹝〜〰゠𐺭]|(?<!^.+@.*)[֊־᐀᠆‐‑‒–—―⁃−⸗⸚⸺⸻⹀⹝〜〰゠𐺭](?!.*@)', '-', 'g'), NFC)",
                ),
                name="sync_unmatched_items_by_name",
            ),
        ),
        migrations.AddIndex(
            model_name="unmatcheditem",
            index=models.Index(
                condition=models.Q(("ignored_at", None)),
                fields=["-first_seen", "-id"],
                include=("reason_code", "entity_type"),
                name="sync_unmatched_items_listed",
            ),
        ),
        migrations.AddIndex(
            model_name="unmatcheditem",
            index=models.Index(
                condition=models.Q(("ignored_at__isnull", False)),
                fields=["ignored_at"],
                name="sync_unmatched_items_ignored",
            ),
        ),
        migrations.AddIndex(
            model_name="unmatcheditem",
            index=models.Index(fields=["entity_type", "last_seen"], name="sync_unmatched_items_seen"),
        ),
        migrations.AddConstraint(
            model_name="unmatcheditem",
            constraint=models.UniqueConstraint(fields=("item_id", "entity_type"), name="sync_unmatched_items_once"),
        ),
        migrations.AddIndex(
            model_name="webhookevent",
            index=models.Index(
                condition=models.Q(("processed_at", None)),
                fields=["board_id", "item_id"],
                name="sync_webhook_events_new",
            ),
        ),
        migrations.AddIndex(
            model_name="webhookevent",
            index=models.Index(fields=["item_id", "-received_at"], name="sync_webhook_events_item"),
        ),
        migrations.AddIndex(
            model_name="webhookevent",
            index=models.Index(fields=["board_id", "-received_at"], name="sync_webhook_events_board"),
        ),
        migrations.AddConstraint(
            model_name="webhookevent",
            constraint=models.UniqueConstraint(
                fields=("trigger_id", "item_id", "column_id", "type"),
                name="sync_webhook_events_once",
                nulls_distinct=False,
            ),
        ),
        migrations.AddConstraint(
            model_name="writeloop",
            constraint=models.UniqueConstraint(
                fields=("entity_type", "entity_id", "key"), name="sync_write_loops_one_a_field"
            ),
        ),
        migrations.AddIndex(
            model_name="approvalrequest",
            index=models.Index(fields=["entity_type", "kind", "state", "at"], name="sync_approval_requests_count"),
        ),
        migrations.AddConstraint(
            model_name="approvalrequest",
            constraint=models.UniqueConstraint(
                condition=models.Q(("state__in", ["pending", "approved", "rejected"])),
                fields=("entity_type", "entity_id", "kind", "key"),
                name="sync_approval_requests_one_open",
            ),
        ),
        migrations.AddConstraint(
            model_name="fieldmapping",
            constraint=models.UniqueConstraint(fields=("link", "key"), name="sync_field_mappings_one_a_key"),
        ),
        migrations.AddConstraint(
            model_name="notificationreceiver",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("address", ""), ("user__isnull", False)),
                    models.Q(("user", None), models.Q(("address", ""), _negated=True)),
                    _connector="OR",
                ),
                name="sync_notification_receivers_person_or_chat",
            ),
        ),
        migrations.AddConstraint(
            model_name="notification",
            constraint=models.UniqueConstraint(fields=("receiver", "key"), name="sync_notifications_once"),
        ),
        migrations.AddConstraint(
            model_name="storedsecret",
            constraint=models.CheckConstraint(
                condition=models.Q(("name__in", ["api_token", "webhook_token"])), name="sync_stored_secrets_known"
            ),
        ),
    ]
