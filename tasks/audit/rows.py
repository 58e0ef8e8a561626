"""Which delivered rows are usable: each other one is set aside with a reason that can be counted."""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path

from tasks.audit import images
from tasks.audit.chats import question, read_chat, said
from tasks.audit.images import Seen
from tasks.audit.table import Number, Raw, Rejected, excerpt
from tasks.params import Data

TEXT_MOST = 100_000  # characters; about 40 pages, far beyond what a base model reads at once
NAME_MOST = 200  # characters of a label, id or group
SURROGATE = re.compile("[\ud800-\udfff]")

REASONS = {
    "invalid_utf8": "bytes that are not UTF-8",
    "not_json": "the line is not JSON",
    "not_an_object": "the line is JSON, but no object with named values",
    "truncated_line": "the file stops in the middle of this row",
    "malformed_csv": "quotation marks in the wrong places",
    "ragged_row": "more or fewer fields than the first line has",
    "text_missing": "no text",
    "text_empty": "the text is empty or blank",
    "text_not_text": "the text is a number, a list or another thing that is no text",
    "text_control_characters": "the text has no visible character",
    "lone_surrogate": "half a character (a lone surrogate)",
    "too_long": f"a text over {TEXT_MOST:,} characters, or a line or CSV field too long to read",
    "messages_missing": "no messages",
    "messages_not_a_chat": "the messages are no list of a role (system, user, assistant) and a content each",
    "no_answer": "the chat does not end with an answer of the assistant to somebody",
    "rejected_not_text": "the rejected answer is no text, or the same as the chosen one",
    "label_missing": "no label",
    "label_not_text": "the label is a list or another thing that is neither text nor number",
    "label_too_long": f"a label over {NAME_MOST} characters",
    "id_not_text": f"the id is neither text nor number, or has over {NAME_MOST} characters",
    "group_not_text": f"the group is neither text nor number, or has over {NAME_MOST} characters",
    "id_reused": "other rows with another content or label have the same id",
    "conflicting_labels": "other rows with the same content have another label",
    "rare_label": "a label with too few rows to learn and to test",
    **images.REASONS,
}
"""All reasons, in plain words."""


@dataclass(frozen=True, slots=True)
class Row:
    """A usable row. `id` and `group` are empty where the file gives none; `worse` is a `Document`'s `rejected`."""

    row: int
    text: str
    label: str
    id: str
    group: str
    image: Seen | None = None
    """Of a row with an image; `text` is then its path, or empty."""
    messages: list[dict[str, str]] | None = None
    worse: str | None = None

    @property
    def content(self) -> str:
        """The text, or the hash of the image's pixels."""
        return self.image.key if self.image else self.text

    def rejected(self, reason: str) -> Rejected:
        return Rejected(self.row, reason, excerpt(self.text))


def checked(raw: Raw, data: Data, folder: Path) -> Row | Rejected:
    """`raw` as a Row with the columns that `data` names, or why it is unusable. The text stays as it is; an image is looked
    at, its path is relative to `folder`."""
    if data.image:
        return _with_image(raw, data, folder)
    chat = read_chat(raw.values, data.messages, data.rejected) if data.messages else None
    if isinstance(chat, str):
        return Rejected(raw.row, chat, excerpt(str(raw.values.get(data.messages or ""))))
    text = said(chat) if chat else raw.values.get(data.text or "")
    label, id_, group = (_named(raw.values, column) for column in (data.label, data.id, data.group))
    if (
        reason := _wrong_text(text)
        or (_wrong_label(label) if data.label else None)
        or _wrong_name("id", id_)
        or _wrong_name("group", group)
    ):
        shown = {column: raw.values.get(column) for column in (data.id, data.label, data.group, data.text) if column}
        return Rejected(raw.row, reason, excerpt(str(shown)))
    assert isinstance(text, str)
    if chat:
        return Row(raw.row, text, "", id_ or "", group or question(chat), None, chat.messages, chat.rejected)
    return Row(raw.row, text, label or "", id_ or "", group or "")


def _with_image(raw: Raw, data: Data, folder: Path) -> Row | Rejected:
    value = raw.values.get(data.image or "")
    label, id_, group = (_named(raw.values, column) for column in (data.label, data.id, data.group))
    reason = _wrong_label(label) or _wrong_name("id", id_) or _wrong_name("group", group)
    seen = reason or images.look(value, folder)
    if isinstance(seen, str):
        shown = {column: raw.values.get(column) for column in (data.id, data.label, data.group) if column}
        return Rejected(raw.row, seen, excerpt(str({"image": value if isinstance(value, str) else "bytes"} | shown)))
    return Row(raw.row, value if isinstance(value, str) else "", label or "", id_ or "", group or "", seen)


def spelled(value: object) -> str | None:
    """A label, id or group as text: JSON numbers as the file spells them, other numbers as Python does, true and false
    as JSON does, surrounding blanks cut. Empty for a missing one (null, NaN); None for what is no name (lists, ...)."""
    if value is None or (isinstance(value, float) and math.isnan(value)) or (isinstance(value, Number) and value == "NaN"):
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value).strip() if isinstance(value, str | int | float | Decimal | date) else None


def without_reused_ids(rows: Iterable[Row]) -> tuple[list[Row], list[Rejected]]:
    """Set aside all rows whose id another row has with other content: which of them is right, nobody can know."""
    rows = list(rows)
    said = defaultdict(set)
    for row in rows:
        if row.id:
            said[row.id].add((row.content, row.label))
    reused = {name for name, contents in said.items() if len(contents) > 1}
    return [row for row in rows if row.id not in reused], [row.rejected("id_reused") for row in rows if row.id in reused]


def count(rejected: Iterable[Rejected]) -> dict[str, int]:
    """Reason to number of rows, sorted by reason."""
    return dict(sorted(Counter(row.reason for row in rejected).items()))


def _named(values: dict[str, object], column: str | None) -> str | None:
    return spelled(values.get(column)) if column else ""


def _wrong_text(text: object) -> str | None:
    if text is None:
        return "text_missing"
    if not isinstance(text, str) or isinstance(text, Number):
        return "text_not_text"
    if len(text) > TEXT_MOST:
        return "too_long"
    if not text.strip(" \t\r\n"):
        return "text_empty"
    if SURROGATE.search(text):
        return "lone_surrogate"
    return None if _visible(text) else "text_control_characters"


def _visible(text: str) -> bool:
    """Whether any character is other than control, format, unassigned or blank (Unicode categories C* and Z*)."""
    return any(unicodedata.category(character)[0] not in "CZ" for character in text)


def _wrong_label(label: str | None) -> str | None:
    if label is None:
        return "label_not_text"
    if not label:
        return "label_missing"
    if len(label) > NAME_MOST:
        return "label_too_long"
    return "lone_surrogate" if SURROGATE.search(label) else None


def _wrong_name(what: str, name: str | None) -> str | None:
    if name is None or len(name) > NAME_MOST:
        return f"{what}_not_text"
    return "lone_surrogate" if SURROGATE.search(name) else None
