"""The options that commands share, and what follows from them: settings, scope, open memory."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Concatenate, ParamSpec
from zoneinfo import ZoneInfo

import typer

from memoryscope_rag.cli.run import ReaderGone

if TYPE_CHECKING:
    from memoryscope_rag.configs.model import Config
    from memoryscope_rag.schema import Scope
    from memoryscope_rag.sync import MemoryScope

P = ParamSpec("P")

StoreOption = Annotated[
    str | None,
    typer.Option("--store", help="The SQLite file or a cluster's URL; default from the settings."),
]
ConfigOption = Annotated[Path | None, typer.Option("--config", help="A YAML file of settings.")]
ZoneOption = Annotated[
    str | None, typer.Option("--time-zone", help="Zone of dates, such as Europe/Berlin.")
]
EmbedderOption = Annotated[
    str | None,
    typer.Option("--embedder", help="A preset, a folder with an ONNX export, or 'none'."),
]
ModelsOption = Annotated[
    Path | None, typer.Option("--models", help="The folder of models; embedder.models_dir.")
]
UserOption = Annotated[str, typer.Option("--user", "-u", help="Whose memory.")]
MaybeUserOption = Annotated[str | None, typer.Option("--user", "-u", help="Only this user.")]
SomeUserOption = Annotated[
    str | None, typer.Option("--user", "-u", help="Whose memory; yours unless given.")
]
AgentOption = Annotated[str, typer.Option("--agent", help="Agent within the user.")]
TenantOption = Annotated[str, typer.Option("--tenant", help="Tenant that the user belongs to.")]

_GLOBAL: dict[str, tuple[Any, Any]] = {
    "store": (StoreOption, None),
    "config": (ConfigOption, None),
    "time_zone": (ZoneOption, None),
    "embedder": (EmbedderOption, None),
    "models": (ModelsOption, None),
}
_SCOPE: dict[str, tuple[Any, Any]] = {
    "user": (UserOption, inspect.Parameter.empty),
    "agent": (AgentOption, "default"),
    "tenant": (TenantOption, "default"),
}


@dataclass(frozen=True)
class Settings:
    """The shared options of one call."""

    store: str | None = None
    config_file: Path | None = None
    time_zone: str | None = None
    embedder: str | None = None
    models: Path | None = None
    user: str | None = None
    agent: str = "default"
    tenant: str = "default"

    @property
    def scope(self) -> Scope:
        """The scope that the options name."""
        return self.scope_of(self.user or "")

    def scope_of(self, user: str) -> Scope:
        """The scope of another user, with the agent and tenant of the options."""
        from memoryscope_rag.schema import Scope

        return Scope(user, self.agent, self.tenant)

    def config(self, *, embedder: str | None = None) -> Config:
        """The settings in force; options win over everything, ``embedder`` over options."""
        from memoryscope_rag.configs.load import load_config

        overrides: dict[str, Any] = {}
        if self.store is not None:
            # provider of the path; a URL makes it elasticsearch
            overrides["store"] = {"provider": "sqlite", "path": self.store}
        if self.time_zone is not None:
            overrides["time_zone"] = self.time_zone
        chosen = {"name": embedder or self.embedder, "models_dir": self.models}
        overrides["embedder"] = {key: value for key, value in chosen.items() if value is not None}
        return load_config(self.config_file, overrides)

    def zone(self) -> ZoneInfo:
        """The zone that dates are meant and shown in."""
        return ZoneInfo(self.config().time_zone)

    def open(
        self, *, existing: bool = True, embedding: bool = True, reembedding: bool = False
    ) -> MemoryScope:
        """Open the memory.

        ``existing`` refuses a file that is not there, rather than make an empty one; of a cluster
        it is not asked.
        Without ``embedding`` no model is loaded, so what needs none works without one.
        """
        from memoryscope_rag.errors import StoreUnavailable
        from memoryscope_rag.sync import MemoryScope

        config = self.config(embedder=None if embedding else "none")
        store = config.store
        if existing and store.provider == "sqlite" and not store.path.is_file():
            raise StoreUnavailable(
                f"there is no store at {store.path}; 'memoryscope-rag record' or 'import' "
                "makes one, --store names another"
            )
        return MemoryScope.open(config=config, reembedding=reembedding)


def with_settings(
    *, scope: bool = True, any_user: bool = False, default_user: str | None = None
) -> Callable[[Callable[Concatenate[Settings, P], None]], Callable[..., None]]:
    """Give a command the shared options; its first parameter receives them as Settings.

    ``scope`` adds ``--user``, ``--agent`` and ``--tenant``; with ``any_user`` the user is optional,
    with ``default_user`` it is that one unless given.
    The global options may stand before or after the command's name; after it they win.
    """
    shared = dict(_GLOBAL)
    if scope:
        shared |= _SCOPE
        if any_user:
            shared["user"] = (MaybeUserOption, None)
        elif default_user is not None:
            shared["user"] = (SomeUserOption, default_user)

    def decorate(command: Callable[Concatenate[Settings, P], None]) -> Callable[..., None]:
        own = list(inspect.signature(command, eval_str=True).parameters.values())[1:]
        context = inspect.Parameter("ctx", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
        options = [
            inspect.Parameter(
                name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation
            )
            for name, (annotation, default) in shared.items()
        ]

        @functools.wraps(command)
        def run(**values: Any) -> None:
            outer = values.pop("ctx").obj
            given = {name: values.pop(name) for name in shared}
            given["config_file"] = given.pop("config")
            before = outer if isinstance(outer, Settings) else Settings()
            changes = {name: value for name, value in given.items() if value is not None}
            call: Callable[..., None] = command
            try:
                call(replace(before, **changes), **values)
            except BrokenPipeError:
                raise ReaderGone from None  # typer would make it exit code 1

        parameters = [
            context,
            *(p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own),
            *options,
        ]
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {p.name: p.annotation for p in parameters}
        return run

    return decorate


def moment(name: str, text: str | None, zone: ZoneInfo) -> datetime | None:
    """An option's ISO 8601 date or time; without an offset it is local time of ``zone``."""
    from memoryscope_rag.errors import InvalidInput

    if text is None:
        return None
    try:
        value = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidInput(name, f"{text!r} is no ISO 8601 date or time") from None
    return value if value.tzinfo is not None else value.replace(tzinfo=zone)
