"""Rows whose data are chats: a list of messages that ends with the assistant's answer, and perhaps a worse answer beside it."""

from __future__ import annotations

import json
from dataclasses import dataclass

from tasks.audit.table import Number

ROLES = ("system", "user", "assistant")
Message = dict[str, str]


@dataclass(frozen=True, slots=True)
class Chat:
    messages: list[Message]
    rejected: str | None


def read_chat(values: dict[str, object], column: str, rejected: str | None) -> Chat | str:
    """The chat of a row, or the reason why it is none. In CSV, the messages are JSON. Without `rejected` column, or where it is
    empty, there is no worse answer."""
    messages = _messages(values.get(column))
    if isinstance(messages, str):
        return messages
    worse = values.get(rejected) if rejected else None
    if worse is None or worse == "":
        return Chat(messages, None)
    if not isinstance(worse, str) or isinstance(worse, Number) or worse.strip() == messages[-1]["content"].strip():
        return "rejected_not_text"
    return Chat(messages, worse)


def said(chat: Chat) -> str:
    """What is read as the row's text: everything that was said, the system's message left out."""
    return "\n".join(message["content"] for message in chat.messages if message["role"] != "system")


def question(chat: Chat) -> str:
    """What the last answer answers to. Rows with the same question, whatever the answer, stay on one side of the split."""
    return "\n".join(message["content"] for message in chat.messages[:-1] if message["role"] != "system").strip().casefold()


def _messages(value: object) -> list[Message] | str:
    if value is None or value == "":
        return "messages_missing"
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return "messages_not_a_chat"
    if not isinstance(value, list) or not value or not all(map(_is_message, value)):
        return "messages_not_a_chat"
    found = [{"role": str(message["role"]), "content": str(message["content"])} for message in value]
    answers = [message["role"] == "assistant" and bool(message["content"].strip()) for message in found]
    return found if answers[-1] and any(message["role"] == "user" for message in found[:-1]) else "no_answer"


def _is_message(value: object) -> bool:
    if not isinstance(value, dict) or value.get("role") not in ROLES:
        return False
    content = value.get("content")
    return isinstance(content, str) and not isinstance(content, Number)
