"""The views of contacts and organizations."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema, extend_schema_view

from npd.api import serializers
from npd.api.filters import ContactFilter, OrganizationFilter
from npd.models import Contact, Organization
from sync.api.records import ETAG_OUT, IF_MATCH, LinkingViewSet, PushViewSet, RecordViewSet

described = extend_schema_view(
    list=extend_schema(description="One page of records with their sync state."),
    retrieve=extend_schema(parameters=[ETAG_OUT], description="One record; its ETag is for If-Match."),
    create=extend_schema(parameters=[ETAG_OUT], description="Make a record; it goes to its board by itself."),
    update=extend_schema(parameters=[ETAG_OUT, IF_MATCH], description="Write what differs from the record."),
    partial_update=extend_schema(parameters=[ETAG_OUT, IF_MATCH], description="Write the fields sent."),
    destroy=extend_schema(parameters=[IF_MATCH], description="Delete the record."),
)


@described
class ContactViewSet(RecordViewSet):
    """Contacts."""

    queryset = Contact.objects.all()
    serializer_class = serializers.ContactSerializer
    filterset_class = ContactFilter


@described
class OrganizationViewSet(RecordViewSet):
    """Organizations."""

    queryset = Organization.objects.all()
    serializer_class = serializers.OrganizationSerializer
    filterset_class = OrganizationFilter


class ContactPush(PushViewSet):
    """The push of one contact."""

    queryset = Contact.objects.all()
    serializer_class = serializers.ContactSyncResponseSerializer


class OrganizationPush(PushViewSet):
    """The push of one organization."""

    queryset = Organization.objects.all()
    serializer_class = serializers.OrganizationSyncResponseSerializer


class ContactLinking(LinkingViewSet):
    """Unlinking one contact, and linking it again."""

    queryset = Contact.objects.all()


class OrganizationLinking(LinkingViewSet):
    """Unlinking one organization, and linking it again."""

    queryset = Organization.objects.all()
