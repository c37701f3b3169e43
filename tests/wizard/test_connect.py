"""The first step without a terminal: a token is entered, tested, encrypted, replaced and removed."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User

from sync.boards import availability
from sync.choices import API_TOKEN
from sync.clock import sync_now
from sync.fields import lookups
from sync.limits import credentials, metered_client, probes
from sync.limits.api_quota import WaitKind
from sync.models import ActivityLine, ApiQuota, MondayAccount, StoredSecret
from sync.operations.retention import reencrypt_secrets
from sync.records import inbox
from tests.accounts.signing_in import everything_stored
from tests.admin.test_records import words_of
from tests.support.people import own_group, signed_in, staff_who_may
from tests.wizard.conftest import START, Wizard

TOKEN = "a-token-that-nobody-could-test"


@pytest.fixture
def unnamed(settings: Any) -> None:
    for name in ("MONDAY_API_KEY", "MONDAY_WEBHOOK_TOKEN", "MONDAY_SIGNING_SECRET"):
        setattr(settings, name, "")


@pytest.fixture
def bare(wizard: Wizard, unnamed: None) -> Wizard:
    """An installation without Monday variables; the sandbox takes the token `bare.monday.token`."""
    return wizard


@pytest.fixture
def away(away: Wizard, unnamed: None) -> Wizard:
    """The same while Monday is down: what is entered is kept untested."""
    return away


def test_a_token_that_is_entered_is_tested_kept_and_used_at_once(bare: Wizard, settings: Any) -> None:
    assert not credentials.has_token()
    page = bare.post("token/", token=f"  {bare.monday.token}\n", phone_region="DE")
    assert "Connected" in page
    assert lookups.phone_region() == "DE"
    assert "Set by Dora Demo" in page
    assert credentials.has_token()
    assert metered_client.connector(urgent=True).ping().user_id == MondayAccount.objects.get().user_id
    assert "Next: Boards" in page
    # Deliveries need a secret, too: it is generated, and part of the webhooks' address.
    assert len(credentials.webhook_secrets()[0]) > 30


def test_a_token_that_is_entered_is_found_nowhere(
    bare: Wizard, settings: Any, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    pages = [bare.client.post(START + "token/", {"token": bare.monday.token}, follow=True)]
    pages += [bare.client.get(f"/admin/{path}") for path in ("", "sync/boardlink/set-up/")]
    pages.append(bare.client.post(START))
    for page in pages:
        assert bare.monday.token not in page.content.decode()
    secrets = [credentials.api_token(), credentials.webhook_secrets()[0]]
    stored_text, output = everything_stored(), caplog.text + "".join(capfd.readouterr())
    for secret in secrets:
        assert secret not in stored_text
        assert secret not in output
        assert secret in settings.SECRET_TEXTS  # so no log line, error page or stored error of this process shows it
    line = ActivityLine.objects.get(kind="settings")
    assert (line.actor, str(line.sentence)) == ("Dora Demo", "Monday connection: new API token.")


def test_a_token_that_monday_refuses_is_not_kept_and_the_one_before_stays(bare: Wizard) -> None:
    bare.post("token/", token=bare.monday.token)
    answer = bare.client.post(START + "token/", {"token": "another-token-that-monday-refuses"})
    page = words_of(answer.content.decode())
    assert answer.status_code == 400
    assert "Monday rejects this token, so it was not kept" in page
    assert "another-token" not in page
    assert credentials.api_token() == bare.monday.token


def test_a_stored_token_refused_later_stops_the_sync_until_replaced(bare: Wizard, settings: Any) -> None:
    url, settings.MONDAY_API_URL = settings.MONDAY_API_URL, "http://127.0.0.1:9/v2"
    bare.post("token/", token="a-token-that-monday-refuses")
    settings.MONDAY_API_URL = url
    MondayAccount.objects.update(user_id="77")
    probes.refresh_quota()
    account = MondayAccount.objects.get()
    assert account.stop
    assert (account.stop.needs_probe, account.user_id) == (True, "77")
    assert not probes.probe_if_due()
    assert "Connected" in bare.post("token/", token=bare.monday.token)
    account.refresh_from_db()
    assert account.stop is None
    assert account.user_id not in ("", "77")
    assert probes.probe_if_due()


def test_connected_is_said_of_an_answer_to_the_token_of_now_only(bare: Wizard, settings: Any) -> None:
    def is_said() -> bool:
        return 'id="npd-connected"' in bare.client.get(START).content.decode()

    bare.post("token/", token=bare.monday.token)
    assert is_said()
    bare.monday.faults({"status": 401, "count": 50})
    bare.client.post(START)  # tests it, and finds it revoked
    assert not is_said()
    stop = MondayAccount.objects.get().stop
    assert stop
    assert stop.code == "token"
    bare.monday.control("faults", "DELETE")
    bare.client.post(START)
    assert is_said()
    assert MondayAccount.objects.get().stop is None
    settings.MONDAY_API_KEY = "a-token-that-was-never-asked-for"
    assert not is_said()


@pytest.mark.parametrize("limit", ["daily", "minute"])
def test_a_limit_is_waited_for_and_the_token_stays_connected(bare: Wizard, limit: str) -> None:
    bare.post("token/", token=bare.monday.token)
    bare.monday.faults({"limit": limit, "retry_in": 600, "count": 50})
    for page in (bare.post(), bare.get()):
        assert "Not connected" not in page
        assert "Waiting" in page
        assert "Sync waits until" in page
        assert "Connected. Your plan" in page
        assert "Fix" not in page


def test_calls_used_up_by_our_own_count_are_waited_for_too(bare: Wizard) -> None:
    bare.post("token/", token=bare.monday.token)
    now = sync_now()
    ApiQuota.objects.update(points_limit=10, points=10, points_end=now + timedelta(minutes=1))
    page = bare.post()
    assert "Not connected" not in page
    assert "Waiting" in page


def test_a_test_finds_out_that_the_days_limit_was_raised(bare: Wizard) -> None:
    bare.post("token/", token=bare.monday.token)
    ApiQuota.objects.update(day_limit=100, day=sync_now().date(), day_calls=100)
    assert "The token works" in bare.post()


def test_what_can_not_be_a_token_is_said_so_and_not_sent(away: Wizard, settings: Any) -> None:
    for typed in ("", "   ", "short", "two words here", "ключ-ключ-ключ", "a" * 5_000, "line\nline-line"):
        answer = away.client.post(START + "token/", {"token": typed})
        assert (answer.status_code, 'role="alert"' in answer.content.decode()) == (400, True), typed
    assert not StoredSecret.objects.exists()
    # As secrets, such words would be hidden everywhere.
    assert not {"short", "two words here"} & set(settings.SECRET_TEXTS)


def test_the_environments_token_comes_first_and_the_page_says_so(away: Wizard, settings: Any) -> None:
    away.post("token/", token=TOKEN)
    settings.MONDAY_API_KEY = "of-the-environment"
    assert credentials.api_token() == "of-the-environment"
    page = away.get()
    assert "To change the token, set MONDAY_API_KEY on the server" in page
    assert "stored as well, but not used" in page
    assert settings.MONDAY_API_KEY not in page
    assert "Test and save" not in page


def test_a_removed_token_is_gone_and_everything_says_why_nothing_is_synced(away: Wizard) -> None:
    away.post("token/", token=TOKEN)
    question = away.post("token/", remove="1")
    assert "Remove the stored token?" in question
    assert credentials.api_token() == TOKEN  # a click alone removes nothing
    page = away.post("token/", remove="1", confirmed="yes")
    assert "The stored token was removed" in page
    assert not StoredSecret.objects.filter(name=API_TOKEN).exists()
    assert availability.of("contact").reason_code is WaitKind.NOT_CONFIGURED


def test_a_changed_key_is_told_and_an_older_key_brings_the_token_back(away: Wizard, settings: Any) -> None:
    away.post("token/", token=TOKEN)
    old = settings.ENCRYPTION_KEYS
    settings.ENCRYPTION_KEYS = ["another-key"]
    assert not credentials.has_token()
    assert credentials.token_state().is_unreadable
    for page in (away.get(), words_of(away.client.get("/admin/").content.decode())):
        assert "encryption key was changed" in page
    assert "into ENCRYPTION_KEY, behind a comma" in away.get()  # for the administrator
    assert "encryption key was changed" in availability.of("contact").blocked_reason
    with pytest.raises(inbox.DeliveryRefused, match="This address is closed"):
        inbox.receive(b"{}", authorization=None, path_token="x", path="/webhooks/monday/x/")
    settings.ENCRYPTION_KEYS = ["another-key", *old]
    assert credentials.api_token() == TOKEN
    assert reencrypt_secrets() == 2  # the token, and the webhooks' secret
    settings.ENCRYPTION_KEYS = ["another-key"]
    assert credentials.api_token() == TOKEN


def test_who_may_set_up_may_test_but_not_enter_and_who_is_given_the_right_may(away: Wizard) -> None:
    user = User.objects.create_user("mia", "mia@example.com", "x", is_staff=True)
    user.groups.add(own_group("operate"))
    mapper = signed_in(user)
    page = words_of(mapper.get(START).content.decode())
    assert "An administrator can enter, replace and remove the token" in page
    assert "Test and save" not in page
    assert mapper.post(START).status_code == 200
    for form in ({"token": TOKEN}, {"remove": "1"}):
        assert mapper.post(START + "token/", form).status_code == 403
    assert not StoredSecret.objects.exists()
    user.user_permissions.add(Permission.objects.get(codename="change_mondayaccount"))
    assert signed_in(user).post(START + "token/", {"token": TOKEN}).status_code == 302
    assert StoredSecret.objects.exists()


def test_who_may_set_up_opens_the_connection_to_which_pages_lead(away: Wizard) -> None:
    mapper = signed_in(staff_who_may("view_boardlink", "change_boardlink", "change_fieldmapping"))
    assert f'href="{START}"' in mapper.get("/admin/").content.decode()
    assert mapper.get(START).status_code == 200
