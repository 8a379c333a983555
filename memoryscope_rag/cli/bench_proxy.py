"""bench proxy: what the OpenAI-compatible proxy costs a request."""

from __future__ import annotations

import importlib.util
import sys
from typing import Annotated

import typer

from memoryscope_rag.cli.bench import JsonOption, show
from memoryscope_rag.cli.output import say_json
from memoryscope_rag.cli.settings import Settings, with_settings
from memoryscope_rag.errors import MissingExtra


@with_settings(scope=False)
def proxy(
    settings: Settings,
    requests: Annotated[int, typer.Option(min=1, help="Requests of each kind.")] = 200,
    as_json: JsonOption = False,
) -> None:
    """Milliseconds of requests through the proxy and directly, to a scripted upstream.

    'overhead' is the difference of each pair; percentiles of it are not differences of theirs.
    """
    if any(importlib.util.find_spec(name) is None for name in ("fastapi", "httpx2", "uvicorn")):
        raise MissingExtra("service", "the proxy")
    from memoryscope_rag.evaluation.proxy import measure

    config = settings.config()
    systems = measure(config, requests=requests, say=lambda text: print(text, file=sys.stderr))
    tree = {
        "benchmark": "proxy",
        "data": "synthetic",
        "embedder": config.embedder.name,
        "n": requests,
        "systems": systems,
    }
    if as_json:
        say_json(tree)
    else:
        show(tree)
