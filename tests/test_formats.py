"""Parsers of other programs' chat logs: what is read, and that a bad line costs only itself."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memoryscope_rag import InvalidInput, NewMessage
from memoryscope_rag.formats import (
    Conversation,
    Parsed,
    Problem,
    as_line,
    detect,
    locomo_time,
    parse_locomo,
    parse_openai,
)
from memoryscope_rag.operations.portability import message_from_dict

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
HI = {"role": "user", "content": "hi"}
HELLO = {"role": "assistant", "content": "hello", "name": "Bot"}
OURS = {
    "type": "message",
    "id": "m",
    "session_id": "s",
    "role": "user",
    "content": "hi",
    "created_at": "2026-03-02T09:00:00+00:00",
}
SAMPLE = {
    "sample_id": "conv-1",
    "conversation": {
        "speaker_a": "Cara",
        "speaker_b": "Mel",
        "session_10_date_time": "12:05 am on 9 May, 2023",
        "session_10": [{"speaker": "Mel", "dia_id": "D10:1", "text": "later"}],
        "session_2_date_time": "1:56 pm on 8 May, 2023",
        "session_2": [
            {"speaker": "Cara", "dia_id": "D2:1", "text": "first"},
            {"speaker": "Mel", "dia_id": "D2:2", "text": "look", "blip_caption": "a dog"},
            {"speaker": "Mel", "text": "no id"},
        ],
        "session_3_date_time": "yesterday",
        "session_3": [],
    },
}


def openai(text: str) -> list[Parsed]:
    return list(parse_openai(text, session_id="log", start=START))


def messages(parsed: list[Parsed]) -> list[NewMessage]:
    return [item for _, item in parsed if isinstance(item, NewMessage)]


def problems(parsed: list[Parsed]) -> list[tuple[int, str]]:
    return [(line, item.reason) for line, item in parsed if isinstance(item, Problem)]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (json.dumps([HI, HELLO]), "openai"),
        (json.dumps([HI, HELLO], indent=2), "openai"),
        (json.dumps(HI), "openai"),
        (json.dumps({"messages": [HI]}, indent=1), "openai"),
        (json.dumps({"type": "message", **HI}), "openai"),
        (json.dumps(OURS), "memoryscope"),
        ('{"type": "node", "versions": []}', "memoryscope"),
        ("{broken\n" + json.dumps(OURS), "memoryscope"),
        (json.dumps(SAMPLE), "locomo"),
        (json.dumps([SAMPLE], indent=4), "locomo"),
    ],
)
def test_the_format_is_told_from_the_content(text: str, wanted: str) -> None:
    assert detect(text) == wanted


@pytest.mark.parametrize("text", ["", "\n\n", "hello", "[]", "{}", "[1, 2]", '{"a": 1}'])
def test_what_is_none_of_them_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="memoryscope, openai, locomo"):
        detect(text)


@pytest.mark.parametrize(
    "text",
    [
        json.dumps([HI, HELLO]),
        json.dumps([HI, HELLO], indent=2),
        json.dumps(HI) + "\n\n" + json.dumps(HELLO) + "\n",
        json.dumps({"messages": [HI, HELLO]}),
        json.dumps({"messages": [HI, HELLO]}, indent=2),
    ],
)
def test_every_way_of_writing_openai_messages_gives_the_same(text: str) -> None:
    first, second = messages(openai(text))
    assert (first.role, first.content, first.speaker) == ("user", "hi", None)
    assert (second.role, second.content, second.speaker) == ("assistant", "hello", "Bot")
    assert (first.created_at, second.created_at) == (START, START + timedelta(seconds=1))
    assert {first.session_id, second.session_id} == {"log"}
    assert [m.id for m in messages(openai(text))] == [first.id, second.id]
    assert first.id != second.id


def test_conversations_of_one_file_are_sessions_of_their_own() -> None:
    text = "\n".join(json.dumps({"messages": [HI]}) for _ in range(2))
    first, second = messages(openai(text))
    assert (first.session_id, second.session_id) == ("log", "log-2")
    assert first.id != second.id


def test_ids_hold_when_the_log_grows() -> None:
    before = messages(openai(json.dumps([HI, HELLO])))
    after = messages(openai(json.dumps([HI, HELLO, HI])))
    assert [m.id for m in after][:2] == [m.id for m in before]
    assert after[2].id != after[0].id


def test_parts_roles_times_and_ids_are_used_where_they_are_given() -> None:
    parts = [{"type": "text", "text": "look"}, {"type": "image_url"}, {"text": "a cat"}]
    rows = [
        {"role": "user", "content": parts, "id": "x1", "created_at": 1_700_000_000},
        {"role": "developer", "content": "be kind", "timestamp": "2026-01-01T00:00:00+08:00"},
        {"role": "function", "content": "42", "timestamp": "2026-01-01T00:00:00"},
        {"role": "assistant", "content": None, "tool_calls": [{}]},
    ]
    first, second, third = messages(openai(json.dumps(rows)))
    assert (first.id, first.content) == ("x1", "look\na cat")
    assert first.created_at == datetime.fromtimestamp(1_700_000_000, UTC)
    assert (second.role, third.role) == ("system", "tool")
    assert second.created_at.isoformat() == "2026-01-01T00:00:00+08:00"
    assert third.created_at == datetime(2026, 1, 1, tzinfo=UTC)


def test_a_bad_line_is_named_and_the_rest_is_read() -> None:
    rows = [
        json.dumps(HI),
        "{broken",
        '{"role": "robot", "content": "x"}',
        "7",
        '{"role": "user", "content": 7}',
        '{"role": "user", "content": "x", "created_at": "soon"}',
        '{"role": "user", "content": "x", "created_at": 1e300}',
        '{"role": "user", "content": "x", "name": 7}',
        '{"role": "user", "content": "\\ud800"}',
        "[" * 100_000,
        json.dumps(HELLO),
    ]
    parsed = openai("\n".join(rows))
    assert [m.content for m in messages(parsed)] == ["hi", "hello"]
    assert [line for line, _ in problems(parsed)] == [2, 3, 4, 5, 6, 7, 8, 9, 10]


def test_a_list_is_read_up_to_where_it_breaks() -> None:
    text = json.dumps([HI, HELLO], indent=2).removesuffix("]") + ', {"role": \n]'
    parsed = openai(text)
    assert [m.content for m in messages(parsed)] == ["hi", "hello"]
    (problem,) = problems(parsed)
    assert problem[0] > 8
    assert "rest of the list" in problem[1]
    assert problems(openai("[\n" + json.dumps(HI) + ",\n")) == [(3, "the list has no end")]


def test_line_separators_inside_text_do_not_split_lines() -> None:
    row = json.dumps({"role": "user", "content": "a\u2028b\u0085c"}, ensure_ascii=False)
    assert [m.content for m in messages(openai(row + "\n" + row))] == ["a\u2028b\u0085c"] * 2


def test_locomo() -> None:
    ((line, conversation),) = parse_locomo(json.dumps(SAMPLE), zone=ZoneInfo("Asia/Shanghai"))
    assert isinstance(conversation, Conversation)
    assert (line, conversation.name) == (1, "conv-1")
    first, second, third = messages(list(conversation.lines))
    assert [m.id for m in (first, second, third)] == ["conv-1:D2:1", "conv-1:D2:2", "conv-1:D10:1"]
    assert (first.role, second.role) == ("user", "assistant")
    assert second.content == "look [shares a dog]"
    assert first.created_at.isoformat() == "2023-05-08T13:56:00+08:00"
    assert second.created_at - first.created_at == timedelta(seconds=30)
    assert third.created_at.hour == 0
    reasons = [reason for _, reason in problems(list(conversation.lines))]
    assert len(reasons) == 2
    assert "turn 3: dia_id" in reasons[0]
    assert "session_3: date_time" in reasons[1]


def test_locomo_reports_what_is_no_sample() -> None:
    text = "\n".join([json.dumps(SAMPLE), "{}", "[1]", "{x"])
    parsed = list(parse_locomo(text))
    assert [isinstance(item, Problem) for _, item in parsed] == [False, True, True, True]
    assert [line for line, _ in parsed] == [1, 2, 3, 4]


@pytest.mark.parametrize("text", [None, "", "1:56 pm on 8 Mai, 2023", "1:99 pm on 31 June, 2023"])
def test_a_wrong_locomo_time_is_refused(text: object) -> None:
    with pytest.raises(InvalidInput, match="date_time"):
        locomo_time(text)


@given(st.text(max_size=300))
def test_no_text_breaks_a_parser(text: str) -> None:
    openai(text)
    list(parse_locomo(text))
    for opening in ("[", '{"role": "user", "content": ', "[{"):
        openai(opening + text)


@given(st.lists(st.fixed_dictionaries({"role": st.just("user"), "content": st.text(min_size=1)})))
def test_texts_come_through_letter_for_letter(rows: list[dict[str, str]]) -> None:
    clean = [row for row in rows if row["content"].isprintable()]
    for text in (json.dumps(clean, indent=1), "\n".join(json.dumps(row) for row in clean)):
        read = messages(openai(text))
        assert [m.content for m in read] == [row["content"] for row in clean]
        assert [message_from_dict(json.loads(as_line(m))) for m in read] == read
