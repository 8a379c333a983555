"""One request through the proxy: memories in, answer out, the turn into the log."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any

from starlette.responses import Response

from memoryscope_rag.app import AsyncMemoryScope
from memoryscope_rag.configs.load import read_secret
from memoryscope_rag.configs.model import Config
from memoryscope_rag.ports import Generator
from memoryscope_rag.service.problems import Problem
from memoryscope_rag.service.proxy import requests
from memoryscope_rag.service.proxy.local import LocalModel
from memoryscope_rag.service.proxy.memory import Outcome, ProxyMemory, Recalled, Turn, Whose
from memoryscope_rag.service.proxy.relay import Relay, Relayed
from memoryscope_rag.service.proxy.replies import ChatHeard, Heard, Listener, ResponsesHeard
from memoryscope_rag.service.proxy.requests import Asked, Place, Tree
from memoryscope_rag.service.proxy.tasks import Tasks
from memoryscope_rag.service.proxy.turns import Turns
from memoryscope_rag.service.proxy.upstream import Answered, Forward, Headers, Source, Upstream
from memoryscope_rag.service.state import StateFile

_log = logging.getLogger(__name__)

MEMORY_HEADER = "X-Memory"
"""In a request ``off`` goes without memory; in an answer what became of it."""
CLOSE_S = 5.0
"""How long answers are waited for whose clients left when the service stops, twice at most."""
_EVENTS = "text/event-stream"


@dataclass(frozen=True, slots=True)
class Dialect:
    """One way of asking: how its requests are read and written, how its answers are heard."""

    read: Callable[[Tree], Asked]
    write: Callable[[Tree, str, Place], dict[str, Any]]
    heard: Callable[[], Heard]


CHAT = Dialect(requests.read_chat, requests.chat_with, ChatHeard)
RESPONSES = Dialect(requests.read_responses, requests.responses_with, ResponsesHeard)


class Proxy:
    """The proxy of one process. Without an upstream the chat model of the settings answers.

    Raises ConfigError for an upstream that cannot be, MissingExtra for one without its packages.
    """

    def __init__(
        self, config: Config, memory: AsyncMemoryScope, generator: Generator | None, file: StateFile
    ) -> None:
        self.settings = config.proxy
        self._tasks = Tasks()
        self._memory = ProxyMemory(memory, Turns(file), self._tasks)
        self._source: Source | None = None if generator is None else LocalModel(generator)
        # templates of local models want all instructions at the start
        self._place: Place = "start"
        if self.settings.base_url is not None:
            self._source = _upstream(config)
            self._place = "start" if self.settings.inject == "start" else "turn"

    async def answer(
        self, dialect: Dialect, forward: Forward, whose: Whose | None, request_id: str
    ) -> Response:
        """The answer to a request in ``dialect``, which touches no memory where ``whose`` is None.

        ``forward.body`` is JSON, sound as far as the dialect reads it. Raises Problem, ModelError.
        """
        source = self._answering()
        if whose is None:
            return await self._passed(await source.ask(forward), "off")
        tree = json.loads(forward.body)
        asked = dialect.read(tree)
        finding = asyncio.create_task(self._memory.find(asked, whose, request_id))
        recalled = await self._recall(asked, whose, finding)
        turn = await finding
        if recalled.text:
            body = json.dumps(dialect.write(tree, recalled.text, self._place)).encode()
            forward = replace(forward, body=body)
        if self.settings.record:
            turn.begin()
        answered = await source.ask(forward)
        if answered.status != HTTPStatus.OK or not self.settings.record:
            return await self._passed(answered, recalled.outcome)
        if answered.header("content-encoding") not in ("", "identity"):
            _log.warning("an answer came compressed and is not recorded")
        listener = Listener(dialect.heard(), streams=answered.media == _EVENTS)
        return await self._passed(answered, recalled.outcome, listener, turn)

    async def models(self, forward: Forward) -> Response:
        """The models that there are. Raises Problem, ModelError."""
        return await self._passed(await self._answering().ask(forward), None)

    async def close(self) -> None:
        """Finish what is under way; memory has to be open until then."""
        await self._tasks.finish(CLOSE_S)
        if self._source is not None:
            await self._source.close()  # breaks off what is still being read
        await self._tasks.finish(CLOSE_S)

    def _answering(self) -> Source:
        if self._source is None:
            raise Problem(
                "not-configured",
                HTTPStatus.CONFLICT,
                "there is nothing to answer: set proxy.base_url, or generator.provider",
            )
        return self._source

    async def _recall(self, asked: Asked, whose: Whose, turn: asyncio.Task[Turn]) -> Recalled:
        if self.settings.inject == "none":
            return Recalled("", "off")
        return await self._memory.recall(asked, whose, turn)

    async def _passed(
        self,
        answered: Answered,
        outcome: Outcome | None,
        listener: Listener | None = None,
        turn: Turn | None = None,
    ) -> Response:
        """``answered`` for the client; what ``listener`` hears of it ends ``turn``."""

        def heard(piece: bytes) -> None:
            if listener is not None:
                listener.feed(piece)

        async def ended(broken: bool) -> None:
            if listener is not None and turn is not None:
                listener.end()
                partial = broken or not listener.heard.whole
                await turn.end(listener.heard.text, partial=partial)

        headers = answered.headers
        if outcome is not None:
            headers = (*headers, (MEMORY_HEADER, outcome))
        if answered.media == _EVENTS:
            finish_s = 0.0 if turn is None else self.settings.finish_s
            relay = Relay(answered, self._tasks, heard=heard, ended=ended, finish_s=finish_s)
            return Relayed(relay, answered.status, _raw(headers))
        data = await answered.whole()
        heard(data)
        await ended(False)
        response = Response(data, answered.status)
        response.raw_headers += _raw(headers)
        return response


def _raw(headers: Headers) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode(), text.encode()) for name, text in headers]


def _upstream(config: Config) -> Source:
    settings = config.proxy
    return Upstream(
        settings.base_url or "",
        api_key=read_secret(settings.api_key),
        key_variable=settings.api_key,
        timeout_s=settings.timeout_s,
        not_on=(
            settings.user_header,
            settings.session_header,
            settings.agent_header,
            "X-Tenant-ID",
            "X-Request-ID",
            MEMORY_HEADER,
        ),
    )
