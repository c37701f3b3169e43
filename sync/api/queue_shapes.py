"""What the queue's API takes and gives, and what its list can be narrowed by."""

from __future__ import annotations

from typing import Any

import django_filters
from django.db.models import QuerySet
from django_filters.rest_framework import FilterSet
from rest_framework import serializers

from sync.choices import QueueDirection, QueueStatus
from sync.models import SyncQueue
from sync.newcomers import of_new_items


class QueueRowSerializer(serializers.ModelSerializer[SyncQueue]):
    """A reason to look at a record; a candidate (no entity_id) is an item that no record has yet."""

    class Meta:
        model = SyncQueue
        fields = [
            *("id", "entity_type", "entity_id", "remote_id", "direction", "operation", "payload", "status"),
            *("priority", "attempts", "max_attempts", "last_attempt", "next_retry", "error_message"),
            *("reason", "created_at", "finished_at"),
        ]
        read_only_fields = fields


class QueueBoardStatsSerializer(serializers.Serializer[Any]):
    """The rows of one record type."""

    pending = serializers.IntegerField(default=0)
    in_progress = serializers.IntegerField(default=0)
    completed = serializers.IntegerField(default=0)
    failed = serializers.IntegerField(default=0)


class QueueStatsSerializer(QueueBoardStatsSerializer):
    """How many rows are in which state; `due` ones would be worked now, by a board that can be worked."""

    due = serializers.IntegerField()
    oldest_due_seconds = serializers.FloatField()
    by_type = serializers.DictField(child=QueueBoardStatsSerializer())


class ExpectedSerializer(serializers.Serializer[Any]):
    """How many rows are meant."""

    expect = serializers.IntegerField(
        min_value=0,
        help_text="The `count` of the list with the same filters, as you saw it; 409 where it is another now.",
    )


class SteeredSerializer(serializers.Serializer[Any]):
    """What became of the rows."""

    done = serializers.IntegerField(help_text="Rows that were steered.")
    in_flight = serializers.IntegerField(help_text="Rows that are being worked on; they were left alone.")
    left = serializers.IntegerField(help_text="Other rows, which it doesn't fit.")


class QueueFilter(FilterSet):  # type: ignore[misc]
    """What the queue can be narrowed by."""

    status = django_filters.MultipleChoiceFilter(
        choices=QueueStatus.choices, help_text="May be given several times."
    )
    entity_type = django_filters.CharFilter()
    direction = django_filters.ChoiceFilter(choices=QueueDirection.choices)
    entity_id = django_filters.UUIDFilter()
    candidates = django_filters.BooleanFilter(
        method="of_new_items",
        label="Candidates",
        help_text="true: only items that no record has yet.",
    )

    def of_new_items(self, queryset: QuerySet[Any], name: str, value: bool) -> QuerySet[Any]:
        """Rows about new items, or the others."""
        return queryset.filter(of_new_items()) if value else queryset.exclude(of_new_items())
