"""Moments, lengths of time, counts and texts for people, in the reader's zone and as config/en/formats.py writes them.

At the end, the differing words of two texts, an excerpt around the first of them, and a merge of both texts.
"""

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from difflib import SequenceMatcher
from itertools import groupby

from django.contrib.humanize.templatetags.humanize import intcomma
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString

from sync.monday.text_forms import unix_lines

DASH = "–"
# Control characters, line ends, and signs that turn the direction of what follows.
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_REQUEST_ID = re.compile(r"\s*(\[Monday request [^\]]*\])")

_UNITS = ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second"))


def time_span(seconds: float) -> str:
    """Return a length of time in its largest whole unit: "5 minutes"."""
    whole = max(1, round(abs(seconds)))
    size, unit = next((size, unit) for size, unit in _UNITS if whole >= size)
    return count_with_noun(whole // size, unit)


def time_of_day(moment: datetime) -> str:
    """Return the time, for a moment close to now: "14:05 CET"."""
    local = timezone.localtime(moment)
    return f"{date_format(local, 'TIME_FORMAT')} {zone_name(local)}"


def due_time(moment: datetime, now: datetime | None = None) -> str:
    """Return when something is due, with the day if that isn't the day of `now`.

    It is rounded up to the minute, but for some seconds: the day's quota is new at 00:00:05.
    """
    minute = (moment + timedelta(seconds=54)).replace(second=0, microsecond=0)
    is_today = now is None or timezone.localtime(minute).date() == timezone.localtime(now).date()
    return time_of_day(minute) if is_today else day_and_time(minute)


def day_and_time(moment: datetime) -> str:
    """Return the day and the time: "21 Nov 2026, 14:05 CET"."""
    local = timezone.localtime(moment)
    return f"{date_format(local, 'DATETIME_FORMAT')} {zone_name(local)}"


def timestamp(moment: datetime) -> str:
    """Return a moment to the second: "21 Nov 2026, 14:05:09 CET"."""
    return _to_the_second(timezone.localtime(moment))


def _to_the_second(moment: datetime) -> str:
    return f"{date_format(moment, 'DATE_FORMAT')}, {moment:%H:%M:%S} {zone_name(moment)}"


def time_element(moment: datetime, text: str = "") -> SafeString:
    """Return a moment in the reader's zone, or `text`, as HTML with a tooltip to the second, here and in UTC:
    "21 Nov 2026, 14:05:09 CET · 21 Nov 2026, 13:05:09 UTC".
    """
    exact = dict.fromkeys([timestamp(moment), _to_the_second(moment.astimezone(UTC))])
    return format_html(
        '<time datetime="{}" title="{}">{}</time>', moment.isoformat(), " · ".join(exact), text or day_and_time(moment)
    )


def short_time_element(moment: datetime) -> SafeString:
    """Return a short form for lists: "14:05" for today, "21 Nov, 14:05" for this year, otherwise the date."""
    local = timezone.localtime(moment)
    today = timezone.localdate()
    shape = "H:i" if local.date() == today else "j M, H:i" if local.year == today.year else "j M Y"
    return time_element(moment, date_format(local, shape))


def icon(name: str) -> SafeString:
    """Return a Material symbol that screen readers skip."""
    return format_html('<span class="material-symbols-outlined npd-icon" aria-hidden="true">{}</span>', name)


def badge(colour: str, symbol: str, text: str, *, url: str = "", title: str = "") -> SafeString:
    """Return a small label with an icon and words; the colour is ok, go, wait, warn, bad or off."""
    content = format_html("{}{}", icon(symbol), text)
    if url:
        tag = '<a class="npd-badge npd-badge-{}" href="{}" title="{}">{}</a>'
        return format_html(tag, colour, url, title, content)
    return format_html('<span class="npd-badge npd-badge-{}" title="{}">{}</span>', colour, title, content)


def utc_minute(moment: datetime) -> str:
    """Return a moment as commands write it: "2026-11-21 13:05 UTC"."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def zone_name(moment: datetime) -> str:
    """Return the name of the moment's own zone: "CET", "CEST", or "UTC+3" if it has no letters."""
    name = moment.tzname() or "UTC"
    if name[0] not in "+-":
        return name
    hours = name[1:3].lstrip("0") or "0"
    minutes = name[3:5]
    return f"UTC{name[0]}{hours}{':' + minutes if minutes.strip('0') else ''}"


def relative_time(moment: datetime | None, now: datetime) -> str:
    """Return how far `moment` is from `now`: "in 5 minutes", "2 hours ago", "now"."""
    if moment is None:
        return ""
    seconds = (moment - now).total_seconds()
    if abs(seconds) < 1:
        return "now"
    return f"in {time_span(seconds)}" if seconds > 0 else f"{time_span(seconds)} ago"


_LINE_END = re.compile(r"\r\n?|\n")


def one_line(text: str) -> str:
    return " ".join(_CONTROLS.sub(" ", text).split())


def terminal_line(text: str) -> str:
    """Return a line for a terminal, in which no record's value can hide, rewrite or make up a line.

    The lines of a value are shown as one, with a sign where each ends.
    """
    return _CONTROLS.sub("\ufffd", _LINE_END.sub("⏎", text).replace("\t", " "))


def shorten(text: str, limit: int = 200) -> str:
    """Return at most `limit` characters of a text, with an ellipsis if it was cut."""
    return text if len(text) <= limit else f"{text[: limit - 1].rstrip()}…"


def within_sentence(label: str) -> str:
    """Return a field's label as within a sentence: “email” of “Email”, but “URL” of “URL”."""
    return label if label[1:2].isupper() else label[:1].lower() + label[1:]


def first_sentences(text: str, limit: int) -> str:
    """Return the whole sentences that fit into `limit` characters, or the beginning of a longer one."""
    if len(text) <= limit:
        return text
    return text[: text.rfind(". ", 0, limit) + 1] or shorten(text, limit)


def sentences(text: str) -> list[str]:
    return re.split(r"(?<=[.?!]) ", text.strip()) if text.strip() else []


def first_sentence(text: str) -> str:
    """Return the first sentence, which says what happened; the next ones say what to do."""
    return text[: text.find(". ") + 1] or text


def request_ids(text: str) -> list[str]:
    """Return the ids of Monday's requests in a sentence; Monday's support asks for them."""
    return _REQUEST_ID.findall(text)


def without_request_id(text: str) -> str:
    """Return a sentence without the ids of Monday's requests, which are noise in a list."""
    return _REQUEST_ID.sub("", text)


def quote(text: str | None, limit: int = 80) -> str:
    """Return a value as in a sentence: “Ann”, or (empty)."""
    return f"“{shorten(text, limit)}”" if text else "(empty)"


def listed(names: Iterable[str]) -> str:
    """Return names for the end of a sentence, whose full stop is that of “Nova Inc.”, too."""
    return ", ".join(names).removesuffix(".")


def count_with_noun(number: int, noun: str, many: str | None = None) -> str:
    """Return a number with its noun: "1 record", "3 records"."""
    return f"{intcomma(number)} {noun if number == 1 else many or noun + 's'}"


def interval_text(seconds: float) -> str:
    """Return a length of time to follow "every", in seconds below two minutes, then in minutes or hours."""
    if seconds < 1.5:
        return "second"
    if seconds < 120:
        return count_with_noun(round(seconds), "second")
    minutes = round(seconds / 60)
    return count_with_noun(minutes, "minute") if minutes < 120 else count_with_noun(round(seconds / 3600), "hour")


def plural(number: float, singular: str, many: str) -> str:
    return singular if number == 1 else many


def join_first(parts: list[str]) -> str:
    """Return the first three parts, and the number of others: "A and B", "A, B, C and 2 more"."""
    shown = parts[:3]
    if len(parts) > 3:
        shown.append(f"{len(parts) - 3} more")
    if len(shown) < 2:
        return "".join(shown)
    return f"{', '.join(shown[:-1])} and {shown[-1]}"


# Two texts beside each other.

# Longer texts are not compared, because that would slow down the page.
MAX_DIFF_CHARACTERS = 4_000

# Less similar texts are not marked, because nearly every word would be.
MIN_SIMILARITY = 0.35

# An excerpt's characters before the first difference, and in all.
EXCERPT_BEFORE = 30
EXCERPT_LENGTH = 120

# A separator, a word or the text's beginning, with the space behind it. Words take all other characters, so that
# accents and joined emoji stay with their letters.
_WORD = re.compile(r'(?:[.,;:!?()"@/<>-]|[^\s.,;:!?()"@/<>-]+|^)\s*')

# A line or a sentence, with the space behind it.
_SENTENCE = re.compile(r".+?(?:\s*\n\s*|(?<=[.!?…])\s+|(?<=[。！？])\s*|\s*$)", re.DOTALL)

# A piece of a text, and whether the other text differs there.
TextPart = tuple[str, bool]


def diff_parts(text: str | None, *others: str | None) -> list[TextPart]:
    """Return the text in pieces, marking the words that another text lacks, unless the texts are too unlike."""
    words = _WORD.findall(text or "")
    differing = set[int]()
    for other in others:
        if sum(map(len, words)) > MAX_DIFF_CHARACTERS or len(other or "") > MAX_DIFF_CHARACTERS:
            continue
        other_words = _WORD.findall(other or "")
        mine = [word.strip() for word in words]
        theirs = [word.strip() for word in other_words]
        if mine == theirs:  # only spaces and line ends differ
            mine = words
            theirs = other_words
        # From 200 words on, difflib's autojunk skips the most frequent words; without autojunk this could take minutes.
        matcher = SequenceMatcher(None, mine, theirs)
        if matcher.ratio() >= MIN_SIMILARITY:
            for tag, start, end, _, _ in matcher.get_opcodes():
                if tag != "equal":
                    differing.update(range(start, end))
    parts = []
    for is_marked, group in groupby(enumerate(words), key=lambda word: word[0] in differing):
        block = "".join(word for _, word in group)
        # The space behind the last marked word stays unmarked.
        core = block.rstrip() if is_marked and block.strip() else block
        parts += [(core, is_marked), (block[len(core) :], False)]
    return [part for part in parts if part[0]]


def excerpts(text: str | None, other: str | None) -> list[list[TextPart]]:
    """Return one-line excerpts of both texts around their first difference, marked."""
    lines = [" ".join((side or "").split()) for side in (text, other)]
    diff_start = next((place for place, (mine, theirs) in enumerate(zip(*lines, strict=False)) if mine != theirs), 0)
    begin = max(0, diff_start - EXCERPT_BEFORE)
    word_start = lines[0].rfind(" ", 0, begin) + 1
    # In a language without spaces, the last space may be far away, so the excerpt begins within a word.
    begin = word_start if begin - word_start <= EXCERPT_BEFORE else begin
    end = begin + EXCERPT_LENGTH
    both = []
    for mine, theirs in (lines, reversed(lines)):
        # The other text is cut later, so that the last words aren't marked for being cut.
        parts = diff_parts(mine[begin:end].rstrip(), theirs[begin : end + EXCERPT_LENGTH])
        ellipsis_before = [("… ", False)] if begin and parts else []
        ellipsis_after = [("…", False)] if len(mine) > end else []
        both.append([*ellipsis_before, *parts, *ellipsis_after])
    return both


def both_texts(text: str | None, other: str | None) -> str:
    """Return a text with all lines and sentences of both, the common ones once; `text` comes first."""
    if text == other:
        return text or ""
    mine, theirs = [_SENTENCE.findall(unix_lines(side or "").strip()) for side in (text, other)]
    own = [sentence.strip() for sentence in mine]
    matcher = SequenceMatcher(None, own, [sentence.strip() for sentence in theirs], autojunk=False)
    merged: list[str] = []
    for _, start, end, their_start, their_end in matcher.get_opcodes():
        # A sentence that both have at different places stays where `text` has it.
        added = [sentence for sentence in theirs[their_start:their_end] if sentence.strip() not in own]
        merged += [*mine[start:end], *added]
    has_lines = any("\n" in sentence for sentence in merged)
    combined = ""
    for sentence in merged:
        # The last sentence of a text may have had no space or line end behind it.
        if combined and not combined[-1].isspace() and combined[-1] not in "。！？":
            combined += "\n" if has_lines or combined[-1] not in ".!?…" else " "
        combined += sentence
    return combined.rstrip()
