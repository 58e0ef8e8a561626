"""The support chat's conversations as rows."""

from tasks.example_chats import chats

CORPUS = """
categories: [tech support]
conversations:
- - My mouse   does nothing.
  - Try another port.
- - Hello
  - Hi
  - Is it on?
- - Nobody answers
- - 1
  - 2
"""


def test_every_second_line_is_the_assistants_and_a_question_without_an_answer_is_left_out() -> None:
    rows = list(chats("support", CORPUS))
    said = [[(m["role"], m["content"]) for m in row["messages"]] for row in rows]  # type: ignore[attr-defined]
    assert said == [
        [("user", "My mouse does nothing."), ("assistant", "Try another port.")],
        [("user", "Hello"), ("assistant", "Hi")],
        [("user", "1"), ("assistant", "2")],
    ]
    assert [row["id"] for row in rows] == ["support-0", "support-1", "support-3"]
