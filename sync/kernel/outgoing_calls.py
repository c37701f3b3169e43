"""Addresses that people typed or sent along: pages lead back to those of this site alone; calls go to public ones only,
by https, through no proxy and no redirect.

The address that was checked is the one that is connected to. It may hold a secret: no sentence here repeats it, and no
exception of the libraries leaves this module, for theirs do.
"""

from __future__ import annotations

import ipaddress
import socket
import threading
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import requests
from django.conf import settings
from django.http import HttpRequest
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError, NewConnectionError

CONNECT_SECONDS, ANSWER_SECONDS = 5.0, 10.0

CALL_SECONDS = 20.0
"""For the whole of a call: one that sends a byte every few seconds would never run out of time."""

MAX_TRIED = 3
"""Addresses of one name: whose name it is says how many there are."""

MAX_READ = 500
"""Bytes of an answer's body."""

LONGEST_WAIT = 24 * 3_600
"""A receiver that asks for more is asked again after a day."""


def own_address(request: HttpRequest, *given: str | None) -> str:
    """Return the first of these addresses that is one of this site, without the site; empty where none is.

    For where a form or a browser says that a person came from.
    """
    site, is_secure = {request.get_host()}, request.is_secure()
    for address in given:
        if address and url_has_allowed_host_and_scheme(address, site, require_https=is_secure):
            # Once more: without the site, a path that begins with slashes would name another.
            inner = urlsplit(address)._replace(scheme="", netloc="").geturl()
            if url_has_allowed_host_and_scheme(inner, None):
                return inner
    return ""


class AddressError(ValueError):
    """An address to which nothing is sent; the message says why, without the address."""


NOT_HTTPS = "The address must begin with https://."
NOT_PUBLIC = "The address leads into a private network, so nothing is sent there. Use one that is public."


def check_address(address: str) -> None:
    """Raise AddressError where this can't be a chat's address; where its name leads is checked with each call."""
    try:
        parts = urlsplit(address)
        has_port = parts.port is not None
    except ValueError as error:
        raise AddressError("This is no web address. Copy the whole of it, from https:// on.") from error
    if not address.isascii() or not address.isprintable() or " " in address or not parts.hostname:
        raise AddressError("This is no web address. Copy the whole of it, from https:// on.")
    if parts.username or parts.password:
        raise AddressError("The address must hold no user name or password.")
    if parts.scheme != "https" and not (parts.scheme == "http" and settings.NOTIFY_PRIVATE_ADDRESSES):
        raise AddressError(NOT_HTTPS)
    if has_port and not settings.NOTIFY_PRIVATE_ADDRESSES and parts.port != HTTPS_PORT:
        raise AddressError("The address must use the usual port of https.")
    try:
        literal = ipaddress.ip_address(parts.hostname)
    except ValueError:
        return  # a name: where it leads is checked with each call
    if not _is_allowed(literal):
        raise PrivateAddress


HTTPS_PORT = 443


class PrivateAddress(AddressError):
    def __init__(self) -> None:
        super().__init__(NOT_PUBLIC)


_NAT64 = ipaddress.ip_network("64:ff9b::/96")
# Not public, though Python before 3.11.10 says so: IETF's own, in which a cloud has its metadata, and 6to4's relays.
_NOT_GLOBAL = (ipaddress.ip_network("192.0.0.0/24"), ipaddress.ip_network("192.88.99.0/24"))


def _is_allowed(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    if settings.NOTIFY_PRIVATE_ADDRESSES:
        return not address.is_multicast and not address.is_unspecified
    if isinstance(address, ipaddress.IPv6Address) and (
        address.is_site_local or any(not _is_allowed(one) for one in _inner(address))
    ):
        return False
    if any(address in network for network in _NOT_GLOBAL):
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def _inner(address: ipaddress.IPv6Address) -> list[ipaddress.IPv4Address]:
    """The old kind of address inside one of the new, which leads where that leads."""
    found = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    found += [ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)] if address in _NAT64 else []
    return [one for one in found if one is not None]


class _Deadline:
    """Ends a call that lasts too long, whatever it is at: each of its reads alone may be quick enough."""

    def __init__(self) -> None:
        self.is_over = False
        self.lock = threading.Lock()
        self.sock: socket.socket | None = None
        self.timer = threading.Timer(CALL_SECONDS, self._end)
        self.timer.daemon = True
        self.timer.start()

    def watch(self, sock: socket.socket) -> None:
        # A handle of its own: TLS takes the one it is given out of its socket, before the handshake.
        with self.lock:
            self.sock = sock.dup()
        if self.is_over:
            self._end()

    def _end(self) -> None:
        with self.lock:
            self.is_over = True
            if self.sock is not None:
                with suppress(OSError):
                    self.sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.timer.cancel()
        with self.lock:
            if self.sock is not None:
                self.sock.close()
                self.sock = None


_CALL = threading.local()


class _CheckedConnection(HTTPConnection):
    """Connects to an address that was checked: between the check and the connection no name is resolved again."""

    def _new_conn(self) -> socket.socket:
        try:
            found = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise NewConnectionError(self, "unknown name") from error
        allowed = [place for *_kind, place in found if _is_allowed(ipaddress.ip_address(place[0]))]
        if len(allowed) < len(found):
            raise PrivateAddress
        for place in allowed[:MAX_TRIED]:
            if _CALL.deadline.is_over:
                break
            with suppress(OSError):
                sock = socket.create_connection((str(place[0]), int(place[1])), CONNECT_SECONDS)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                _CALL.deadline.watch(sock)
                return sock
        raise NewConnectionError(self, "no connection")


class _CheckedTLSConnection(_CheckedConnection, HTTPSConnection):
    """The same with TLS, whose certificate must be that of the name."""


class _CheckedPool(HTTPConnectionPool):
    ConnectionCls = _CheckedConnection


class _CheckedTLSPool(HTTPSConnectionPool):
    ConnectionCls = _CheckedTLSConnection


class _CheckedAdapter(HTTPAdapter):
    """Used without a session: so no redirects, no proxies of the environment, and no traces with addresses."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _CheckedPool, "https": _CheckedTLSPool}


TOO_SLOW = "It did not answer in time."
REDIRECTED = "It leads to another address, and such a redirect is not followed. Enter the address itself."


class CallFailed(Exception):
    """There was no answer; the message says why, as a sentence without the address."""


@dataclass(frozen=True)
class Answer:
    """What an address answered: of the body the first bytes."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def is_success(self) -> bool:
        return 200 <= self.status < 300

    @property
    def is_redirect(self) -> bool:
        return 300 <= self.status < 400

    @property
    def wait(self) -> float:
        """For how many seconds it asks to be left alone."""
        text = self.headers.get("Retry-After", "")
        if text.isdecimal():
            return min(float(text), LONGEST_WAIT)
        with suppress(ValueError, TypeError, OverflowError):
            return min(max(0.0, (parsedate_to_datetime(text) - timezone.now()).total_seconds()), LONGEST_WAIT)
        return 0.0


def post_json(address: str, body: str) -> Answer:
    """Post to an address; raises AddressError where it is one to which nothing is sent, and CallFailed."""
    check_address(address)
    headers = {"Content-Type": "application/json", "User-Agent": "NPD Sync", "Accept-Encoding": "identity"}
    _CALL.deadline = deadline = _Deadline()
    try:
        request = requests.Request("POST", address, data=body.encode(), headers=headers).prepare()
        with closing(_CheckedAdapter()) as adapter:
            answer = adapter.send(request, stream=True, timeout=(CONNECT_SECONDS, ANSWER_SECONDS))
            said = answer.raw.read(MAX_READ, decode_content=False)
            answer.close()
    except PrivateAddress:
        raise
    except requests.exceptions.SSLError:
        text = TOO_SLOW if deadline.is_over else "Its certificate isn't valid, so nothing was sent."
        raise CallFailed(text) from None
    except (requests.RequestException, HTTPError, OSError, ValueError) as error:
        is_slow = deadline.is_over or isinstance(error, requests.Timeout | TimeoutError)
        raise CallFailed(TOO_SLOW if is_slow else "It can't be reached, or it broke off the connection.") from None
    finally:
        deadline.close()
    if deadline.is_over:
        # Where its connection ends, a half answer reads like a whole one.
        raise CallFailed(TOO_SLOW)
    return Answer(answer.status_code, answer.headers, said)
