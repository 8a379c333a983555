"""The console in a real browser, before a real service.

``MEMORYSCOPE_TEST_CONSOLE=1`` (``make test-console``) runs these tests with the system's Chromium,
or the one that ``MEMORYSCOPE_TEST_CHROMIUM`` names, and they fail where there is none.
``MEMORYSCOPE_TEST_CONSOLE_SHOTS`` names a folder for pictures of what they see.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

    from tests.service.conftest import Service

WANTED = bool(os.environ.get("MEMORYSCOPE_TEST_CONSOLE"))
HERE = {"test_files.py"}
"""What needs no browser."""
collect_ignore = [
    path.name
    for path in Path(__file__).parent.glob("test_*.py")
    if path.name not in HERE and not WANTED
]
ARGUMENTS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-sync "
    "--disable-background-networking --disable-component-update"
)
WAIT_MS = 60_000
"""Machines of tests are slow at times."""
READ_S = 60.0
"""For a model, which reading stands back with where others want the processor."""
EVIL = '<img src=x onerror="window.evil=1"><script>window.evil=1</script>'
"""What must stay text wherever people may write."""
CLUE = "fine cat."
"""What the tiny model recalls, whatever it is asked: something that Ann was told."""


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One Chromium for all tests."""
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=WAIT_MS)
    names = ("chromium", "chromium-browser", "google-chrome")
    found = os.environ.get("MEMORYSCOPE_TEST_CHROMIUM") or next(
        filter(None, map(shutil.which, names))
    )
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=found, args=ARGUMENTS.split())
        yield opened
        opened.close()


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service with keys, a scripted chat model, and people."""
    yield from _started(tmp_path_factory)


@pytest.fixture(scope="session")
def remembering(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The same with a tiny model that remembers."""
    from tests.beacon.memories import config, made

    model = made(tmp_path_factory.mktemp("model") / "tiny", says=CLUE)
    memory = config(model, ratio=4).model_dump(mode="json", exclude_defaults=True)
    yield from _started(tmp_path_factory, memory=memory)


def _started(folders: pytest.TempPathFactory, **sections: Any) -> Iterator[Service]:
    from memoryscope_rag.testing.scripted_server import scripted_server
    from tests.service.conftest import start_in

    with ExitStack() as stack:
        url = f"{stack.enter_context(scripted_server(_script)).url}/v1"
        service = start_in(folders.mktemp("console"), stack)(
            embedder={"name": "all-minilm-l6-v2"},
            generator={"provider": "vllm", "model": "served", "base_url": url, "retries": 0},
            schedule={"close_s": 0, "consolidate_every_s": 9999, "after_idle_s": 9999},
            **sections,
        )
        _tell(service)
        yield service


def read_all(service: Service) -> None:
    """Let the model that remembers read what Ann has said."""
    from memoryscope_rag.client import Client, Patience

    key = service.key(tenants=("default",))
    patience = Patience(timeout_s=READ_S, deadline_s=READ_S)
    with Client(service.url, key=key, patience=patience) as client:
        report = client.refresh(scope="ann")
        assert not report.failed
        while report.busy or report.left:  # the background reads it at this moment
            time.sleep(0.5)
            report = client.refresh(scope="ann")


def _script(request: Any) -> Any:
    from memoryscope_rag.testing.wire import openai_chat, openai_stream

    if request.body.get("stream"):
        slow = "slowly" in request.body["messages"][-1]["content"]
        return openai_stream(["You live ", 20.0, "in Lisbon."] if slow else ["You live ", "there."])
    return openai_chat("The keeper was Morag Sinclair.")


def _tell(service: Service) -> None:
    """Ann's two sessions, a fact of hers that changed, and someone who means harm."""
    with service.client(tenants=("*",)) as client:
        said = [
            ("one", "2026-02-03T19:10:00+00:00", "user", "I live in Bristol with my cat Otto."),
            ("one", "2026-02-03T19:11:00+00:00", "assistant", "Otto sounds like a fine cat."),
            ("two", "2026-05-25T20:40:00+01:00", "user", "We have moved: I live in Leith now."),
            ("two", "2026-05-25T20:41:00+01:00", "assistant", "Leith! How do you like it there?"),
        ]
        lines = [
            json.dumps(
                {
                    "type": "message",
                    "id": f"m{number}",
                    "session_id": session,
                    "role": role,
                    "speaker": "Ann" if role == "user" else None,
                    "content": content,
                    "created_at": when,
                }
            )
            for number, (session, when, role, content) in enumerate(said)
        ]
        facts = [
            ("old", "Ann lives in Bristol.", "m0", said[0][1], said[2][1], "new"),
            ("new", "Ann lives in Leith.", "m2", said[2][1], None, None),
        ]
        for name, content, source, since, until, by in facts:
            version = {
                "id": name,
                "kind": "observation",
                "content": content,
                "said_at": since,
                "provenance": [source],
                "valid_from": since,
                "valid_to": until,
                "superseded_by": by,
                "speaker": "Ann",
                "metadata": {"closed": "contradicted"} if until else {},
            }
            lines.append(json.dumps({"type": "node", "versions": [version]}))
        report = client.import_(lines, scope="ann")
        assert not report.problems
        client.record(EVIL, scope=EVIL, session_id=EVIL, speaker=EVIL)
        client.add_note(f"Note {EVIL}", scope=EVIL)


@dataclass
class Console:
    """A page of the console, signed in."""

    page: Page
    url: str

    def open(self, name: str, person: str = "ann", **more: str) -> Page:
        """Go to a page of the console and wait until it is there."""
        from urllib.parse import urlencode

        query = urlencode({"user": person, **more})
        self.page.goto(f"{self.url}/console/#/{name}?{query}")
        self.page.wait_for_selector("h1")
        self.page.wait_for_selector(".waiting", state="detached")
        return self.page

    def shot(self, name: str) -> None:
        """Keep a picture where one is wanted."""
        folder = os.environ.get("MEMORYSCOPE_TEST_CONSOLE_SHOTS")
        if folder:
            self.page.screenshot(path=str(Path(folder) / f"{name}.png"))


def opened(browser: Browser, service: Service, key: str, **options: Any) -> Console:
    """A console in a context of its own, with ``key`` in the tab's storage."""
    context = browser.new_context(**{"locale": "en-GB", **options})
    context.add_init_script(f"sessionStorage.setItem('memoryscope-key', {json.dumps(key)})")
    page = context.new_page()
    page.set_default_timeout(WAIT_MS)
    page.on("dialog", lambda dialog: pytest.fail(f"a dialog of the browser: {dialog.message}"))
    page.on("pageerror", lambda error: pytest.fail(f"an error in the page: {error}"))
    return Console(page, service.url)


@pytest.fixture
def console(browser: Browser, place: Service) -> Iterator[Console]:
    """The console, signed in with a key of every right for the usual tenant."""
    found = opened(browser, place, place.key(tenants=("default",)))
    yield found
    found.page.context.close()


@pytest.fixture
def remembered(browser: Browser, remembering: Service) -> Iterator[Console]:
    """The console of the service with a model that remembers."""
    found = opened(browser, remembering, remembering.key(tenants=("default",)))
    yield found
    found.page.context.close()
