"""What all pages share."""

from html import escape

from sandbox.people import PEOPLE
from sandbox.web import Response, html_response

POLICY = (
    "default-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'self'; frame-ancestors 'self'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
}
BANNER = "This is a sandbox that plays Monday.com on this machine. Nothing here reaches Monday.com."
ICON = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E"
    "%3Crect width='16' height='16' rx='4' fill='%236d28d9'/%3E%3Crect x='3' y='4' width='10' height='2.5' "
    "fill='white'/%3E%3Crect x='3' y='9' width='6' height='2.5' fill='white'/%3E%3C/svg%3E"
)


def page(title: str, crumb: str, header: str, main: str, *, board_id: int | None = None) -> Response:
    """A whole page. `crumb`, `header` and `main` are HTML already."""
    board = f' data-board="{board_id}"' if board_id is not None else ""
    text = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{escape(title)} · Monday sandbox</title>
<link rel="icon" href="{ICON}">
<link rel="stylesheet" href="/static/board.css">
<script src="/static/board.js" defer></script>
</head>
<body{board}>
<section class="banner" aria-label="About this page">{BANNER}</section>
<header>
<nav aria-label="Where you are"><a class="home" href="/">Monday sandbox</a>{crumb}</nav>
<span class="grow"></span>
{header}
</header>
<main>
{main}
</main>
<p id="message" class="message" role="status" hidden></p>
</body>
</html>
"""
    response = html_response(text)
    return Response(response.status, response.body, response.headers | HEADERS)


def people_menu() -> str:
    """Whom to play."""
    options = "".join(f'<option value="{one.id}">{escape(one.name)}</option>' for one in PEOPLE)
    return f'<label class="mute small">play as <select id="person" class="button">{options}</select></label>'


def tools_menu() -> str:
    """Faults for the next calls, and the reset."""
    faults = (
        ("Next call answers 500", '{"status": 500}'),
        ("Next call answers 429, wait 10 s", '{"status": 429, "retry_after": 10}'),
        ("Next write is lost on the way", '{"timeout": "before"}'),
        ("Next write is done, its answer lost", '{"timeout": "after"}'),
    )
    buttons = "".join(
        f'<button class="button" type="button" data-fault="{escape(fault)}">{escape(words)}</button>'
        for words, fault in faults
    )
    return f"""<details class="menu">
<summary class="button">Faults</summary>
<div class="sheet">{buttons}
<button class="button" type="button" id="clear-faults">No more faults</button></div>
</details>
<button class="button" type="button" id="reset">Reset…</button>"""
