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
<script type="module" src="/static/board.js"></script>
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
<div id="message" class="message" hidden><span role="status"></span>
<button type="button" class="button" id="undo" hidden>Undo</button></div>
<p id="news" class="unseen" role="log" aria-label="What others changed"></p>
</body>
</html>
"""
    response = html_response(text)
    return Response(response.status, response.body, response.headers | HEADERS)


def people_menu() -> str:
    """Whom to play."""
    options = "".join(
        f'<option value="{one.id}">{escape(one.name)}, {escape(one.title)}</option>' for one in PEOPLE
    )
    return (
        '<label class="me"><span class="face" id="face" aria-hidden="true"></span>'
        f'<span class="mute small">You play</span> <select id="person" class="button">{options}</select></label>'
    )


def tools_menu() -> str:
    """The button of the drawer, and the drawer, whose inside is fetched when it is opened."""
    return """<button class="button" type="button" id="tools-button" aria-expanded="false"
aria-controls="tools">Faults &amp; tools</button>
<section id="tools" class="drawer" aria-labelledby="tools-title" hidden tabindex="-1">
<div class="line"><h2 id="tools-title">Faults &amp; tools</h2><span class="grow"></span>
<button class="button quiet" type="button" id="tools-close" aria-label="Close faults and tools">✕</button></div>
<div id="tools-inside"></div></section>"""
