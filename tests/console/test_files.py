"""The files of the console: their headers, their size, and that nothing reads a string as HTML."""

from __future__ import annotations

import re

import httpx2
import pytest

from memoryscope_rag.service.routes.console import FOLDER, POLICY, console_files
from tests.service.conftest import Service, service

__all__ = ["service"]
MOST_BYTES = 300_000
SOURCES = {name: text.decode() for name, text in console_files().items()}


def test_all_files_together_are_small() -> None:
    assert "index.html" in SOURCES
    assert sum(map(len, console_files().values())) <= MOST_BYTES


@pytest.mark.parametrize("name", sorted(SOURCES))
def test_no_file_makes_html_of_strings_or_names_another_host(name: str) -> None:
    dangers = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function|srcdoc"
    assert not re.search(dangers, SOURCES[name])
    hosts = set(re.findall(r"https?://[^/\s\"']+", SOURCES[name]))
    assert hosts <= {"http://www.w3.org"}  # of SVG, which is a name and no address
    assert not re.search(r"\sstyle=|\son\w+=", SOURCES[name] if name.endswith("html") else "")


def test_both_languages_have_the_same_words() -> None:
    words = {
        language: dict(
            re.findall(r'^  "?([\w.-]+)"?: "(.*)",$', SOURCES[f"words/{language}.js"], re.M)
        )
        for language in ("en", "zh")
    }
    plural = {key for key in words["en"] if key.endswith(".one")}  # Chinese has no other form
    assert words["zh"].keys() == words["en"].keys() - plural
    for key, text in words["zh"].items():
        assert set(re.findall(r"\{\w+\}", text)) == set(re.findall(r"\{\w+\}", words["en"][key]))


def test_every_word_that_is_asked_for_is_there() -> None:
    known = set(re.findall(r'^  "?([\w.-]+)"?: "', SOURCES["words/en.js"], re.M))
    for name, text in SOURCES.items():
        for key in re.findall(r"\bt\(\"([\w.-]+)\"", text):
            assert key in known, f"{name} asks for {key}"


def test_files_need_no_key_and_carry_the_policy(service: Service) -> None:
    for name, content in console_files().items():
        found = httpx2.get(service.url + FOLDER + ("" if name == "index.html" else name))
        assert found.status_code == 200
        assert found.content == content
        assert found.headers["content-security-policy"] == POLICY
        assert found.headers["x-content-type-options"] == "nosniff"
    assert "unsafe-inline" not in POLICY
    assert httpx2.get(f"{service.url}/console").headers["location"] == FOLDER
    for path in ("../keys", "nothing.js", "..%2f__init__.py", "__init__.py"):
        assert httpx2.get(service.url + FOLDER + path).status_code in {401, 404}


def test_about_tells_a_key_what_it_may_do(service: Service) -> None:
    ask = {"Authorization": f"Bearer {service.key('read')}"}
    about = httpx2.get(f"{service.url}/v1/service/about", headers=ask).json()
    assert about["rights"] == ["read"]
    assert about["tenant"] == "acme"
    assert (about["chat_model"], about["memory_model"], about["documents"]) == (None, None, False)
    assert httpx2.get(f"{service.url}/v1/service/about").status_code == 401
    assert httpx2.get(f"{service.url}/v1/service/spent", headers=ask).status_code == 403
    root = {"Authorization": f"Bearer {service.root}"}
    assert httpx2.get(f"{service.url}/v1/service/spent", headers=root).json() == []
