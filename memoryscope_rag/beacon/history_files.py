"""Where the beacon memories of all scopes lie, and what can be said of them without a model."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from datetime import tzinfo
from functools import cached_property
from pathlib import Path

from memoryscope_rag.beacon.files.bank import BeaconBank, Budgets
from memoryscope_rag.beacon.files.bank_folder import BankFolder
from memoryscope_rag.beacon.files.coverage import coverage_of
from memoryscope_rag.beacon.files.maker_folders import maker_name, memories_of, remove
from memoryscope_rag.beacon.files.manifest import read_head, read_manifest
from memoryscope_rag.beacon.heads import HeadSet, packaged_heads
from memoryscope_rag.beacon.history_model import (
    SESSION_WINDOW,
    HistoryModel,
    Reading,
)
from memoryscope_rag.beacon.opening import open_engine
from memoryscope_rag.beacon.options import MemoryOptions
from memoryscope_rag.beacon.prompts import MemoryPrompts
from memoryscope_rag.configs.model import MemoryConfig
from memoryscope_rag.errors import ConfigError, StoreUnavailable
from memoryscope_rag.ports import Coverage
from memoryscope_rag.schema import Scope

logger = logging.getLogger(__name__)
_MIB = 1 << 20
_HELD = 256
"""Scopes whose coverage is kept, to be told again while nothing was written."""
WAIT_SECONDS = 60.0
"""How long one writer of a scope waits for another."""


class HistoryFiles:
    """The files of one :class:`~memoryscope_rag.beacon.memories.BeaconMemories`.

    Args: as there.
    """

    def __init__(
        self,
        config: MemoryConfig,
        folder: Path,
        prompts: Path | None,
        zone: tzinfo | None,
        models_dir: Path | None,
    ) -> None:
        if config.model is None:
            raise ConfigError(
                "there is no beacon memory; the setting 'memory.model' names its model"
            )
        if config.budget_mb is not None and config.compressor == "full":
            raise ConfigError(
                "memory.budget_mb: the compressor full makes nothing smaller; use select or beacon"
            )
        self._config = config
        self._folder = folder
        self._prompts = MemoryPrompts.load(prompts)
        self._zone = zone
        self._models_dir = models_dir
        self._options = MemoryOptions(
            model=config.model,
            compressor=config.compressor,
            ratio=config.ratio,
            window=config.window,
            adapter=None if config.adapter is None else str(config.adapter),
        ).absolute()
        self._heads = _heads(config)
        self._warned = False
        self._lock = threading.Lock()
        self._covered: OrderedDict[Scope, tuple[bytes, Coverage]] = OrderedDict()

    def reads_sessions(self) -> bool:
        """Whether attention is read; where it might be but for the heads, a warning tells once."""
        if self._config.read and self._heads is None and not self._warned:
            self._warned = True
            logger.warning(
                "no attention is read from the beacon memory: which heads of %s point at evidence "
                "is not known; 'memoryscope-rag bench readout --output FILE' chooses them",
                self._config.model,
            )
        return self._sessions

    @cached_property
    def own(self) -> Path:
        """Our folder, which the model's files and the settings name. Raises ModelError."""
        config, prompts = self._config, self._prompts
        sessions = [config.session_ratio, SESSION_WINDOW] if self._sessions else None
        settings = {
            "compressor": config.compressor,
            "ratio": config.ratio,
            "window": config.window,
            "encoding": config.encoding,
            "zone": str(self._zone),
            "context": [prompts.get("context", one) for one in prompts.languages],
            "sessions": sessions,
        }
        adapter = self._options.adapter
        name = maker_name(
            self._options.model,
            self._models_dir,
            None if adapter is None else Path(adapter),
            settings,
        )
        return self._folder / name

    def open(self) -> tuple[HistoryModel, BeaconBank]:
        """The model and its memories; some seconds. Raises ModelError, ConfigError, StoreError."""
        config = self._config
        engine, _ = open_engine(self._options, models_dir=self._models_dir, device=config.device)
        reading = Reading(self._sessions, config.session_ratio, self._heads)
        name = Path(self._options.model).name
        model = HistoryModel(engine, name, self._prompts, self._zone, reading)
        bank = BeaconBank(
            self.own,
            model.whole.empty,
            model.whole.maker,
            parts=model.sessions,
            encoding=config.encoding,
            budgets=Budgets(
                device=config.device_mb * _MIB // 2,
                host=config.host_mb * _MIB,
                disk=None if config.disk_mb is None else config.disk_mb * _MIB,
            ),
            wait_seconds=WAIT_SECONDS,
        )
        return model, bank

    def coverage(self, scope: Scope, bank: BeaconBank | None) -> Coverage:
        """What the memory of ``scope`` covers; nothing, where ``bank`` could not go on with it.

        Raises:
            ModelError: there is no such model here.
            StoreCorrupt, SchemaTooNew: what is there cannot be read.
        """
        if not self.own.is_dir():
            return Coverage()
        disk = BankFolder(self.own)
        head = read_head(disk.memory(scope))
        with self._lock:
            held = self._covered.pop(scope, None)
            if held is not None and held[0] == head:
                self._covered[scope] = held
                return held[1]
        found = read_manifest(disk.memory(scope))
        if found is None:
            return Coverage()
        head, _, memory = found
        if bank is not None and memory.maker != bank.whole.maker:
            return Coverage()
        parts = (read_manifest(disk.memory(scope, part)) for part in disk.parts(scope))
        told = coverage_of(memory, sum(part[2].nbytes for part in parts if part is not None))
        with self._lock:
            if bank is not None:  # else it may yet turn out to be another maker's
                self._covered[scope] = (head, told)
                if len(self._covered) > _HELD:
                    self._covered.popitem(last=False)
        return told

    async def remove_others(self, scope: Scope) -> None:
        """Remove what other makers have of ``scope``. Raises StoreUnavailable."""
        for bank, _ in memories_of(self._folder, scope, self.own.name):
            await remove(bank, scope, WAIT_SECONDS)

    async def remove_outdated(self, scope: Scope, covered: Sequence[str]) -> None:
        """Remove what other makers have of ``scope``, where ours, which covers these messages,
        does as much, or where it holds what ours has not. Who is at work there is left alone.
        """
        for bank, ids in memories_of(self._folder, scope, self.own.name):
            if ids is None or len(ids) <= len(covered) or ids[: len(covered)] != tuple(covered):
                with suppress(StoreUnavailable):
                    await remove(bank, scope, 0.0)

    async def remove_all(self, scope: Scope) -> None:
        """Remove what anyone has of ``scope``. Raises StoreUnavailable."""
        for bank, _ in memories_of(self._folder, scope):
            await remove(bank, scope, WAIT_SECONDS)

    @property
    def _sessions(self) -> bool:
        return self._config.read and self._heads is not None


def _heads(config: MemoryConfig) -> HeadSet | None:
    """Those of the configuration, else those that ship for the model."""
    if config.heads is not None:
        try:
            return HeadSet.from_json(config.heads.read_text("utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"cannot read heads {config.heads}: {error}") from None
        except ConfigError as error:
            raise ConfigError(f"{config.heads}: {error}") from None
    try:
        return packaged_heads(Path(config.model or "").name)
    except ConfigError:
        return None
