"""The whole API against its OpenAPI document, by generated requests: each operation alone, and chains of them.

Every answer is one that the document declares, with its headers and shape, and none is a failure of ours. The seed is
fixed, so that a run finds what it found before. `SCHEMATHESIS=200` plays that many examples of each, by hand.
"""

from __future__ import annotations

import json
import os
from typing import Any

import pytest
import schemathesis
from django.contrib.auth.models import User
from django.core.handlers.wsgi import WSGIHandler
from hypothesis import HealthCheck, Phase, given, seed
from hypothesis import settings as hypothesis_settings
from hypothesis.strategies import SearchStrategy, one_of
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.generation.stateful import run_state_machine_as_test
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from npd.models import Contact, Organization
from sync.api.request_limits import SharedThrottle
from sync.models import ApiToken, ApprovalRequest, SyncQueue, UnmatchedItem
from tests.support.api_schema import raw_document

EXAMPLES = int(os.environ.get("SCHEMATHESIS", "2"))
CHAINS, STEPS = EXAMPLES * 4, 6
SEED = 20261122
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
OF_MACHINES = "^/(webhooks|cron|healthz|readyz|metrics)"
"""Addresses with secrets of their own, each of which has its tests."""

pytestmark = pytest.mark.django_db(transaction=True)


def play(examples: int, **more: Any) -> hypothesis_settings:
    return hypothesis_settings(
        max_examples=examples,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
        **more,
    )


@pytest.fixture
def headers(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A superuser's token, without a limit of requests, and something of most kinds to be found."""
    monkeypatch.setattr(SharedThrottle, "THROTTLE_RATES", dict.fromkeys(SharedThrottle.THROTTLE_RATES))
    person = User.objects.create_superuser("ada", "ada@example.test", "long-enough-1")
    organization = Organization.objects.create(name="Navy")
    Contact.objects.create(name="Grace", email="grace@navy.test", organization=organization)
    UnmatchedItem.objects.create(entity_type="contact", item_id="881", reason_code="no_key")
    ApprovalRequest.objects.create(entity_type="contact", entity_id=organization.pk, kind="records", state="pending")
    SyncQueue.objects.create(entity_type="contact", entity_id=organization.pk, status="failed")
    token = ApiToken.objects.issue(person, "tests")[1]
    # The client that calls the application itself doesn't unpack what is compressed.
    return {"Authorization": f"Bearer {token}", "Accept-Encoding": "identity"}


def requests_of(operation: Any) -> SearchStrategy[Any]:
    """Requests that the document allows, and such that break it."""
    modes = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
    return one_of(*(operation.as_strategy(generation_mode=mode) for mode in modes))


@pytest.fixture
def schema() -> Any:
    loaded = schemathesis.openapi.from_dict(json.loads(raw_document()))
    loaded.app = WSGIHandler()
    return loaded.exclude(path_regex=OF_MACHINES)


def test_every_answer_is_one_that_the_document_declares(schema: Any, headers: dict[str, str]) -> None:
    for found in schema.get_all_operations():

        @seed(SEED)
        @play(EXAMPLES)
        @given(case=requests_of(found.ok()))
        def answers_as_declared(case: Any) -> None:
            case.validate_response(case.call(headers=headers), checks=CHECKS)

        answers_as_declared()


def test_so_is_every_answer_in_a_chain_of_operations(schema: Any, headers: dict[str, str]) -> None:
    class Chain(schema.as_state_machine()):  # type: ignore[misc]
        def get_call_kwargs(self, case: Any) -> dict[str, Any]:
            return {"headers": headers}

        def validate_response(self, response: Any, case: Any, additional_checks: Any = None, **kwargs: Any) -> None:
            case.validate_response(response, checks=CHECKS)

    run_state_machine_as_test(seed(SEED)(Chain), settings=play(CHAINS, stateful_step_count=STEPS))
