"""Contacts and organizations as JSON."""

from __future__ import annotations

from rest_framework import serializers

from npd.models import Contact, Organization
from sync.api.records import RecordSerializer, SyncAnswerSerializer


class ContactSerializer(RecordSerializer):
    """A person."""

    class Meta:
        model = Contact
        fields = [
            *("id", "name", "email", "organization", "role_title", "phone", "notes"),
            *RecordSerializer.OWN_FIELDS,
        ]


class OrganizationSerializer(RecordSerializer):
    """A company, public body or association."""

    class Meta:
        model = Organization
        fields = [
            *("id", "name", "aliases", "billing_contact"),
            *("address_street", "address_city", "address_state", "address_zip", "address_country"),
            *("inventory_url", "notes"),
            *RecordSerializer.OWN_FIELDS,
        ]


class ContactSyncResponseSerializer(SyncAnswerSerializer):
    """What a push of a contact did."""

    contact_id = serializers.UUIDField()


class OrganizationSyncResponseSerializer(SyncAnswerSerializer):
    """What a push of an organization did."""

    organization_id = serializers.UUIDField()
