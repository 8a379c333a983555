"""bench service: what the HTTP service carries, on SQLite and on a cluster beside it."""

from __future__ import annotations

import asyncio
import sys
from typing import Annotated

import typer

from memoryscope_rag.cli.bench import JsonOption, show
from memoryscope_rag.cli.output import say_json
from memoryscope_rag.cli.settings import Settings, with_settings
from memoryscope_rag.errors import InvalidInput


@with_settings(scope=False)
def service(
    settings: Settings,
    clients: Annotated[str, typer.Option(help="Clients at once, separated by commas.")] = "1,8,64",
    seconds: Annotated[float, typer.Option(min=1, help="How long each of these is run.")] = 10.0,
    workers: Annotated[int, typer.Option(min=1, help="Processes of the service.")] = 2,
    as_json: JsonOption = False,
) -> None:
    """Requests a second and milliseconds of the HTTP service; three retrievals to a message.

    With --store naming a cluster: on SQLite, and there beside it.
    """
    from memoryscope_rag.configs.load import with_store
    from memoryscope_rag.evaluation.service import measure

    try:
        numbers = [int(number) for number in clients.split(",") if number.strip()]
    except ValueError:
        raise InvalidInput("--clients", f"{clients!r} is no list such as 1,8,64") from None
    config = settings.config()
    places = {"sqlite": with_store(config, "memory.db")}
    if config.store.provider != "sqlite":
        places[config.store.provider] = config
    systems = {
        place: asyncio.run(
            measure(
                chosen,
                clients=numbers,
                seconds=seconds,
                workers=workers,
                say=lambda text: print(text, file=sys.stderr),
            )
        )
        for place, chosen in places.items()
    }
    tree = {
        "benchmark": "service",
        "data": "synthetic",
        "embedder": config.embedder.name,
        "n": len(numbers),
        "systems": systems,
    }
    if as_json:
        say_json(tree)
    else:
        show(tree)
