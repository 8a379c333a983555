"""memorize and ask with documents that can be found: the memory, its index, what writes answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from memoryscope_rag.cli.output import one_line, progress, say, say_json, table
from memoryscope_rag.cli.settings import Settings, with_settings
from memoryscope_rag.errors import ConfigError, InvalidInput

if TYPE_CHECKING:
    from memoryscope_rag.beacon.files.quantize import Encoding
    from memoryscope_rag.beacon.memory import MemoryStats, Place
    from memoryscope_rag.beacon.options import MemoryOptions
    from memoryscope_rag.configs.model import Config
    from memoryscope_rag.documents.asking import DocumentAnswer
    from memoryscope_rag.ports import Embedder, Generator

SHOWN = 120
"""Characters of a passage in a table."""
NO_MODEL = "none"


async def memorize_documents(
    config: Config,
    texts: Mapping[str, str],
    folder: Path,
    *,
    append: bool,
    options: MemoryOptions | None,
    model: str | None,
    by_generator: bool,
    encoding: Encoding,
    place: Place,
) -> MemoryStats:
    """Read texts into a memory with an index, and save both. Closes what it opens.

    Args:
        options: of a new memory; ``None``: no model on this machine remembers.
        model: where the model of the memory in the folder is now.
        by_generator: the generator of the settings retells windows.
    """
    from memoryscope_rag.documents.memory import DocumentMemory, DocumentOptions
    from memoryscope_rag.documents.memory_files import holds_gist_texts

    writing = by_generator or (holds_gist_texts(folder) if append else options is None)
    async with opened_models(config, writing=writing) as (embedder, generator):
        parts: dict[str, Any] = {"embedder": embedder, **place}
        if by_generator:
            parts["retold_by"] = generator
        if append:
            memory = await DocumentMemory.load(folder, model=model, generator=generator, **parts)
        else:
            made = DocumentOptions(memory=options)
            memory = await DocumentMemory.open(made, generator=generator, **parts)
        async with memory:
            for name, text in texts.items():
                with progress(Path(name).name) as told:
                    await memory.append(text, source=name, progress=told)
            return (await memory.save(folder, encoding=encoding)).memory


@with_settings(scope=False)
def ask(
    settings: Settings,
    load: Annotated[Path, typer.Option("--load", help="The folder that memorize saved.")],
    queries: Annotated[
        list[str] | None, typer.Argument(help="Questions; none for --task summarize.")
    ] = None,
    task: Annotated[str, typer.Option(help="memorag, qa or summarize.")] = "memorag",
    draft: Annotated[
        bool, typer.Option("--draft", help="The memory's own answer is one more clue and passage.")
    ] = False,
    template: Annotated[
        Path | None, typer.Option(help="A file with a prompt of your own for the task.")
    ] = None,
    max_tokens: Annotated[int, typer.Option(min=1, help="Of an answer.")] = 256,
    context: Annotated[
        int | None, typer.Option(min=1, help="Tokens that the model of the settings can take.")
    ] = None,
    own_model: Annotated[
        bool, typer.Option("--own-model", help="The model that remembers writes the answer.")
    ] = False,
    model: Annotated[
        str | None, typer.Option("--model", help="Where the model that remembers is now.")
    ] = None,
    device: Annotated[str, typer.Option(help="Of torch, such as cuda.")] = "cpu",
    threads: Annotated[int, typer.Option(min=0, help="Of torch; 0 is half the cores.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object an answer.")] = False,
) -> None:
    """Answer from memorized documents: clues, search, answer, with the places it rests on.

    The answer, then columns: place, found by, text.
    """
    from memoryscope_rag.documents.asking import TASKS

    chosen = next((one for one in TASKS if one == task), None)
    if chosen is None:
        raise InvalidInput("--task", f"{task!r} is unknown; known: {', '.join(TASKS)}")
    asked = queries or []
    if bool(asked) == (chosen == "summarize"):
        raise InvalidInput("QUERY", "is for all tasks but summarize")
    prompt = None if template is None else template.read_text("utf-8")
    config = settings.config()
    place: Place = {
        "models_dir": config.embedder.models_dir,
        "device": device,
        "threads": threads,
    }
    told: dict[str, Any] = {
        "template": prompt,
        "use_memory_answer": draft,
        "max_tokens": max_tokens,
    }

    async def work() -> list[DocumentAnswer]:
        from memoryscope_rag.documents.memory import DocumentMemory

        async with opened_models(config, writing=not own_model, wanted=False) as (
            embedder,
            generator,
        ):
            memory = await DocumentMemory.load(
                load,
                embedder=embedder,
                generator=generator,
                context_tokens=context,
                model=model,
                **place,
            )
            async with memory:
                if chosen == "summarize":
                    return [await memory.ask("", chosen, **told)]
                return await memory.ask_many(asked, chosen, **told)

    for number, answer in enumerate(asyncio.run(work())):
        if as_json:
            say_json(_tree(answer))
            continue
        if number:
            say()
        _show(answer, several=len(asked) > 1)


def _show(answer: DocumentAnswer, *, several: bool) -> None:
    if several:
        say(one_line(answer.query), style="bold")
    for line in answer.text.splitlines():  # which may hold whatever stood in a file
        say(one_line(line))
    if answer.evidence:
        rows = [
            (one.citation, ", ".join(one.found_by), _beginning(one.text)) for one in answer.evidence
        ]
        say()
        table(("place", "found by", "text"), rows)


def _beginning(text: str) -> str:
    line = one_line(text)
    return line if len(line) <= SHOWN else f"{line[:SHOWN]}…"


def _tree(answer: DocumentAnswer) -> dict[str, Any]:
    names = ("task", "query", "text", "draft", "model", "finish")
    return {
        **{name: getattr(answer, name) for name in names},
        "clues": [asdict(clue) for clue in answer.clues],
        "evidence": [{"citation": one.citation, **asdict(one)} for one in answer.evidence],
        "usage": asdict(answer.usage),
        "timings": {name: round(ms, 1) for name, ms in answer.timings.items()},
        "left_out": list(answer.left_out),
    }


@asynccontextmanager
async def opened_models(
    config: Config, *, writing: bool, wanted: bool = True
) -> AsyncIterator[tuple[Embedder, Generator | None]]:
    """The embedder of the settings and, for ``writing``, the generator, closed in the end.

    Raises:
        ConfigError: the settings name no embedder, or no generator where one is ``wanted``.
    """
    from memoryscope_rag.build import build_embedder, build_generator

    embedder = build_embedder(config)
    if embedder is None:
        raise ConfigError("documents are searched by an embedder, but embedder.name is 'none'")
    try:
        generator = build_generator(config) if writing else None
        if writing and wanted and generator is None:
            raise ConfigError("setting 'generator.provider': names no chat model that could retell")
        try:
            yield embedder, generator
        finally:
            if generator is not None:
                await generator.close()
    finally:
        embedder.close()
