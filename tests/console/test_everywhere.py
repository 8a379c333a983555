"""What holds on every page: readable by everybody, on any screen, in both languages, and safe."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, Response, expect

from tests.console.conftest import CLUE, EVIL, READ_S, Console, opened, read_all

if TYPE_CHECKING:
    from tests.service.conftest import Service

PAGES = (
    *("people", "timeline", "search", "facts", "conflicts"),
    *("chat", "memory", "documents", "health"),
)
MORE = {"search": {"q": "Where does Ann live?"}}
NARROW = {"width": 360, "height": 740}
WIDE = {"width": 1280, "height": 900}


def faults(page: Page) -> list[str]:
    """What axe-core calls serious or critical."""
    # a script of the tests, in a world of its own: the page's policy holds for the page
    found = Axe().run(page).response["violations"]
    return [
        f"{one['id']}: {one['nodes'][0]['html'][:200]}"
        for one in found
        if one["impact"] in {"serious", "critical"}
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("locale", ["en-GB", "zh-CN"])
def test_axe_finds_nothing_serious(
    browser: Browser, place: Service, scheme: str, locale: str
) -> None:
    key = place.key(tenants=("default",))
    there = opened(
        browser, place, key, color_scheme=scheme, locale=locale, viewport=NARROW, bypass_csp=True
    )
    for name in PAGES:
        page = there.open(name, **MORE.get(name, {}))
        assert faults(page) == [], name
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= NARROW["width"], f"{name} is {wide} wide"
        assert page.evaluate("document.documentElement.lang")[:2] == locale[:2]
        there.shot(f"narrow-{name}-{scheme}-{locale[:2]}")
    there.page.context.close()


def test_axe_on_a_wide_screen_with_everything_open(browser: Browser, place: Service) -> None:
    key = place.key(tenants=("default",))
    there = opened(browser, place, key, bypass_csp=True)
    for name in PAGES:
        page = there.open(name, **MORE.get(name, {}))
        page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true })")
        page.wait_for_selector(".waiting", state="detached")
        assert faults(page) == [], name
    page = there.open("timeline")
    page.get_by_role("button", name="Forget everything…").click()
    assert faults(page) == []
    there.page.context.close()


@pytest.mark.parametrize(("scheme", "locale"), [("light", "en-GB"), ("dark", "zh-CN")])
@pytest.mark.parametrize("viewport", [NARROW, WIDE])
def test_axe_on_what_a_model_has_read_and_recalls(
    browser: Browser, remembering: Service, scheme: str, locale: str, viewport: Any
) -> None:
    read_all(remembering)
    key = remembering.key(tenants=("default",))
    look = {"color_scheme": scheme, "locale": locale, "viewport": viewport, "bypass_csp": True}
    there = opened(browser, remembering, key, **look)

    page = there.open("memory")
    page.locator("input[type=search]").fill("Where does Ann live?")
    page.locator("form button").click()
    # a tiny model has no head that points at anything: the page says so, and shows what was read
    expect(page.locator("section .hint").last).to_be_visible(timeout=READ_S * 1000)
    assert page.locator(".strip rect.block").count() >= 2
    check(there, viewport, f"memory-{scheme}")

    page = there.open("search")
    page.locator("summary").click()
    page.locator("form select").select_option("clues")
    page.locator("input[type=search]").fill("Where does Ann live?")
    page.locator("form button").click()
    expect(page.locator(".flow .link.clue").first).to_be_attached(timeout=READ_S * 1000)
    expect(page.locator(".flow ul .clue")).to_contain_text(CLUE)
    page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true })")
    check(there, viewport, f"clues-{scheme}")
    page.context.close()


def check(there: Console, viewport: Any, name: str) -> None:
    """That a page which fits what it shows is readable by everybody; keeps a picture of it."""
    width = viewport["width"]
    there.shot(f"{name}-{width}")
    assert faults(there.page) == []
    assert there.page.evaluate("document.documentElement.scrollWidth") <= width


def test_what_people_write_stays_text(console: Console) -> None:
    page = console.page
    page.goto(f"{console.url}/console/")
    expect(page.locator(".person").filter(has_text="onerror")).to_be_visible()
    for name in PAGES:
        console.open(name, EVIL, **MORE.get(name, {}))
        page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true })")
        page.wait_for_selector(".waiting", state="detached")
        assert page.evaluate("window.evil") is None
        assert page.locator("img:not([src='mark.svg'])").count() == 0
        expect(page.locator(".whose")).to_contain_text(EVIL)
    console.open("timeline", EVIL)
    expect(page.locator("article.saying")).to_contain_text(EVIL)


def test_the_name_of_a_file_stays_text(remembered: Console) -> None:
    name = f"{EVIL.replace('/', '')}.txt"
    page = remembered.open("documents", EVIL)
    page.get_by_label("Files").set_input_files(
        {"name": name, "mimeType": "text/plain", "buffer": b"A harbour is a place for ships. " * 4}
    )
    page.get_by_role("button", name="Read", exact=True).click()
    expect(page.locator(".names li")).to_contain_text("onerror")
    assert page.evaluate("window.evil") is None
    assert page.locator("img:not([src='mark.svg'])").count() == 0


def test_the_first_load_is_small_and_of_this_host_alone(browser: Browser, place: Service) -> None:
    there = opened(browser, place, place.root)
    loaded: list[Response] = []
    there.page.on("response", lambda one: loaded.append(one))
    complaints: list[str] = []
    there.page.on("console", lambda message: complaints.append(message.text))
    there.page.goto(f"{place.url}/console/")
    there.page.wait_for_load_state("networkidle")
    total = sum(len(one.body()) for one in loaded)
    assert len(loaded) > 10
    assert all(one.url.startswith(place.url) for one in loaded)
    assert total <= 300_000, total
    assert complaints == []
    there.page.evaluate(
        "const one = document.createElement('script'); one.textContent = 'window.evil = 1';"
        "document.body.append(one)"
    )
    assert there.page.evaluate("window.evil") is None  # the policy stops what is inline
    assert any("Content Security Policy" in one for one in complaints)
    there.page.context.close()


def test_the_keyboard_and_the_switches(console: Console) -> None:
    page = console.open("timeline")
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("Tab")
    expect(page.locator("#skip")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    page.keyboard.press("Tab")
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline != "none"
    for mark in ("header", "nav", "main"):
        assert page.locator(mark).count() == 1
    page.get_by_label("Light or dark").select_option("dark")
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.get_by_label("Language").select_option("zh")
    expect(page.get_by_role("heading", name="时间线")).to_be_visible()
    console.shot("dark-zh")
    page.reload()
    expect(page.get_by_role("heading", name="时间线")).to_be_visible()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == dark
    page.get_by_label("浅色或深色").select_option("light")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != dark
    kept = json.loads(page.evaluate("JSON.stringify({...localStorage})"))
    assert kept == {"memoryscope-theme": "light", "memoryscope-language": "zh"}
