"""Who may speak to the sandbox: nobody through a web page of somewhere else.

A page on the web may let its own name point to 127.0.0.1 (DNS rebinding): such requests carry that name as Host.
Or it sends them to our address: those carry its Origin.
"""

import ipaddress
from urllib.parse import urlsplit

from sandbox.web import Request, Response, json_response

ALWAYS = ("127.0.0.1", "localhost", "::1")
EVERYWHERE = ("0.0.0.0", "::", "")  # noqa: S104 - compared with, not listened on
READING = ("GET", "HEAD")


class Guard:
    """Refuses requests by their Host and Origin."""

    def __init__(self, host: str, site_url: str) -> None:
        self._site = urlsplit(site_url).netloc.lower()
        self._names = {*ALWAYS, host.strip("[]").lower(), _name(self._site)} - {""}
        self._listens_everywhere = host.strip("[]") in EVERYWHERE

    def refusal(self, request: Request) -> Response | None:
        """The answer to a request that is not let in, None for the others."""
        host = (request.header("Host") or "").lower()
        if host and not self._is_ours(_name(host)):
            words = f"This sandbox is not {_name(host)!r}. If it should be, start it with --site-url http://{host}"
            return json_response({"error": words}, 403)
        if request.method not in READING and self._is_foreign(request, host):
            return json_response({"error": "A page of another site may change nothing here."}, 403)
        return None

    def _is_ours(self, name: str) -> bool:
        if name in self._names:
            return True
        # No name server of somebody else's answers for an IP address or a name without a dot.
        return self._listens_everywhere and (_is_address(name) or (bool(name) and "." not in name))

    def _is_foreign(self, request: Request, host: str) -> bool:
        if (request.header("Sec-Fetch-Site") or "none") not in ("none", "same-origin"):
            return True
        origin = request.header("Origin")
        if origin is None:
            return False
        try:
            return urlsplit(origin).netloc.lower() not in {host, self._site} - {""}
        except ValueError:
            return True


def _name(netloc: str) -> str:
    """The host of `host:port`, without the brackets of an IPv6 address; "" for nonsense."""
    try:
        return (urlsplit(f"//{netloc}").hostname or "").lower()
    except ValueError:
        return ""


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
