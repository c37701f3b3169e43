"""The web process behind the proxy of ops/Caddyfile, as on servers: what reaches it, and what is logged of it."""

import re
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

import pytest
import requests
from django.conf import settings
from django.contrib.auth.models import User

from npd.models import Contact
from sync.models import ApiToken
from tests.accounts.test_closed_doors import routes
from tests.support.child import Child, command_of
from tests.support.servers import ROOT, free_port, run_command
from tests.support.site import PASSWORD, child_environment, hashed_password, start_child

pytestmark = [pytest.mark.processes, pytest.mark.django_db]

THREADS = 4
CADDY = str(Path(sys.executable).parent / "caddy")
SECRET = "secret-of-this-test"


@dataclass(frozen=True)
class Site:
    port: int
    behind: int  # the web process's own port
    proxy: Child
    home: Path

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def log(self) -> str:
        return "\n".join(self.proxy.last_lines(10_000))


@pytest.fixture(scope="module")
def site(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    port, behind, home = free_port(), free_port(), tmp_path_factory.mktemp("home")
    url = f"http://127.0.0.1:{port}"
    env = child_environment() | {"HOME": str(home), "SITE_URL": url, "DEBUG": "", "TRUSTED_PROXIES": "1"}
    web_env = env | {"PORT": str(behind), "WEB_CONCURRENCY": "1"}
    caddy_env = env | {"UPSTREAM": f"127.0.0.1:{behind}", "CADDY_ADMIN": f"127.0.0.1:{free_port()}"}
    config = (ROOT / "ops" / "Caddyfile").read_text()
    # The 502 below comes at once.
    (home / "Caddyfile").write_text(config.replace("lb_try_duration 30s", "lb_try_duration 1s"))
    caddy = [CADDY, "run", "--config", str(home / "Caddyfile")]
    with ExitStack() as children:
        # First, as while NPD restarts: it answers 502, and logs that as an error.
        proxy = start_child(f"caddy-{port}", caddy, caddy_env, f"{url}/webhooks/monday/{SECRET}/")
        children.callback(proxy.stop, 5)
        web = start_child(f"web-{behind}", command_of("web"), web_env, f"http://127.0.0.1:{behind}/healthz")
        children.callback(web.stop, 5)
        yield Site(port, behind, proxy, home)


def test_no_thread_waits_for_who_has_sent_half_a_request(site: Site) -> None:
    with ExitStack() as stack:
        for path in ("/webhooks/monday/", "/accounts/login/") * THREADS:
            caller = stack.enter_context(socket.create_connection(("127.0.0.1", site.port), timeout=30))
            head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{site.port}\r\nContent-Length: 1000\r\n\r\nhalf"
            caller.sendall(head.encode())
        assert requests.get(site.url("/healthz"), timeout=5).status_code == 200


def test_a_body_that_is_too_large_is_refused_before_a_thread_is_given_it(site: Site) -> None:
    for path, size in (("/webhooks/monday/", 1_000_001), ("/admin/", 12_000_001)):
        with socket.create_connection(("127.0.0.1", site.port), timeout=30) as caller:
            head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{site.port}\r\nContent-Length: {size}\r\n\r\n"
            # Only a part, so that NPD can't have got it whole. Caddy reads a quarter of a megabyte before it answers.
            caller.sendall(head.encode() + b"x" * 300_000)
            answer = caller.recv(4_096)
            assert answer.startswith(b"HTTP/1.1 413 ")
            assert b"a file has at most 10 MB" in answer
    config = run_command(CADDY, "adapt", "--config", "ops/Caddyfile", env={"SITE_URL": site.url("")}, check=True).stdout
    # Bodies that don't tell their length are cut; the caller gets Caddy's answer or NPD's, whichever comes first.
    limits = [int(limit) for limit in re.findall(r'"max_size":(\d+)', config)]
    (buffered,) = re.findall(r'"request_buffers":(\d+)', config)
    assert limits == [1_000_000, 12_000_000]
    assert int(buffered) > max(limits)
    assert {"read_timeout", "read_header_timeout"} <= set(re.findall(r'"(\w+)":', config))


def send_in_pieces(
    method: str, url: str, body: bytes, caller: requests.Session | None = None, **headers: str
) -> requests.Response:
    """Send a body without its length: `Transfer-Encoding: chunked`."""
    pieces = (body[start : start + 65_536] for start in range(0, len(body), 65_536))
    return (caller or requests.Session()).request(
        method, url, data=pieces, headers=headers, timeout=60, allow_redirects=False
    )


@pytest.mark.django_db(transaction=True)
def test_a_body_that_does_not_say_its_length_is_read_whole(site: Site) -> None:
    user = User.objects.create(username="ada", password=hashed_password(), is_staff=True, is_superuser=True)
    path = f"/api/v1/contacts/{Contact.objects.create(name='Ann').pk}/"
    headers = {"authorization": f"Bearer {ApiToken.objects.create(user=user)[1]}", "content-type": "application/json"}
    for port in (site.port, site.behind):
        url = f"http://127.0.0.1:{port}"
        answer = send_in_pieces("PATCH", url + path, b'{"role_title": "%d"}' % port, **headers)
        assert (answer.status_code, Contact.objects.get(name="Ann").role_title) == (200, str(port))
        answer = send_in_pieces("POST", f"{url}/api/v1/contacts/", b'{"name": "Bo"}', **headers)
        assert (answer.status_code, answer.json()["name"]) == (201, "Bo")
        answer = send_in_pieces("POST", f"{url}/webhooks/monday/", b'{"challenge": "x"}')
        assert answer.json() == {"challenge": "x"}
        with requests.Session() as browser:
            page = browser.get(f"{url}/accounts/login/", timeout=30).text
            (token,) = re.findall('name="csrfmiddlewaretoken" value="([^"]+)"', page)[:1]
            form = urlencode({"csrfmiddlewaretoken": token, "login": "ada", "password": PASSWORD}).encode()
            kind = {"Content-Type": "application/x-www-form-urlencoded"}
            assert send_in_pieces("POST", f"{url}/accounts/login/", form, browser, **kind).status_code == 302


def test_a_body_that_does_not_say_its_length_and_is_too_large_is_refused(site: Site) -> None:
    # One byte above the limits of the proxy, which closes the connection on who still sends.
    for path, size in (("/api/v1/contacts/", 12_000_001), ("/admin/", 12_000_001), ("/webhooks/monday/", 1_000_001)):
        for port in (site.port, site.behind):
            answer = send_in_pieces("POST", f"http://127.0.0.1:{port}{path}", b"x" * size)
            assert answer.status_code == 413
            if port == site.behind:  # else it may be the proxy's answer
                assert answer.json()["errors"][0]["code"] == "too_large"


def test_the_proxys_log_has_no_address_that_is_a_secret(site: Site) -> None:
    requests.get(site.url("/nowhere-of-this-test/"), timeout=30)
    requests.post(site.url(f"/webhooks/monday/{SECRET}/"), json={}, timeout=30)
    requests.get(site.url(f"/set-password/MQ/{SECRET}/"), timeout=30)
    requests.get(site.url("/healthz"), headers={"Authorization": f"Bearer {SECRET}"}, timeout=30)
    log = site.log()
    assert "nowhere-of-this-test" in log
    assert '"uri":"/webhooks/…"' in log
    assert SECRET not in log


def test_every_address_with_a_token_in_it_is_left_out_of_the_proxys_log() -> None:
    (paths,) = re.findall(r"@secret path (.+)", (ROOT / "ops" / "Caddyfile").read_text())
    prefixes = tuple(path.removesuffix("*") for path in paths.split())
    secret = [f"/{route}" for route in routes() if "token>" in route]
    assert len(secret) > 1
    assert [route for route in secret if not route.startswith(prefixes)] == []


def test_no_header_of_a_callers_takes_the_place_of_its_address(site: Site) -> None:
    with socket.create_connection(("127.0.0.1", site.port), timeout=30) as caller:
        head = f"GET /admin/ HTTP/1.1\r\nHost: 127.0.0.1:{site.port}\r\nConnection: close\r\n"
        caller.sendall(f"{head}SCRIPT_NAME: /evil\r\nPATH_INFO: /evil\r\n\r\n".encode())
        answer = caller.makefile("rb").read().decode()
    assert answer.startswith("HTTP/1.1 302 ")
    assert "evil" not in answer


def test_it_opens_no_door_beside_its_port(site: Site) -> None:
    assert not list(site.home.rglob("gunicorn*"))


def test_the_api_and_the_sign_in_believe_as_many_proxies_as_are_set() -> None:
    assert settings.REST_FRAMEWORK["NUM_PROXIES"] == settings.ALLAUTH_TRUSTED_PROXY_COUNT == settings.TRUSTED_PROXIES
