"""The beacon memories of all scopes, on disk and ready for questions.

Of each scope there is its whole history, which is asked for clues, at a ratio with which all of it
fits the model; and each session by itself, which attention is read from. Both are made of the same
dated lines. The whole history is written last: what it does not cover yet counts as not there.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import tzinfo
from pathlib import Path
from typing import TypeVar

from memoryscope_rag.beacon.files.bank import BeaconBank, Draft
from memoryscope_rag.beacon.files.bank_folder import part_of
from memoryscope_rag.beacon.files.coverage import covered_ids
from memoryscope_rag.beacon.history_files import HistoryFiles
from memoryscope_rag.beacon.history_model import HistoryModel, stored_size
from memoryscope_rag.beacon.memorizing import GivenUp
from memoryscope_rag.beacon.model_thread import ModelThread
from memoryscope_rag.beacon.readables import Readables
from memoryscope_rag.beacon.state import MemoryState
from memoryscope_rag.beacon.turns import Turns
from memoryscope_rag.configs.model import MemoryConfig
from memoryscope_rag.errors import BeaconMismatch, InvalidInput
from memoryscope_rag.ports import Coverage
from memoryscope_rag.schema import Clue, ClueKind, Message, Scope

T = TypeVar("T")
_MIB = 1 << 20
_TOGETHER = 16
"""Sessions that go through the model with a question at once."""


class BeaconMemories:
    """A :class:`~memoryscope_rag.ports.HistoryMemory`: one model, any number of scopes.

    The model is opened when it is first needed, which takes some seconds. Questions have a thread
    of their own and come before the next step of reading; reading stands back where others want
    the CPU. For tasks of any event loop, and for several processes over one folder.

    Args:
        config: ``model`` is set.
        folder: where the files lie.
        prompts: a folder with ``LANGUAGE.yaml`` files in place of the packaged prompts.
        zone: in which times are written; ``None``: as the messages have them.
        models_dir: where model folders are, looked at first.

    Raises:
        ConfigError: settings do not go together, or prompts or heads are none.
    """

    def __init__(
        self,
        config: MemoryConfig,
        folder: Path,
        *,
        prompts: Path | None = None,
        zone: tzinfo | None = None,
        models_dir: Path | None = None,
    ) -> None:
        self._config = config
        self._files = HistoryFiles(config, folder, prompts, zone, models_dir)
        self._asker = ModelThread(self.model, config.threads)
        self._reader = ModelThread(self.model, config.threads or 1, background=True)
        self._turns = Turns()
        self._opened: tuple[HistoryModel, BeaconBank] | None = None
        self._readables = Readables(config.device_mb * _MIB // 2)

    @property
    def model(self) -> str:
        """The name of the model."""
        return Path(self._config.model or "").name

    async def coverage(self, scope: Scope) -> Coverage:
        """See :meth:`.HistoryMemory.coverage`.

        Raises:
            ModelNotFound: the model's files are not here.
        """
        return await asyncio.to_thread(self._files.coverage, scope, self._bank())

    async def write(self, scope: Scope, messages: Sequence[Message], *, keep: int) -> Coverage:
        """See :meth:`.HistoryMemory.write`."""
        before = await self.coverage(scope)
        if keep < len(before.message_ids) or not messages:
            # something was forgotten, which another model's memory may hold, too
            await self._files.remove_others(scope)
        if not messages and not keep:
            await self.drop(scope)
            return Coverage()
        if not messages and keep == len(before.message_ids):
            return before
        model, bank = await self._open()
        async with bank.writing(scope, anew=not keep) as draft:
            covered = tuple(dict.fromkeys(span.message_id for span in draft.state.spans))
            _check(scope, messages, covered, keep)
            kept = frozenset(covered[:keep])
            draft.seconds = before.seconds if keep else 0.0
            sizes = await self._write_sessions(scope, draft, kept, messages)
            draft.state = await self._read(
                draft, draft.state, lambda: model.longer(draft.state, kept, messages)
            )
            await self._make_room(draft, sizes)
        if keep < len(covered):
            self._readables.drop(scope)
            await self._asked(lambda given_up: model.let_go(scope))
        after = await self.coverage(scope)
        await self._files.remove_outdated(scope, after.message_ids)
        return after

    async def drop(self, scope: Scope) -> None:
        """See :meth:`.HistoryMemory.drop`."""
        await self._forget(scope)
        await self._files.remove_all(scope)

    async def clues(self, scope: Scope, query: str, kinds: Sequence[ClueKind]) -> tuple[Clue, ...]:
        """See :meth:`.HistoryMemory.clues`. Raises InvalidInput for an empty query, too."""
        if not (await self.coverage(scope)).message_ids:
            return ()
        model, bank = await self._open()
        state = await self._whole(bank, scope)
        if not state.spans:
            return ()
        return await self._asked(lambda given_up: model.clues(scope, state, query, kinds, given_up))

    async def attention(self, scope: Scope, query: str) -> Mapping[str, float]:
        """See :meth:`.HistoryMemory.attention`."""
        if not self._files.reads_sessions():
            return {}
        if not (await self.coverage(scope)).message_ids:
            return {}
        model, bank = await self._open()
        if model.heads is None:
            return {}
        heads = await bank.heads(scope)
        covered = frozenset((await self.coverage(scope)).message_ids)
        parts = list(heads)
        found: dict[str, float] = {}
        for start in range(0, len(parts), _TOGETHER):
            some = {part: heads[part] for part in parts[start : start + _TOGETHER]}
            found |= await self._attention(scope, query, some, covered)
        return found

    async def close(self) -> None:
        """End what is running, which fails, and let go of the model; a second call does nothing."""
        self._asker.stop()
        self._reader.stop()
        await self._asker.close()
        await self._reader.close()
        if self._opened is not None:
            self._opened[1].close()
            self._opened = None

    # ------------------------------------------------------------ the model

    def _bank(self) -> BeaconBank | None:
        return None if self._opened is None else self._opened[1]

    async def _open(self) -> tuple[HistoryModel, BeaconBank]:
        def opening(given_up: GivenUp) -> tuple[HistoryModel, BeaconBank]:
            # in one thread, so the second of two finds it opened
            opened = self._opened = self._opened or self._files.open()
            return opened

        if self._opened is not None:
            return self._opened
        return await self._asker.run(opening)

    async def _asked(self, work: Callable[[GivenUp], T]) -> T:
        """``work`` with the model, before the next step of reading."""

        def job(given_up: GivenUp) -> T:
            with self._turns.asking(given_up):
                return work(given_up)

        return await self._asker.run(job)

    async def _read(
        self, draft: Draft, state: MemoryState, steps: Callable[[], Iterator[MemoryState]]
    ) -> MemoryState:
        """The last of ``steps``, or ``state``; between any two, others have the model."""
        reading: Iterator[MemoryState] | None = None

        def step(given_up: GivenUp) -> MemoryState | None:
            nonlocal reading
            with self._turns.reading(given_up):
                began = time.perf_counter()
                reading = steps() if reading is None else reading
                found = next(reading, None)
                draft.seconds += time.perf_counter() - began
            return found

        while (longer := await self._reader.run(step)) is not None:
            state = longer
        return state

    # ------------------------------------------------------------ writing

    async def _write_sessions(
        self, scope: Scope, draft: Draft, kept: frozenset[str], messages: Sequence[Message]
    ) -> dict[str, tuple[tuple[str, ...], int]]:
        """Set the parts of ``draft``; ids and bytes of all that will be there."""
        model, bank = await self._open()
        if model.sessions is None:
            return {}
        held = await bank.parts(scope)
        sizes = {part: (covered_ids(one), one.nbytes) for part, one in held.items()}
        new: dict[str, list[Message]] = {}
        for message in messages:
            new.setdefault(part_of(message.session_id), []).append(message)
        touched = {part for part, (ids, _) in sizes.items() if not kept.issuperset(ids)}
        for part in sorted(touched | new.keys()):
            anew = not kept or part not in held
            before = model.sessions.empty if anew else await bank.read(scope, part)
            read = new.get(part, [])
            after = await self._read(
                draft,
                before,
                lambda before=before, read=read: model.longer_session(before, kept, read),  # type: ignore[misc]
            )
            if after.spans:
                ids = tuple(dict.fromkeys(span.message_id for span in after.spans))
                sizes[part] = (ids, stored_size(after, self._config.encoding))
                if after is not before:
                    draft.parts[part] = after
            else:
                sizes.pop(part, None)
                draft.parts[part] = None
        return sizes

    async def _make_room(
        self, draft: Draft, sizes: Mapping[str, tuple[tuple[str, ...], int]]
    ) -> None:
        """Have the draft within the budget, at most half of which is of sessions, the last ones."""
        if self._config.budget_mb is None:
            return
        model, _ = await self._open()
        budget, recent = self._config.budget_mb * _MIB, self._config.recent_tokens
        place = {span.message_id: n for n, span in enumerate(draft.state.spans)}
        oldest = sorted(sizes, key=lambda part: max(place.get(name, 0) for name in sizes[part][0]))
        of_sessions = sum(size for _, size in sizes.values())
        for part in oldest:
            if of_sessions <= budget // 2:
                break
            of_sessions -= sizes[part][1]
            draft.parts[part] = None
        left, state, encoding = budget - of_sessions, draft.state, self._config.encoding

        def fitting(given_up: GivenUp) -> MemoryState:
            with self._turns.reading(given_up):
                return model.fitted(state, left, recent, encoding)

        draft.state = await self._reader.run(fitting)

    async def _forget(self, scope: Scope) -> None:
        """Remove the memory of ``scope`` from our folder and from what is held."""
        self._readables.drop(scope)
        if self._opened is not None:
            model, bank = self._opened
            await bank.forget(scope)
            await self._asked(lambda given_up: model.let_go(scope))

    # ------------------------------------------------------------ asking

    async def _whole(self, bank: BeaconBank, scope: Scope) -> MemoryState:
        try:
            return await bank.read(scope)
        except BeaconMismatch:  # coverage tells from now on that there is none
            return bank.empty

    async def _attention(
        self, scope: Scope, query: str, heads: Mapping[str, bytes], covered: frozenset[str]
    ) -> dict[str, float]:
        """Of some sessions, those left out that hold what the whole history does not cover."""
        model, bank = await self._open()
        states: dict[str, MemoryState] = {}
        ready = {part: self._readables.get((scope, part), head) for part, head in heads.items()}
        for part, one in ready.items():
            if one is None:
                states[part] = await bank.read(scope, part)

        def ask(given_up: GivenUp) -> dict[str, float]:
            for part, state in states.items():
                if state.spans and covered.issuperset(span.message_id for span in state.spans):
                    ready[part] = model.readable(state)
            asked = [
                one
                for one in ready.values()
                if one is not None and covered.issuperset(one.messages)
            ]
            return model.attention(asked, query)

        found = await self._asked(ask)
        for part in states:
            one = ready[part]
            if one is not None:
                self._readables.put((scope, part), heads[part], one)
        return found


def _check(scope: Scope, messages: Sequence[Message], covered: Sequence[str], keep: int) -> None:
    if not 0 <= keep <= len(covered):
        raise InvalidInput("keep", f"is {keep}, the memory covers {len(covered)} messages")
    known = set(covered[:keep])
    for message in messages:
        if message.id in known:
            raise InvalidInput("messages", f"{message.id!r} is in the memory already")
        if message.scope != scope:
            raise InvalidInput("messages", f"{message.id!r} is of another scope")
        known.add(message.id)
