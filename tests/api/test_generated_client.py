"""A client that is generated from the schema calls every operation, and gets typed answers."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest
from django.contrib.auth import get_user_model
from django.core.handlers.wsgi import WSGIHandler
from django.core.management import call_command

from conflicts.models import BatchEntry, ConflictBatch, SyncConflict
from npd.models import Contact, Organization
from sync.clock import sync_now
from sync.models import (
    ApiToken,
    ApprovalRequest,
    Decision,
    FieldMapping,
    IgnoredItem,
    QueuePause,
    SyncMetadata,
    SyncQueue,
    Tombstone,
    UnmatchedItem,
    WebhookDelivery,
    WriteLoop,
)
from sync.models.followers import DeliveryState
from sync.operations.outgoing_webhooks import make_endpoint
from tests.conflicts.conftest import PHONE, conflict_of, finding, record
from tests.conflicts.test_undo import settled
from tests.support.world import World
from tests.undo.test_undo import pulled

PACKAGE = "npd_client"
OF_EVERYBODY = ("get_me", "list_tokens", "get_token", "create_token", "rotate_token", "revoke_token")
"""Operations on what is the caller's own, which need no permission."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """The generated package; a warning of the generator fails."""
    folder = tmp_path_factory.mktemp("generated")
    schema, config = folder / "schema.json", folder / "config.json"
    call_command("spectacular", "--format", "openapi-json", file=str(schema))
    config.write_text(json.dumps({"post_hooks": []}))
    generator = str(Path(sys.executable).with_name("openapi-python-client"))
    options = ["--path", str(schema), "--output-path", str(folder / PACKAGE), "--config", str(config)]
    ran = subprocess.run(
        [generator, "generate", *options, "--meta", "none", "--fail-on-warning"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (ran.returncode, "Warning" in ran.stdout) == (0, False), ran.stdout + ran.stderr
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        yield importlib.import_module(PACKAGE)


@dataclass
class Caller:
    """Somebody with a token, and the operations by name."""

    package: ModuleType
    token: str

    def __post_init__(self) -> None:
        # In this process and its transaction: a request over a socket begins with a database connection of its own.
        transport = httpx.WSGITransport(WSGIHandler())  # type: ignore[arg-type]
        self.client = self.package.AuthenticatedClient(
            "http://testserver", self.token, httpx_args={"transport": transport}
        )
        self.models = importlib.import_module(f"{PACKAGE}.models")
        root = Path(str(self.package.__file__)).parent
        names = {path.stem: f"{PACKAGE}.api.{path.parent.name}.{path.stem}" for path in root.glob("api/*/[a-z]*.py")}
        self.operations = {name: importlib.import_module(module) for name, module in names.items()}

    def __enter__(self) -> Caller:
        return self

    def __exit__(self, *told: object) -> None:
        self.client.get_httpx_client().close()

    def body(self, model: str, **values: Any) -> dict[str, Any]:
        return {"body": getattr(self.models, model).from_dict(values)}

    def call(self, operation: str, *key: Any, **named: Any) -> Any:
        return self.operations[operation].sync_detailed(*key, client=self.client, **named)


Calls = list[tuple[str, tuple[Any, ...], Any, int, str]]


def calls(caller: Caller, ground: dict[str, Any]) -> Calls:
    """Every operation, in an order in which each succeeds: its arguments, the code and what is answered."""
    body, found = caller.body, list[Any]()
    for kind, linked in (("contact", ground["linked"]), ("organization", ground["linked_organization"])):
        many, shape, mine = f"{kind}s", kind.capitalize(), ground[kind]
        relation = "organization" if kind == "contact" else "billing_contact"
        found += [
            (f"list_{many}", (), {"search": "a", "page_size": 5}, 200, f"Paginated{shape}List"),
            (f"create_{kind}", (), body(f"{shape}Request", name="New"), 201, f"Written{shape}"),
            (f"get_{kind}", (mine.pk,), {}, 200, f"{shape}Selection"),
            (f"list_{many}", (), {"fields": f"name,{relation}", "expand": relation}, 200, f"Paginated{shape}List"),
            (f"replace_{kind}", (mine.pk,), body(f"{shape}Request", name="Newer"), 200, f"Written{shape}"),
            (f"update_{kind}", (mine.pk,), body(f"Patched{shape}Request", notes="n"), 200, f"Written{shape}"),
            (f"list_deleted_{many}", (), {}, 200, "PaginatedDeletedRecordList"),
            (f"list_{kind}_history", (str(linked.pk),), {}, 200, "PaginatedDecisionList"),
            (f"push_{kind}_to_monday", (str(mine.pk),), {}, 200, f"{shape}SyncResponse"),
            (f"create_item_of_{kind}", (str(linked.pk),), {}, 200, "LinkingAnswer"),
            (f"unlink_{kind}", (str(linked.pk),), {}, 200, "LinkingAnswer"),
            (f"link_{kind}_again", (str(mine.pk),), {}, 200, "LinkingAnswer"),
            (f"get_{kind}_sync", (str(mine.pk),), {}, 200, "RecordFields"),
            (f"delete_{kind}", (mine.pk,), {}, 204, ""),
        ]
        fields, key = f"{shape}FieldsRequest", "email" if kind == "contact" else "name"
        rows = [{"action": "create", "record": {"name": "Bulk"}}]
        found += [
            (f"upsert_{kind}_by_external_id", ("crm", "4711"), body(fields, name="Crm"), 201, f"Written{shape}"),
            (f"get_{kind}_by_external_id", ("crm", "4711"), {}, 200, f"{shape}Selection"),
            (f"upsert_{kind}_by_{key}", ("new@x.test",), body(fields, name="new@x.test"), 201, f"Written{shape}"),
            (f"bulk_{many}", (), body(f"{shape}BulkRequest", operations=rows), 200, "BulkAnswer"),
        ]
    conflict, settled_one, pull = ground["conflict"].pk, ground["settled"].pk, ground["pull"]

    def undone() -> Any:
        return Decision.objects.filter(kind="undo").latest("id").batch_id

    def pause() -> Any:
        return QueuePause.objects.get(entity_type="contact").pk

    endpoint, delivery = ground["delivery"].endpoint_id, ground["delivery"].pk

    def prepared() -> Any:
        return ConflictBatch.objects.latest("made_at").pk

    rejected = ("contact", ground["unlinked"].pk, "email")
    left = {"choose": "npd", "seen": {"npd": None, "monday": None}}
    entry = f"failed:{ground['rows']['discard'][0].pk}"
    bulk, email = "BulkResolution", {"entity_type": "contact", "field": "email"}
    chosen = {"resolution_type": "keep_npd", "seen": {"phone": {"npd": PHONE.npd, "monday": PHONE.monday}}}
    found += [
        ("list_conflicts", (), {"resolved": False}, 200, "PaginatedSyncConflictResponseList"),
        ("get_conflict", (conflict,), {}, 200, "SyncConflictResponseSelection"),
        ("get_conflict_stats", (), {}, 200, "ConflictStats"),
        ("prepare_bulk_resolution", (), body("BulkResolutionRequest", resolution_type="keep_npd"), 201, bulk),
        ("get_bulk_resolution", (prepared,), {}, 200, bulk),
        ("confirm_bulk_resolution", (prepared,), body("ConfirmRequest", expect=1), 200, bulk),
        ("stop_bulk_resolution", (prepared,), {}, 200, bulk),
        ("undo_bulk_resolution", (ground["stored"].pk,), {}, 200, bulk),
        ("resolve_conflict", (conflict,), body("ResolveRequest", **chosen), 200, "SyncConflictResolved"),
        ("undo_conflict_resolution", (settled_one,), {}, 200, "SyncConflictResolved"),
        ("get_conflict_context", (conflict,), {}, 200, "ConflictContext"),
        ("list_history", (), {"kind": "pull"}, 200, "PaginatedHistoryEntryList"),
        ("get_history_entry", (pull.pk,), {}, 200, "HistoryEntry"),
        ("list_batches", (), {}, 200, "PaginatedBatchList"),
        ("get_batch", (pull.batch_id,), {}, 200, "Batch"),
        ("list_boards", (), {}, 200, "PaginatedBoardList"),
        ("get_board", ("contact",), {}, 200, "BoardSelection"),
        ("list_blocked_fields", (), {}, 200, "PaginatedBlockedRecordList"),
        ("retry_blocked_field", (), body("RetryBlockedRequest", **email, code="rejected"), 200, "Retried"),
        ("list_update_loops", (), {}, 200, "PaginatedFieldLoopList"),
        ("retry_update_loop", (), body("RetryFieldRequest", **email), 200, "Retried"),
        ("list_deleted_records", (), {}, 200, "PaginatedTombstoneList"),
        ("get_deleted_record", (ground["gone"].pk,), {}, 200, "TombstoneSelection"),
        ("restore_deleted_record", (ground["gone"].pk,), {}, 200, "Restored"),
        ("get_undo_plan_of_change", (pull.pk,), {}, 200, "UndoPlan"),
        ("get_undo_plan_of_batch", (pull.batch_id,), {}, 200, "UndoPlan"),
        ("undo_change", (pull.pk,), {}, 200, "Undone"),
        ("undo_batch", (undone,), {}, 200, "Undone"),
        ("list_approvals", (), {}, 200, "PaginatedGuardedActList"),
        *(
            (f"{how}_requests", (), body("ApprovalDecisionRequest", ids=[act.pk]), 200, "ApprovalDecided")
            for how, act in zip(("approve", "reject"), ground["acts"], strict=True)
        ),
        ("get_approval", (ground["acts"][0].pk,), {}, 200, "GuardedActSelection"),
        ("list_rejected_values", (), {}, 200, "PaginatedRejectedValueList"),
        ("get_rejected_value", rejected, {}, 200, "RejectedField"),
        ("answer_rejected_value", rejected, body("RejectedValueAnswerRequest", **left), 200, "RejectedField"),
        ("undo_rejected_value_answer", rejected, {}, 200, "RejectedField"),
        ("list_inbox_entries", (), {}, 200, "PaginatedInboxEntryList"),
        ("list_inbox_causes", (), {}, 200, "PaginatedInboxCauseList"),
        ("get_inbox_entry", (entry,), {}, 200, "InboxEntryWithWords"),
        ("update_inbox_entry", (entry,), body("PatchedInboxWordRequest", note="n"), 200, "InboxEntryWithWords"),
        (
            "assign_inbox_entries",
            (),
            body("InboxAssignmentRequest", keys=[entry], assignee=None),
            200,
            "InboxAssigned",
        ),
        ("list_ignored_items", (), {}, 200, "PaginatedIgnoredItemList"),
        ("get_ignored_item", (ground["ignored"].pk,), {}, 200, "IgnoredItemSelection"),
        ("delete_ignored_item", (ground["ignored"].pk,), {}, 204, ""),
        ("list_unmatched_items", (), {"ignored": False}, 200, "PaginatedUnmatchedItemList"),
        ("get_unmatched_item", (ground["items"][0].pk,), {}, 200, "UnmatchedItemSelection"),
        ("create_record_of_unmatched_item", (ground["items"][0].pk,), {}, 200, "UnmatchedRequest"),
        (
            "link_unmatched_item",
            (ground["items"][1].pk,),
            body("UnmatchedLinkRequest", record=str(ground["unlinked"].pk)),
            200,
            "UnmatchedRequest",
        ),
        ("ignore_unmatched_item", (ground["items"][2].pk,), {}, 200, "UnmatchedItem"),
        ("restore_unmatched_item", (ground["items"][2].pk,), {}, 200, "UnmatchedItem"),
        ("list_jobs", (), {"entity_type": "organization"}, 200, "PaginatedQueueRowList"),
        ("get_queue_stats", (), {}, 200, "QueueStats"),
    ]  # fmt: skip
    for act, (one, other) in ground["rows"].items():
        found += [
            (f"{act}_job", (one.pk,), {}, 200, "QueueRow"),
            (f"{act}_jobs", (), {**body("ExpectedRequest", expect=1), "entity_id": other.entity_id}, 200, "Steered"),
        ]
    return [
        *found,
        ("get_job", (ground["rows"]["retry"][0].pk,), {}, 200, "QueueRowSelection"),
        ("list_pauses", (), {}, 200, "PaginatedPauseList"),
        ("create_pause", (), body("PauseRequest", entity_type="contact"), 201, "Pause"),
        ("get_pause", (pause,), {}, 200, "PauseSelection"),
        ("delete_pause", (pause,), {}, 204, ""),
        ("get_sync_stats", (), {}, 200, "SyncStats"),
        ("list_sync_states", (), {}, 200, "PaginatedSyncStateList"),
        ("list_events", (), {"limit": 5}, 200, "Feed"),
        ("list_webhook_endpoints", (), {}, 200, "PaginatedWebhookEndpointList"),
        ("create_webhook_endpoint", (), body("WebhookEndpointRequest", address=HOOK), 201, "NewWebhookEndpoint"),
        ("get_webhook_endpoint", (endpoint,), {}, 200, "WebhookEndpointSelection"),
        (
            "update_webhook_endpoint",
            (endpoint,),
            body("PatchedWebhookEndpointRequest", description="d"),
            200,
            "WebhookEndpoint",
        ),
        ("rotate_webhook_secret", (endpoint,), {}, 200, "WebhookSecret"),
        ("test_webhook_endpoint", (endpoint,), {}, 202, "WebhookDelivery"),
        ("list_webhook_deliveries", (), {}, 200, "PaginatedWebhookDeliveryList"),
        ("get_webhook_delivery", (delivery,), {}, 200, "WebhookDeliverySelection"),
        ("replay_webhook_delivery", (delivery,), {}, 202, "WebhookDelivery"),
        ("delete_webhook_endpoint", (endpoint,), {}, 204, ""),
        ("get_me", (), {}, 200, "Me"),
        ("list_tokens", (), {}, 200, "PaginatedApiTokenList"),
        ("create_token", (), body("ApiTokenRequest", name="newsletter", scopes=["read"]), 201, "NewApiToken"),
        ("get_token", (ground["token"].pk,), {}, 200, "ApiToken"),
        ("rotate_token", (ground["token"].pk,), body("RotationRequest", grace_seconds=60), 200, "NewApiToken"),
        ("revoke_token", (ground["token"].pk,), {}, 200, "ApiToken"),
    ]


HOOK = "https://hooks.example/npd"


def delivered(by: Any) -> WebhookDelivery:
    """A delivery that arrived, at an endpoint of somebody's."""
    endpoint, _ = make_endpoint({"address": HOOK}, by)
    return WebhookDelivery.objects.create(endpoint=endpoint, state=DeliveryState.DELIVERED, finished_at=sync_now())


@pytest.fixture
def ground(world: World) -> dict[str, Any]:
    """What every operation needs to succeed."""
    person = get_user_model().objects.create_superuser("lead", "lead@example.test", "x")
    contact, conflict = settled(world, person, "keep_monday")
    moved = pulled(world, name="Bob")
    open_one = Contact.objects.create(name="Grace")
    record(finding(open_one, PHONE))
    navy = Organization.objects.create(name="Navy")
    Organization.objects.filter(pk=navy.pk).update(monday_id="990")
    made = {
        "contact": Contact.objects.create(name="Ada", organization=navy),
        "organization": Organization.objects.create(name="Co"),
    }
    for number, one in enumerate(made.values()):
        IgnoredItem.objects.create(
            entity_type=one.entity_type(), item_id=f"77{number}", reason="why", unlinked=True, entity_id=one.pk
        )
    held = {
        "email": {"reason": "why", "code": "rejected", "side": "monday", "local": {"email": ""}, "version": 1}
        | {"column": FieldMapping.objects.get(link__entity_type="contact", key="email").column_id}
    }
    SyncMetadata.objects.update_or_create(
        entity_type="contact", entity_id=str(open_one.pk), system="monday", defaults={"blocked_fields": held}
    )
    until = sync_now() + timedelta(hours=1)
    WriteLoop.objects.create(entity_type="contact", entity_id=open_one.pk, key="email", throttled_until=until)
    stored = ConflictBatch.objects.create(
        by=person, resolution_type="keep_npd", state="done", total=1, made_at=sync_now() - timedelta(hours=1)
    )
    BatchEntry.objects.create(batch=stored, conflict=conflict, name="Ada", seen={}, outcome="stored")
    return made | {
        "person": person,
        "stored": stored,
        "ignored": IgnoredItem.objects.create(entity_type="contact", item_id="779", reason="why"),
        "gone": Tombstone.objects.create(entity_type="contact", entity_id=uuid.uuid4(), data={"name": "Gone"}),
        "token": ApiToken.objects.issue(person, "newsletter")[0],
        "delivery": delivered(person),
        "linked": contact,
        "linked_organization": navy,
        "settled": conflict,
        "pull": Decision.objects.filter(entity_id=moved.pk, kind="pull", key="role_title").latest("id"),
        "conflict": conflict_of(open_one),
        "unlinked": open_one,
        "items": [
            UnmatchedItem.objects.create(entity_type="contact", item_id=f"88{number}", reason_code="no_key")
            for number in range(3)
        ],
        "acts": [
            ApprovalRequest.objects.create(
                entity_type="contact", entity_id=uuid.uuid4(), kind="records", state="pending"
            )
            for _ in range(2)
        ],
        "rows": {
            act: [
                SyncQueue.objects.create(entity_type="contact", entity_id=uuid.uuid4(), status=status) for _ in range(2)
            ]
            for act, status in (("retry", "failed"), ("cancel", "pending"), ("discard", "failed"))
        },
    }


def test_every_operation_of_a_generated_client_gets_a_typed_answer(made: ModuleType, ground: dict[str, Any]) -> None:
    nobody = get_user_model().objects.create_user("nobody")
    tokens = [ApiToken.objects.issue(user, "tests")[1] for user in (nobody, ground["person"])]
    own = ApiToken.objects.get(user=ground["person"], name="tests")
    ApiToken.objects.filter(pk=ground["token"].pk).update(made_with=own)  # it rotates what it made
    with Caller(made, tokens[0]) as refused, Caller(made, tokens[1]) as caller:
        planned = calls(caller, ground)
        assert {name for name, *_ in planned} == set(caller.operations)
        for name, keys, named, code, shape in planned:
            keys_now = tuple(key() if callable(key) else key for key in keys)
            given = named() if callable(named) else named
            if name not in OF_EVERYBODY:
                problem = refused.call(name, *keys_now, **given)
                assert (problem.status_code, type(problem.parsed).__name__) == (403, "Problem"), name
            answer = caller.call(name, *keys_now, **given)
            assert answer.status_code == code, (name, answer.content)
            assert type(answer.parsed).__name__ == (shape or "NoneType"), (name, answer.content)
    assert SyncConflict.objects.get(pk=ground["conflict"].pk).resolution


@pytest.mark.parametrize(
    ("operation", "named", "code"),
    [
        ("list_contacts", {"page": 999}, 404),
        ("approve_requests", {"ids": [1]}, 409),
        ("create_contact", {"name": "x" * 300}, 400),
    ],
)
def test_a_failure_is_a_problem(
    made: ModuleType, transactional_db: None, operation: str, named: dict[str, Any], code: int
) -> None:
    person = get_user_model().objects.create_superuser("lead", "lead@example.test", "x")
    with Caller(made, ApiToken.objects.issue(person, "tests")[1]) as caller:
        bodies = {"create_contact": "ContactRequest", "approve_requests": "ApprovalDecisionRequest"}
        given = caller.body(bodies[operation], **named) if operation in bodies else named
        answer = caller.call(operation, **given)
    assert (answer.status_code, type(answer.parsed).__name__) == (code, "Problem"), answer.content
    assert answer.parsed.status == code
