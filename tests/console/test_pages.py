"""What people do in the console, page by page."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Browser, expect

from tests.console.conftest import Console, opened
from tests.documents.test_reading import pdf, word_file

if TYPE_CHECKING:
    from tests.service.conftest import Service


def test_signing_in_and_out(browser: Browser, place: Service) -> None:
    context = browser.new_context(locale="en-GB")
    page = context.new_page()
    page.goto(f"{place.url}/console/")
    page.get_by_label("API key").fill("msk_wrong_key")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("does not know this key")
    Console(page, place.url).shot("sign-in")
    page.get_by_label("API key").fill(place.key(tenants=("default",)))
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="People")).to_be_visible()
    assert "msk_" not in page.evaluate("JSON.stringify({...localStorage})")
    assert "msk_" in page.evaluate("JSON.stringify({...sessionStorage})")
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("API key")).to_be_visible()
    assert "msk_" not in page.evaluate("JSON.stringify({...sessionStorage})")
    context.close()


def test_people_lead_to_their_timeline(console: Console) -> None:
    console.page.goto(f"{console.url}/console/")
    console.page.get_by_role("link", name=re.compile("ann")).click()
    page = console.page
    expect(page.get_by_role("heading", name="Timeline")).to_be_focused()
    expect(page.locator("[data-session]")).to_have_count(2)
    expect(page.get_by_text("I live in Bristol with my cat Otto.")).to_be_visible()
    expect(page.locator(".line circle")).to_have_count(2)
    expect(page.get_by_role("link", name="Timeline")).to_have_attribute("aria-current", "page")
    console.shot("timeline")


def test_a_long_log_comes_in_pages(console: Console, place: Service) -> None:
    from memoryscope_rag.schema import NewMessage, utc_now

    with place.client(tenants=("default",)) as client:
        said = [NewMessage(f"l{n}", "long", "user", f"Line {n}.", utc_now()) for n in range(450)]
        client.record_many(said, scope="long")
    page = console.open("timeline", "long")
    expect(page.get_by_text("Line 449.")).to_be_visible()
    expect(page.get_by_text("Line 0.", exact=True)).to_have_count(0)
    page.get_by_role("button", name="Earlier messages").click()
    expect(page.get_by_text("Line 0.", exact=True)).to_have_count(1)
    expect(page.locator("article.saying")).to_have_count(450)
    expect(page.get_by_role("button", name="Earlier messages")).to_have_count(0)


def test_nothing_earlier_is_offered_where_the_first_was_forgotten(
    console: Console, place: Service
) -> None:
    with place.client(tenants=("default",)) as client:
        for number in range(2):
            client.record(f"Kept {number}", scope="short", message_id=f"s{number}")
        client.forget(scope="short", message_ids=["s0"])
    page = console.open("timeline", "short")
    expect(page.get_by_text("Kept 1")).to_be_visible()
    expect(page.get_by_role("button", name="Earlier messages")).to_have_count(0)


def test_search_shows_why(console: Console) -> None:
    page = console.open("search")
    page.get_by_label("Question").fill("Where does Ann live? And what is her cat called?")
    page.get_by_role("button", name="Search").click()
    first = page.locator(".result").first
    expect(first).to_contain_text(re.compile("Leith|Otto"))
    assert first.locator(".bars tbody tr").count() >= 5
    widths = first.locator(".bars rect").evaluate_all(
        "all => all.map(r => +r.getAttribute('width'))"
    )
    assert max(widths) > 10
    expect(page.locator(".flow path").first).to_be_attached()
    console.shot("search")
    page.reload()
    expect(page.locator(".result").first).to_be_visible()  # the question stands in the #


def test_facts_are_read_edited_closed_and_removed(console: Console) -> None:
    page = console.open("facts")
    fact = page.locator("article.fact").filter(has_text="Ann lives in Leith.")
    fact.get_by_text("History and sources").click()
    expect(fact).to_contain_text("We have moved: I live in Leith now.")
    page.get_by_text("Write a note").click()
    page.get_by_label("What it should say").fill("Ann likes plums.")
    page.get_by_role("button", name="Keep").click()
    note = page.locator("article.fact").filter(has_text="plums")
    note.get_by_role("button", name="Edit").click()
    page.get_by_label("What it should say").last.fill("Ann likes plums and pears.")
    page.get_by_role("button", name="Save").click()
    note.get_by_text("History and sources").click()
    expect(note.locator(".versions")).to_contain_text("Ann likes plums.")
    expect(note).to_contain_text("version 2")
    console.shot("facts")
    note.get_by_role("button", name="No longer true").click()
    expect(note).to_contain_text("true until")
    note.get_by_role("button", name="Remove…").click()
    page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    page.get_by_role("dialog").get_by_role("button", name="Close").click()
    expect(note).to_have_count(0)
    expect(page.get_by_text("Ann lives in Bristol.")).to_have_count(0)
    page.get_by_label("Also what is no longer true").check()
    expect(page.get_by_text("Ann lives in Bristol.")).to_be_visible()


def test_a_conflict_is_settled_for_the_earlier_fact(console: Console, place: Service) -> None:
    page = console.open("conflicts")
    pair = page.locator(".conflict")
    expect(pair).to_contain_text("Ann lives in Bristol.")
    expect(pair).to_contain_text("The later statement contradicts the earlier one.")
    console.shot("conflicts")
    pair.get_by_role("button", name="The earlier one is true").click()
    page.get_by_role("dialog").get_by_role("button", name="The earlier one is true").click()
    expect(page.locator(".conflict")).to_have_count(0)
    expect(page.get_by_role("heading", name="No conflicts")).to_be_visible()
    with place.client(tenants=("default",)) as client:
        known = [
            node.content for node in client.list(scope="ann", kinds=["observation", "note"]).items
        ]
        assert known == ["Ann lives in Bristol."]


@pytest.mark.parametrize("closed", [True, "reason of another program"])
def test_a_conflict_is_shown_whatever_an_import_says_closed_it(
    console: Console, place: Service, closed: object
) -> None:
    person = f"imported-{closed}"
    since, until = "2026-02-03T19:10:00+00:00", "2026-05-25T19:40:00+00:00"
    note: dict[str, object] = {"kind": "note", "said_at": since, "valid_from": since}
    later = {**note, "id": "later", "content": "Eve lives in Leith."}
    earlier = {**note, "id": "earlier", "content": "Eve lives in Bristol.", "valid_to": until}
    earlier |= {"superseded_by": "later", "metadata": {"closed": closed}}
    lines = [json.dumps({"type": "node", "versions": [one]}) for one in (earlier, later)]
    with place.client(tenants=("default",)) as client:
        assert not client.import_(lines, scope=person).problems
    page = console.open("conflicts", person)
    expect(page.locator(".conflict")).to_contain_text("Eve lives in Bristol.")
    expect(page.locator(".conflict .hint")).to_have_count(0)


def test_forgetting_is_proven(console: Console, place: Service) -> None:
    with place.client(tenants=("default",)) as client:
        for number in range(4):
            session = "one" if number < 3 else "two"
            client.record(f"Secret {number}", scope="bob", session_id=session)
        page = console.open("timeline", "bob")
        page.get_by_role("checkbox").first.check()
        page.get_by_role("button", name="Forget this message…").click()
        dialog = page.get_by_role("dialog")
        dialog.get_by_role("button", name="Cancel").click()
        page.get_by_role("button", name="Forget this message…").click()
        dialog.get_by_role("button", name="Forget").click()
        expect(dialog).to_contain_text("Forgotten, and proven")
        console.shot("forgotten")
        dialog.get_by_role("button", name="Close").click()
        expect(page.get_by_text("Secret 0")).to_have_count(0)
        page.get_by_role("button", name="Forget session…").first.click()
        dialog.get_by_role("button", name="Forget").click()
        dialog.get_by_role("button", name="Close").click()
        expect(page.locator("article.saying")).to_have_count(1)
        page.get_by_role("button", name="Forget everything…").click()
        expect(dialog.get_by_role("button", name="Forget")).to_be_disabled()
        dialog.get_by_label("Type bob to go on").fill("bob")
        dialog.get_by_role("button", name="Forget").click()
        expect(dialog).to_contain_text("Forgotten, and proven")
        dialog.get_by_role("button", name="Close").click()
        expect(page.get_by_role("heading", name="Nothing was said yet")).to_be_visible()
        assert client.messages(scope="bob") == ()


def test_chat_streams_and_stops(console: Console, place: Service) -> None:
    page = console.open("chat", "carl")
    expect(page.get_by_text("Say something to served.")).to_be_visible()
    page.get_by_label("Your message").fill("Where do I live?")
    page.get_by_label("Your message").press("Enter")
    expect(page.get_by_role("log")).to_contain_text("You live there.")
    page.get_by_label("Your message").fill("Tell me slowly")
    page.get_by_role("button", name="Send").click()
    expect(page.locator(".saying.assistant").last).to_contain_text("You live")
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_text("Stopped.")).to_be_visible()
    console.shot("chat")
    with place.client(tenants=("default",)) as client:
        said = [message.content for message in client.messages(scope="carl")]
        assert said[:2] == ["Where do I live?", "You live there."]


def test_the_beacon_memory_is_read_and_asked(remembered: Console) -> None:
    page = remembered.open("memory")
    page.get_by_role("button", name="Read what is new").click()
    # reading stands back where others want the processor
    expect(page.locator(".figures")).to_contain_text("4 of 4", timeout=240_000)
    assert page.locator(".strip rect").count() >= 2
    page.get_by_label("Question").fill("Where does Ann live?")
    page.get_by_role("button", name="Show").click()
    shown = page.locator(".drawn, .page .hint").last
    expect(shown).to_be_visible()
    remembered.shot("memory")
    with page.expect_response("**/v1/coverage"):  # reading again leaves what was asked
        page.get_by_role("button", name="Read what is new").click()
    page.wait_for_load_state("networkidle")
    expect(shown).to_be_visible()
    page.get_by_role("button", name="Remove this memory").click()
    page.get_by_role("dialog").get_by_role("button", name="Remove this memory").click()
    expect(page.get_by_text("Nothing has been read yet.")).to_be_visible()


def test_documents_are_uploaded_asked_and_removed(remembered: Console, tmp_path: Path) -> None:
    story = "The harbour of Leith was built in 1806. " * 20
    text, marked = tmp_path / "harbour.txt", tmp_path / "keeper.md"
    text.write_text(story, "utf-8")
    marked.write_text("# The keeper\n\nThe lighthouse keeper was Morag Sinclair.", "utf-8")
    good = [
        text,
        marked,
        pdf(tmp_path / "a.pdf", ["The boiler is old."]),
        word_file(tmp_path / "b.docx"),
    ]
    page = remembered.open("documents")
    page.get_by_label("Files").set_input_files(good)
    page.get_by_role("button", name="Read", exact=True).click()
    corpus = page.locator(".corpus")
    expect(corpus.locator(".names li")).to_have_count(4, timeout=120_000)
    corpus.get_by_label("Question").fill("Who was the lighthouse keeper?")
    for task in ("memorag", "qa", "summarize"):
        corpus.get_by_label("Task").select_option(task)
        corpus.get_by_role("button", name="Ask").click()
        expect(corpus.get_by_role("button", name="Ask")).to_be_enabled(timeout=120_000)
        expect(corpus.locator(".answer .words").first).to_be_visible()
        if task == "memorag":
            expect(corpus.locator(".passage").filter(has_text="Morag").first).to_be_visible()
            remembered.shot("documents")
    page.get_by_label("Files").set_input_files(
        {"name": "old.doc", "mimeType": "application/msword", "buffer": b"x"}
    )
    page.get_by_role("button", name="Read", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("old.doc ends in '.doc'")
    page.get_by_label("Files").set_input_files(marked)
    page.get_by_role("button", name="Read", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("keeper.md")  # it is there already
    corpus.get_by_role("button", name="Remove collection…").click()
    page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    expect(page.get_by_role("heading", name="No documents yet")).to_be_visible()


def test_health_and_costs(browser: Browser, place: Service) -> None:
    whole = opened(browser, place, place.root)
    whole.page.goto(f"{place.url}/console/#/health")
    page = whole.page
    expect(page.get_by_text("Store: well")).to_be_visible()
    expect(page.get_by_role("rowheader", name="served")).to_be_visible()
    expect(page.get_by_role("rowheader", name="/v1/retrieve")).to_be_visible()
    whole.shot("health")
    page.context.close()


def test_a_key_that_may_only_read_is_offered_no_more(browser: Browser, place: Service) -> None:
    reader = opened(browser, place, place.key("read", tenants=("default",)))
    page = reader.page
    page.goto(f"{place.url}/console/")
    page.get_by_label("User").fill("ann")
    page.get_by_role("button", name="Open", exact=True).click()
    expect(page.locator("article.saying").first).to_be_visible()
    expect(page.get_by_role("button", name=re.compile("Forget"))).to_have_count(0)
    reader.open("facts")
    expect(page.get_by_role("button", name=re.compile("Edit|Remove|Consolidate"))).to_have_count(0)
    page.context.close()
