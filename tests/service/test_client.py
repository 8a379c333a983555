"""Both clients against a real service: what the application does, it does from afar."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from memoryscope_rag import InvalidInput, NewMessage, Scope
from memoryscope_rag.client import AsyncClient, Client, Patience
from memoryscope_rag.errors import ConfigError, DuplicateId, StoreUnavailable, UnknownId
from memoryscope_rag.schema import Event, Grain, Interval
from tests.service.conftest import Service

MAY = datetime(2026, 5, 3, 14, 2, tzinfo=UTC)


@pytest.fixture
def client(service: Service) -> Iterator[Client]:
    with service.client(tenants=("acme",)) as made:
        yield made


def test_what_is_recorded_is_found(client: Client) -> None:
    done = client.record("I moved to Lisbon", scope="ann", speaker="Ann", metadata={"n": 1})
    assert done.status == "stored"
    assert done.message.scope == Scope("ann", tenant_id="acme")
    assert dict(done.message.metadata) == {"n": 1}
    found = client.retrieve("Who moved to Lisbon?", scope="ann", floor=False, explain=True)
    assert [item.node.content for item in found] == ["I moved to Lisbon"]
    assert "I moved to Lisbon" in found.text
    assert found.items[0].parts
    assert client.messages(scope="ann") == (done.message,)


def test_a_message_sent_again_is_known(client: Client) -> None:
    for status in ("stored", "known"):
        again = client.record("hello", scope="again", message_id="m1")
        assert again.status == status
    with pytest.raises(DuplicateId, match="message_id"):
        client.record("goodbye", scope="again", message_id="m1")


def test_many_have_an_outcome_each(client: Client) -> None:
    client.record("taken", scope="many", message_id="m1")
    batch = [NewMessage(f"m{n}", "s", "user", f"text {n}", MAY) for n in range(4)]
    done = client.record_each(batch, scope="many")
    assert [outcome.status for outcome in done] == ["stored", "refused", "stored", "stored"]
    assert done[1].message.content == "taken"
    with pytest.raises(DuplicateId, match=r"'m1'.*3 of 4 messages are stored"):
        client.record_many(batch, scope="many")


def test_the_log_comes_in_pages(client: Client) -> None:
    batch = [NewMessage(f"p{n}", "s", "user", f"text {n}", MAY) for n in range(7)]
    client.record_many(batch, scope="pages")
    seen: list[str] = []
    after = 0
    while page := client.messages(scope="pages", after=after, limit=3):
        seen += [message.id for message in page]
        after = page[-1].seq
    assert seen == [f"p{n}" for n in range(7)]


def test_facts_are_changed_closed_and_removed(client: Client) -> None:
    when = Event(Interval(MAY, None), Grain.DAY)
    note = client.add_note("Ann likes tea", scope="facts", said_at=MAY, event=when)
    assert note.event == when
    assert client.add_note("Ann likes tea", scope="facts") == note
    changed = client.update(note.id, "Ann likes coffee", scope="facts", metadata={"by": "host"})
    assert changed.version == 2
    assert [node.content for node in client.history(note.id, scope="facts")] == [
        "Ann likes tea",
        "Ann likes coffee",
    ]
    assert client.get(note.id, scope="facts") == changed
    assert client.expire(note.id, scope="facts").valid_to is not None
    assert client.list(scope="facts").items == ()
    (listed,) = client.list(scope="facts", closed=True, kinds=["note"]).items
    assert listed.id == note.id
    client.delete(note.id, scope="facts")
    with pytest.raises(UnknownId, match="node id"):
        client.get(note.id, scope="facts")


def test_nodes_come_in_pages(client: Client) -> None:
    for number in range(5):
        client.add_note(f"fact {number}", scope="paged")
    first = client.list(scope="paged", limit=3)
    rest = client.list(scope="paged", limit=3, cursor=first.cursor)
    assert len({node.id for node in (*first.items, *rest.items)}) == 5
    assert rest.cursor is None


def test_what_is_forgotten_is_gone(client: Client) -> None:
    client.record("a secret", scope="gone", message_id="m1")
    forgotten = client.forget(scope="gone", message_ids=["m1"])
    assert (forgotten.messages, forgotten.proven) == (1, True)
    assert client.messages(scope="gone") == ()
    with pytest.raises(UnknownId):
        client.forget(scope="gone", message_ids=["m1"])
    with pytest.raises(InvalidInput, match="exactly one"):
        client.forget(scope="gone")


def test_export_and_import_are_whole(client: Client) -> None:
    client.record("line\u2028separator and 你好", scope="here", message_id="m1")
    client.add_note("a note", scope="here")
    lines = list(client.export(scope="here"))
    assert [json.loads(line)["type"] for line in lines] == ["message", "node"]
    report = client.import_([*lines, "no JSON"], scope=Scope("there", "bot", "acme"))
    assert (report.stored, report.facts, [number for number, _ in report.problems]) == (1, 1, [3])
    assert list(client.export(scope=Scope("there", "bot", "acme"))) == lines


def test_the_backend_can_be_asked(client: Client) -> None:
    client.record("I live in Lisbon. I work as a vet.", scope="back")
    assert client.flush(scope="back") == 0
    assert client.consolidate(scope="back").messages == 0
    assert client.reflect(scope="back").looked_at >= 0
    assert client.retry_parked(scope="back") == 0
    stats = client.stats(scope="back")
    assert (stats.messages, stats.pending) == (1, 0)


def test_without_a_chat_model_a_chat_says_so(client: Client) -> None:
    with pytest.raises(ConfigError, match=r"generator\.provider"):
        client.chat("hello", scope="ann")


def test_wrong_input_names_the_field(client: Client) -> None:
    with pytest.raises(InvalidInput, match=r"body\.limit"):
        client.retrieve("hello", scope="ann", limit=0)
    with pytest.raises(InvalidInput, match="time_zone"):
        client.retrieve("hello", scope="ann", time_zone="Nowhere/Here")


def test_the_async_client_does_the_same(service: Service) -> None:
    async def main() -> None:
        async with service.async_client(tenants=("loop",)) as client:
            await asyncio.gather(*(client.record(f"text {n}", scope="ann") for n in range(20)))
            found = await client.retrieve("text", scope="ann", floor=False, limit=30)
            assert len(found) == 20
            note = await client.add_note("a note", scope="ann")
            assert (await client.update(note.id, "another", scope="ann")).content == "another"
            await client.delete(note.id, scope="ann")
            lines = [line async for line in client.export(scope="ann")]
            assert len(lines) == 20
            assert (await client.import_(lines, scope="bob")).stored == 20
            assert (await client.forget(scope="bob", everything=True)).messages == 20
            assert (await client.stats(scope="bob")).messages == 0

    asyncio.run(main())


def test_a_service_that_is_away_says_so() -> None:
    hasty = Patience(attempts=2, first_wait_s=0.01)
    with Client("http://127.0.0.1:9", patience=hasty) as client:
        with pytest.raises(StoreUnavailable, match="does not answer"):
            client.record("hello", scope="ann")
        with pytest.raises(StoreUnavailable, match="does not answer"):
            list(client.export(scope="ann"))

    async def main() -> None:
        async with AsyncClient("http://127.0.0.1:9", patience=hasty) as client:
            with pytest.raises(StoreUnavailable, match="does not answer"):
                await client.record("hello", scope="ann")

    asyncio.run(main())
