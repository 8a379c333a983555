"""Profiles of retrieval: first what needs no model, then more, as far as the deadline allows.

``fast`` runs always and first, so there always is a result. The others go on from where it ended:
its query is not embedded again, and its candidates stay. Each is a file of its own.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final, Literal

from memoryscope_rag.configs.model import RetrievalConfig
from memoryscope_rag.errors import InvalidInput, ModelError, StoreError
from memoryscope_rag.operations.base import Operation, load_operation
from memoryscope_rag.operations.retrieve import build_retrieve, search
from memoryscope_rag.schema import PROFILES, Evidence, Profile
from memoryscope_rag.workers.base import Deadline, Services
from memoryscope_rag.workers.frontend import FRONTEND, RetrievalState

Further = Literal["read", "clues", "deep"]
FILES: Final[Mapping[Further, str]] = MappingProxyType(
    {
        "read": "retrieve_read.yaml",
        "clues": "retrieve_clues.yaml",
        "deep": "retrieve_deep.yaml",
    }
)
RESERVE = 1.5
"""Times what the profile ``fast`` took is kept for searching and ranking once more at the end."""
LEAST_RESERVE_S = 0.005
"""And so much besides: a machine that has other things to do is not always as fast."""
CLOSING_S = 1.0
"""How long closing waits for what was cut off."""
NO_MEMORY = "beacon memory: there is none; see memory.model"
NO_MODEL = "clues: there is neither a beacon memory nor a chat model"


def check_profile(profile: str) -> None:
    """Raises InvalidInput that names all profiles, unless this is one."""
    if profile not in PROFILES:
        raise InvalidInput("profile", f"{profile!r:.40} is unknown; known: {', '.join(PROFILES)}")


class Profiles:
    """Retrieves in the profile that a call asks for. Belongs to an application, which closes it."""

    def __init__(self, services: Services, settings: RetrievalConfig) -> None:
        self._services = services
        self._settings = settings
        self._fast = build_retrieve(services, settings.operation)
        self._further: dict[Further, Operation[RetrievalState]] = {}
        # what a deadline cut off and has not ended yet; the loop itself keeps no hold of it
        self._late: set[asyncio.Task[Evidence]] = set()
        if self.default == "auto":
            self._operation(settings.auto.then)
        elif self.default != "fast":
            self._operation(self.default)

    @property
    def default(self) -> Profile:
        """The profile of a call that names none."""
        return self._settings.profile or ("fast" if self._services.memory is None else "auto")

    async def retrieve(
        self, state: RetrievalState, profile: Profile | None, *, patience_s: float | None = None
    ) -> Evidence:
        """The evidence, by ``profile`` (``None``: the default).

        What is late or failed is named in ``left_out``, and the evidence is then that of what was
        in time. A profile does what it can without a memory or a model that is not there, and says
        so. Raises as :func:`~memoryscope_rag.operations.retrieve.retrieve`, and InvalidInput.
        """
        chosen = self.default if profile is None else profile
        check_profile(chosen)
        began = time.monotonic()
        state, evidence = await search(self._fast, state, patience_s=patience_s)
        if chosen == "auto":
            sure = state.confidence >= self._settings.auto.below
            chosen = "fast" if sure else self._settings.auto.then
        if chosen == "fast":
            return evidence
        if lacking := self._lacking(chosen):
            evidence = replace(evidence, left_out=(*evidence.left_out, lacking))
            if lacking == NO_MODEL or chosen == "read":
                return evidence
        return await self._go_on(chosen, state, evidence, time.monotonic() - began)

    async def close(self) -> None:
        """Cancel what was cut off and runs still, and wait for it, but not for long."""
        for task in self._late:
            task.cancel()
        if self._late:
            await asyncio.wait(self._late, timeout=CLOSING_S)

    def _operation(self, profile: Further) -> Operation[RetrievalState]:
        if profile not in self._further:
            self._further[profile] = load_operation(
                f"retrieve, profile {profile}",
                RetrievalState,
                None,
                default=FILES[profile],
                ours=FRONTEND,
                extra=None,
                services=self._services,
                gives="result",
                after=self._fast,
            )
        return self._further[profile]

    def _lacking(self, profile: Further) -> str | None:
        """What a profile asks for and the application does not have."""
        if self._services.memory is not None:
            return None
        return NO_MODEL if profile == "clues" and self._services.generator is None else NO_MEMORY

    async def _go_on(
        self, profile: Further, state: RetrievalState, first: Evidence, spent_s: float
    ) -> Evidence:
        """What ``profile`` makes of ``first``, and that itself when it is late or fails.

        ``spent_s`` is what ``first`` took. What a model may be waited for ends so long before the
        deadline that the search after it is in time. A model need not obey: nobody waits for it
        after the deadline.
        """
        left = state.deadline.remaining()
        if left is not None and state.deadline.at is not None:
            reserve = RESERVE * spent_s + LEAST_RESERVE_S
            if left <= reserve:
                return _without(first, f"{profile}: deadline")
            state = replace(state, deadline=Deadline(state.deadline.at - reserve))
        task = asyncio.create_task(self._run(profile, state, first))
        try:
            done, _ = await asyncio.wait({task}, timeout=left)
        except asyncio.CancelledError:
            self._abandon(task)
            raise
        if not done:
            self._abandon(task)
            return _without(first, f"{profile}: deadline")
        try:
            return task.result()
        except (StoreError, ModelError) as error:
            return _without(first, f"{profile}: {error}")

    async def _run(self, profile: Further, state: RetrievalState, first: Evidence) -> Evidence:
        state, evidence = await search(self._operation(profile), state)
        return replace(
            evidence,
            profile=_done(profile, state),
            left_out=tuple(dict.fromkeys((*first.left_out, *evidence.left_out))),
            timings=_added(first.timings, evidence.timings),
        )

    def _abandon(self, task: asyncio.Task[Evidence]) -> None:
        task.cancel()
        self._late.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[Evidence]) -> None:
        self._late.discard(task)
        if not task.cancelled():
            task.exception()  # nobody waits for it; asyncio would complain that it was not seen


def _done(profile: Further, state: RetrievalState) -> Profile:
    """How far it came: clues or attention may have been late, or there were none."""
    if profile == "deep" or state.leads or state.unsupported:
        return profile
    return "read" if state.attention else "fast"


def _without(first: Evidence, reason: str) -> Evidence:
    return replace(first, left_out=(*first.left_out, reason))


def _added(first: Mapping[str, float], second: Mapping[str, float]) -> dict[str, float]:
    return {
        name: first.get(name, 0.0) + second.get(name, 0.0)
        for name in dict.fromkeys((*first, *second))
    }
