"""How conflicts and resolutions look in the API."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from conflicts.choice import CHOICES
from conflicts.models import SyncConflict
from conflicts.progress import WORDS, progress_of, state_of
from conflicts.resolution import BY_A_PERSON
from sync.api.problems import ProblemSerializer


class SyncConflictResponseSerializer(serializers.ModelSerializer[SyncConflict]):
    """A conflict. `npd_data`, `monday_data` and `base_data` are keyed by field; null is empty."""

    state = serializers.SerializerMethodField(help_text="open, applying, handed_back, partly or settled.")
    left_open = serializers.ListField(
        child=serializers.CharField(), read_only=True, help_text="Fields that nothing is chosen for."
    )
    resolved_by = serializers.StringRelatedField[Any](allow_null=True)

    class Meta:
        model = SyncConflict
        fields = [
            *("id", "entity_type", "entity_id", "monday_item_id", "kind", "state", "conflict_fields"),
            *("npd_data", "monday_data", "base_data", "notes", "detected_at", "choice", "choice_problem"),
            *(
                "left_open",
                "resolved_at",
                "resolution_type",
                "resolved_by",
                "merge_selections",
                "resolved_data",
            ),
        ]
        read_only_fields = fields

    @extend_schema_field(serializers.ChoiceField(choices=list(WORDS)))
    def get_state(self, conflict: SyncConflict) -> str:
        """Where it stands."""
        return state_of(conflict)


class ResolvedSerializer(SyncConflictResponseSerializer):
    """A conflict with the sentence that says how far it is."""

    message = serializers.SerializerMethodField()

    class Meta(SyncConflictResponseSerializer.Meta):
        ref_name = "SyncConflictResolved"
        fields = [*SyncConflictResponseSerializer.Meta.fields, "message"]
        read_only_fields = fields

    def get_message(self, conflict: SyncConflict) -> str:
        """What happens next."""
        return progress_of(conflict).sentence


class SelectionSerializer(serializers.Serializer[Any]):
    """One field's choice."""

    choose = serializers.ChoiceField(choices=CHOICES)
    value = serializers.CharField(
        required=False, allow_null=True, allow_blank=True, trim_whitespace=False, help_text="For custom."
    )


class SeenSerializer(serializers.Serializer[Any]):
    """The values of one field that the choice was made for."""

    npd = serializers.CharField(allow_null=True, allow_blank=True, trim_whitespace=False)
    monday = serializers.CharField(allow_null=True, allow_blank=True, trim_whitespace=False)


class ResolveSerializer(serializers.Serializer[Any]):
    """A resolution: one side for all fields, or a choice by field, for exactly the values seen."""

    resolution_type = serializers.ChoiceField(choices=[(kind.value, kind.label) for kind in BY_A_PERSON])
    selections = serializers.DictField(child=SelectionSerializer(), required=False, help_text="Of a merge.")
    seen = serializers.DictField(child=SeenSerializer(), help_text="By field, as the conflict showed them.")


class ConflictProblemSerializer(ProblemSerializer):
    """The values are no longer those that were seen, or nothing waits for a choice."""

    current = serializers.DictField(child=SeenSerializer(), help_text="The values of now, by field.")


class ConflictStatsSerializer(serializers.Serializer[Any]):
    """Conflicts in numbers."""

    unresolved = serializers.IntegerField()
    resolved = serializers.IntegerField()
    total = serializers.IntegerField()
    applying = serializers.IntegerField(help_text="Of the unresolved: chosen, and being applied.")
