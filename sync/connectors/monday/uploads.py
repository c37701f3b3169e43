"""The file of a bulk import to the address that Monday named for it, and a job's report from its address.

Both addresses are secrets of ten minutes and belong to an object store, not to the API: they get no token, and
no error of ours holds them.
"""

from __future__ import annotations

import requests
import urllib3

from sync.connectors.monday.errors import MondayError, ServerFailed
from sync.connectors.monday.transport import transport_error

UPLOAD_TIMEOUT = 120.0
_CONNECT_SECONDS = 10.0
_REPORT_BYTES = 150_000_000


class UploadRefused(MondayError):
    """The store didn't take the file: its address is too old, or the request was not the one it was made for."""

    advice = "The import is started again by itself."


def put_file(url: str, content: bytes, timeout: float = UPLOAD_TIMEOUT) -> None:
    """Send the rows.

    Raises UploadRefused where the file was certainly not taken, Unreachable where nothing was sent, and
    another MondayError where that isn't known.
    """
    # Nothing but the content type: headers that the address wasn't signed for are refused.
    status = _ask("PUT", url, timeout, content)[0]
    if status >= 500:
        raise ServerFailed(f"The import's file store answered HTTP {status}", http_status=status)
    if not 200 <= status < 300:
        raise UploadRefused(f"The import's file was refused with HTTP {status}", http_status=status)


def read_report(url: str, timeout: float = UPLOAD_TIMEOUT) -> bytes | None:
    """Return a job's report, None where it can't be had; without it an import is settled all the same."""
    try:
        status, content = _ask("GET", url, timeout)
    except MondayError:
        return None
    return content if status == 200 else None


def _no_auth(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


def _ask(method: str, url: str, timeout: float, content: bytes | None = None) -> tuple[int, bytes]:
    headers = {"Content-Type": "text/csv"} if content is not None else {}
    try:
        with requests.Session() as session:
            session.auth = _no_auth  # a .netrc entry for the host would add a header
            with session.request(
                method,
                url,
                data=content,
                headers=headers,
                timeout=(_CONNECT_SECONDS, timeout),
                allow_redirects=False,
                stream=True,
            ) as answer:
                return answer.status_code, answer.raw.read(_REPORT_BYTES, decode_content=True)
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        # Without its cause, whose text and traceback would hold the address.
        raise transport_error(error, timeout) from None
