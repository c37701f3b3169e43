"""XLSX files that are small on the disk and large once unpacked, made as they are needed."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterable

MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
PACKAGE = "http://schemas.openxmlformats.org/package/2006"
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml"
HEAD = (
    '<row r="1"><c r="A1" t="inlineStr"><is><t>Name</t></is></c></row>'
    '<row r="2"><c r="A2" t="inlineStr"><is><t>Ann</t></is></c></row>'
)
Xml = Iterable[str]


def sheet(*more: str, times: int = 1) -> Xml:
    """A sheet with a title, a record, and further rows so many times."""
    yield f'<worksheet xmlns="{MAIN}"><sheetData>{HEAD}'
    for _ in range(times):
        yield from more
    yield "</sheetData></worksheet>"


def repeated(before: str, text: str, times: int, after: str) -> Xml:
    """A text so many times, in pieces."""
    yield before
    for _ in range(times // 10_000):
        yield text * 10_000
    yield after


def workbook(cells: Xml | None = None, *, shared: Xml = (), styles: Xml = (), level: int = 1, parts: int = 0) -> bytes:
    """An XLSX file of these parts; `parts` further ones are empty."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED, compresslevel=level) as packed:
        names = {"worksheet": "worksheets/sheet1", "sharedStrings": "sharedStrings", "styles": "styles"}
        types = "".join(
            f'<Override PartName="/xl/{path}.xml" ContentType="{TYPE}.{kind}+xml"/>' for kind, path in names.items()
        )
        relations = "".join(
            f'<Relationship Id="{kind}" Type="{OFFICE}/{kind}" Target="{path}.xml"/>' for kind, path in names.items()
        )
        small = {
            "[Content_Types].xml": f'<Types xmlns="{PACKAGE}/content-types"><Override PartName="/xl/workbook.xml" '
            f'ContentType="{TYPE}.sheet.main+xml"/>{types}</Types>',
            "_rels/.rels": f'<Relationships xmlns="{PACKAGE}/relationships"><Relationship Id="r" '
            f'Type="{OFFICE}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
            "xl/workbook.xml": f'<workbook xmlns="{MAIN}" xmlns:r="{OFFICE}"><sheets>'
            '<sheet name="S" sheetId="1" r:id="worksheet"/></sheets></workbook>',
            "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{PACKAGE}/relationships">{relations}</Relationships>',
        }
        for name, text in small.items():
            packed.writestr(name, text)
        for number in range(parts):
            packed.writestr(f"xl/media/{number}", "")
        _write(packed, "xl/worksheets/sheet1.xml", cells or sheet())
        _write(packed, "xl/sharedStrings.xml", shared or [f'<sst xmlns="{MAIN}"/>'])
        _write(packed, "xl/styles.xml", styles or [f'<styleSheet xmlns="{MAIN}"/>'])
    return content.getvalue()


def _write(packed: zipfile.ZipFile, name: str, pieces: Xml) -> None:
    with packed.open(name, "w") as part:
        for piece in pieces:
            part.write(piece.encode())


def strings(text: str, times: int) -> bytes:
    """A workbook with so many shared strings."""
    return workbook(shared=repeated(f'<sst xmlns="{MAIN}">', text, times, "</sst>"))


def in_a_cell(text: str, times: int, after: str = "", level: int = 1) -> bytes:
    """A workbook with one cell that holds a text so many times."""
    inside = [text * 10_000] * (times // 10_000) + [after * 10_000] * (times // 10_000 if after else 0)
    return workbook(sheet('<row r="3"><c r="A3" t="inlineStr"><is>', *inside, "</is></c></row>"), level=level)


def styles() -> bytes:
    """A million formats: 9 kB that took openpyxl more than a minute."""
    before = f'<styleSheet xmlns="{MAIN}"><cellXfs>'
    return workbook(styles=repeated(before, "<xf/>", 1_000_000, "</cellXfs></styleSheet>"), level=9)


def lying() -> bytes:
    """Shared strings that declare a hundredth of what they hold."""
    whole = strings("<si><t>a</t></si>", 100_000)
    with zipfile.ZipFile(io.BytesIO(whole)) as packed:
        size = packed.getinfo("xl/sharedStrings.xml").file_size
    return whole.replace(size.to_bytes(4, "little"), (size // 100).to_bytes(4, "little"))


def entities() -> bytes:
    """A document type with entities in the sheet."""
    types = '<!DOCTYPE a [<!ENTITY b "bbbbbbbbbb"><!ENTITY c "&b;&b;&b;&b;">]>'
    return workbook([types, *sheet('<row r="3"><c r="A3" t="inlineStr"><is><t>&c;</t></is></c></row>')])


def two_faced(real: str = "worksheets/sheet1.xml", target: str = "", more: str = "") -> bytes:
    """A large sheet that is read, and a harmless one where who measures might look for it."""
    large = f'<worksheet xmlns="{MAIN}"><sheetData>{HEAD}<row r="150000"><c r="GR150000"><v>2</v></c></row></sheetData>'
    content = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(workbook())) as good, zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr(f"xl/{real}", f"{large}</worksheet>")
        for part in good.infolist():
            text = good.read(part).decode()
            if target:
                text = text.replace('Target="worksheets/sheet1.xml"', f'Target="{target}"')
            text = text.replace("</Relationships>", f"{more}</Relationships>")
            name = "xl/xl/worksheets/sheet1.xml" if target and "sheet1" in part.filename else part.filename
            packed.writestr(name, text)
    return content.getvalue()


def _relation(key: str, path: str) -> str:
    return f'<Relationship Id="{key}" Type="{OFFICE}/worksheet" Target="{path}"/>'


ATTACKS: dict[str, tuple[Callable[[], bytes], str]] = {
    "styles": (styles, "part_too_large"),
    "manycells": (lambda: workbook(sheet(f"<row>{'<c><v>1</v></c>' * 150}</row>", times=14_000)), "too_many_cells"),
    "rich": (lambda: in_a_cell("<r><t>a</t></r>", 3_000_000), "too_many_pieces"),
    "rich, packed more tightly": (lambda: in_a_cell("<r><t>a</t></r>", 3_000_000, level=9), "too_compressed"),
    "deepsheet": (lambda: in_a_cell("<is>", 2_000_000, "</is>"), "too_many_pieces"),
    "shared": (lambda: strings("<si><t>a</t></si>", 8_000_000), "part_too_large"),
    "shared, less of it": (lambda: strings("<si/>", 1_010_000), "too_many_texts"),
    "shared_empty": (lambda: strings("<si/>", 28_000_000), "part_too_large"),
    "shared, rich": (
        lambda: workbook(shared=[f'<sst xmlns="{MAIN}"><si>', "<r><t>a</t></r>" * 20_000, "</si></sst>"]),
        "too_many_pieces",
    ),
    "shared, lying": (lying, "damaged"),
    "far corners": (
        lambda: workbook(sheet('<row r="1048576"><c r="XFD1048576"><v>2</v></c></row>')),
        "too_many_columns",
    ),
    "far down": (lambda: workbook(sheet('<row r="1048576"><c r="A1048576"><v>2</v></c></row>')), "too_many_lines"),
    "mostly empty": (lambda: workbook(sheet('<row r="150000"><c r="GR150000"><v>2</v></c></row>')), "too_many_cells"),
    "one text in many cells": (
        lambda: workbook(
            sheet('<row><c t="s"><v>0</v></c></row>', times=700),
            shared=[f'<sst xmlns="{MAIN}"><si><t>{"A" * 30_000}</t></si></sst>'],
        ),
        "too_much_text",
    ),
    "a blank sheet of 160 MB": (lambda: workbook(sheet(" " * 1_000_000, times=160)), "unpacks_too_large"),
    "many parts": (lambda: workbook(parts=3_000), "too_many_parts"),
    "entities": (entities, "unreadable"),
    "a part twice, but for capitals": (lambda: two_faced("worksheets/SHEET1.xml"), "damaged"),
    "a path of two meanings": (lambda: two_faced(target="xl/worksheets/sheet1.xml"), "unreadable"),
    "a relation twice": (
        lambda: two_faced("worksheets/large.xml", more=_relation("worksheet", "worksheets/large.xml")),
        "unreadable",
    ),
}
"""What each is refused for; the first of each name are those that stopped the site (reviewed on 2026-11-21)."""
