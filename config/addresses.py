"""Addresses that programs call: a missing slash at the end is no error, and a wrong one is answered in JSON.

Django would send a call without the slash on to the other address, and a redirected POST loses its body.
"""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponseBase, JsonResponse
from django.urls import Resolver404, resolve
from django.views.decorators.csrf import csrf_exempt

from sync.api.problems import problem

FOR_PROGRAMS = ("/api/", "/webhooks/")
Respond = Callable[[HttpRequest], HttpResponseBase]


@csrf_exempt
def unknown(request: HttpRequest) -> JsonResponse:
    """Nothing is at this address."""
    # The path stays out of the answer: a webhook's may hold a secret.
    detail = "There is nothing at this address. Look it up in /api/v1/docs/ and correct it."
    return problem(404, "not_found", detail)


class LastSlashMiddleware:
    """Answer a program's call without the last slash as the call with it."""

    def __init__(self, get_response: Respond) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        path = request.path_info
        bare = path.startswith(FOR_PROGRAMS) and not path.endswith("/")
        if bare and not _leads_somewhere(path) and _leads_somewhere(f"{path}/"):
            request.path_info, request.path = f"{path}/", f"{request.path}/"
        return self.get_response(request)


def _leads_somewhere(path: str) -> bool:
    try:
        return resolve(path).func is not unknown
    except Resolver404:
        return False
