"""What every request passes and every answer gets.

An address that is no text is refused. A missing last slash is no error on addresses that programs call:
Django would redirect the call to the other address, and a redirected POST loses its body.
"""

from collections.abc import Callable

from django.conf import settings
from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponseBase, JsonResponse
from django.urls import Resolver404, resolve
from django.utils.cache import patch_vary_headers
from django.views.decorators.csrf import csrf_exempt

from sync.api.problems import problem

FOR_PROGRAMS = ("/api/", "/webhooks/")
FOR_PROBES = ("/healthz", "/readyz", "/metrics")
Respond = Callable[[HttpRequest], HttpResponseBase]


@csrf_exempt
def unknown_address(request: HttpRequest) -> JsonResponse:
    """Answer that nothing is at this address."""
    # The path stays out of the answer: a webhook's may hold a secret.
    detail = "There is nothing at this address. Check it in /api/v1/docs/ and correct it."
    return problem(404, "not_found", detail)


class ProbeMiddleware:
    """Answer health probes by whatever host name they come: a cluster's probe uses the pod's address.

    Django checks the host name first in what comes after; no other request gets past that.
    """

    def __init__(self, get_response: Respond) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.path_info in FOR_PROBES:
            answer: HttpResponseBase = resolve(request.path_info).func(request)
            return answer
        return self.get_response(request)


class ReadableMiddleware:
    """Refuse what no text column takes, once for every page: NUL, and halves of surrogate pairs."""

    def __init__(self, get_response: Respond) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Answer the request, or 400; the API itself names the parameter of a NUL."""
        query = "".join(text for name, values in request.GET.lists() for text in (name, *values))
        for_programs = request.path_info.startswith(FOR_PROGRAMS)
        if not _is_text(query) or _is_foreign_form(request):
            trouble = "The address or the form is not text in UTF-8. Correct it and send it again."
            if for_programs:
                return problem(400, "not_text", trouble)
            raise BadRequest(trouble)
        if "\0" in request.path_info + query and not for_programs:
            raise BadRequest("The address holds a NUL character. Take %00 out of it.")
        return self.get_response(request)


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_foreign_form(request: HttpRequest) -> bool:
    """Whether a form claims another encoding; some of these decode to what isn't text."""
    is_form = request.content_type in ("multipart/form-data", "application/x-www-form-urlencoded")
    return is_form and (request.encoding or "utf-8").lower().replace("_", "-") not in ("utf-8", "utf8")


class LastSlashMiddleware:
    """Answer a program's call without the last slash as the call with it."""

    def __init__(self, get_response: Respond) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        path = request.path_info
        bare = path.startswith(FOR_PROGRAMS) and not path.endswith("/")
        if bare and not _is_routed(path) and _is_routed(f"{path}/"):
            request.path_info, request.path = f"{path}/", f"{request.path}/"
        return self.get_response(request)


def _is_routed(path: str) -> bool:
    try:
        return resolve(path).func is not unknown_address
    except Resolver404:
        return False


# Headers of every answer: what a page may load and do, and that nobody caches the API's answers.


class ContentSecurityPolicyMiddleware:
    """Put settings.CONTENT_SECURITY_POLICY and PERMISSIONS_POLICY on every answer that doesn't bring its own.

    Answers below /api/ are for one caller: no cache may keep them, nor give them to another.
    """

    def __init__(self, get_response: Respond) -> None:
        self.get_response = get_response
        self.policy = "; ".join(f"{name} {value}" for name, value in settings.CONTENT_SECURITY_POLICY.items())

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        response.headers.setdefault("Content-Security-Policy", self.policy)
        response.headers.setdefault("Permissions-Policy", settings.PERMISSIONS_POLICY)
        if request.path_info.startswith("/api/"):
            response.headers.setdefault("Cache-Control", "no-store")
            patch_vary_headers(response, ("Authorization", "Cookie"))
        return response
