"""memorize, recall, answer, summarize: the memory of a language model, kept in a folder."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from memoryscope_rag.cli.documents import NO_MODEL, memorize_documents
from memoryscope_rag.cli.output import one_line, progress, say, say_json, table
from memoryscope_rag.cli.run import NOTHING
from memoryscope_rag.cli.settings import Settings, with_settings
from memoryscope_rag.errors import InvalidInput

if TYPE_CHECKING:
    from memoryscope_rag.beacon.memory import BeaconMemory, MemoryStats, Place
    from memoryscope_rag.beacon.options import MemoryOptions
    from memoryscope_rag.ports import Reply
    from memoryscope_rag.schema import Clue

T = TypeVar("T")
_MADE = ("adapter", "compressor", "ratio", "window")
LoadOption = Annotated[Path, typer.Option("--load", help="The folder that memorize saved.")]
ModelOption = Annotated[
    str | None,
    typer.Option("--model", help="A preset, a folder, a GGUF file or owner/name of the hub."),
]
DeviceOption = Annotated[str, typer.Option(help="Of torch, such as cuda.")]
ThreadsOption = Annotated[int, typer.Option(min=0, help="Of torch; 0 is half the cores.")]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object.")]


@with_settings(scope=False)
def memorize(
    settings: Settings,
    files: Annotated[list[Path], typer.Argument(help="txt, md, pdf or docx; in this order.")],
    save: Annotated[Path, typer.Option(help="The folder of the memory.")],
    append: Annotated[
        bool, typer.Option("--append", help="Go on with the memory in the folder.")
    ] = False,
    model: ModelOption = None,
    adapter: Annotated[Path | None, typer.Option(help="A folder with beacons for it.")] = None,
    compressor: Annotated[
        str | None,
        typer.Option(help="beacon, select, full or gist; by default what suits the model."),
    ] = None,
    ratio: Annotated[
        int | None, typer.Option(min=1, help="Tokens a kept row, at least; default 4.")
    ] = None,
    window: Annotated[
        int | None, typer.Option(min=1, help="Tokens that are compressed or retold together.")
    ] = None,
    by_generator: Annotated[
        bool, typer.Option("--by-generator", help="The settings' chat model retells windows.")
    ] = False,
    dtype: Annotated[str, typer.Option(help="On disk: bf16, fp32, int8 or int4.")] = "bf16",
    device: DeviceOption = "cpu",
    threads: ThreadsOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Read files into the memory of a language model and save it. Columns: what, how much.

    Unless there is no embedder, they are cut into passages that can be found, too.
    """
    from memoryscope_rag.beacon.options import holds_memory
    from memoryscope_rag.documents.memory_files import holds_documents
    from memoryscope_rag.documents.reading import read_document

    made = (adapter, compressor, ratio, window)
    if append and any(one is not None for one in made):
        raise InvalidInput("--append", "keeps compressor, adapter, ratio and window as they are")
    held = holds_documents(save)
    if not append and (held or holds_memory(save)):
        raise InvalidInput("--save", f"{save} holds a memory; go on with --append, or remove it")
    texts = {str(file): read_document(file) for file in files}
    if len(texts) < len(files):
        raise InvalidInput("files", "name one file twice")
    chosen = (
        None if model == NO_MODEL else memory_options(model, adapter, compressor, ratio, window)
    )
    if chosen is None and any(one is not None for one in made):
        raise InvalidInput("--model", f"is {NO_MODEL!r}: there are no {', '.join(_MADE)} then")
    if by_generator and (chosen is None or compressor not in (None, "gist")):
        raise InvalidInput("--by-generator", "is for --compressor gist with a model")
    config, place = settings.config(), _running(settings, device, threads)

    # torch comes with these, seconds later
    from memoryscope_rag.beacon.files.quantize import ENCODINGS
    from memoryscope_rag.beacon.memory import BeaconMemory

    encoding = next((one for one in ENCODINGS if one == dtype), None)
    if encoding is None:
        raise InvalidInput("--dtype", f"{dtype!r} is unknown; known: {', '.join(ENCODINGS)}")

    async def work() -> MemoryStats:
        if chosen is None or (held if append else config.embedder.name != NO_MODEL):
            return await memorize_documents(
                config,
                texts,
                save,
                append=append,
                options=chosen,
                model=model,
                by_generator=by_generator,
                encoding=encoding,
                place=place,
            )
        if by_generator:
            raise InvalidInput("--by-generator", "needs an embedder, for documents are searched")
        if append:
            opening = BeaconMemory.load(save, model=model, **place)
        else:
            opening = BeaconMemory.open(chosen, **place)
        async with await opening as memory:
            for name, text in texts.items():
                with progress(Path(name).name) as told:
                    await memory.append(text, source=name, progress=told)
            return await memory.save(save, encoding=encoding)

    _show(asyncio.run(work()), as_json)


@with_settings(scope=False)
def recall(
    settings: Settings,
    query: Annotated[str, typer.Argument(help="What is to be found.")],
    load: LoadOption,
    rewrite: Annotated[
        bool, typer.Option("--rewrite", help="Also precise questions in its place.")
    ] = False,
    model: ModelOption = None,
    device: DeviceOption = "cpu",
    threads: ThreadsOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Clues of a memory for a query; exit code 1 when there is none.

    Columns: kind, what it leans on, blocks, text.
    """

    async def work(memory: BeaconMemory) -> tuple[Clue, ...]:
        return await (memory.clues(query) if rewrite else memory.recall(query))

    clues = _asked(settings, load, model, device, threads, work)
    if as_json:
        names = ("kind", "text", "provenance", "blocks")
        say_json({"clues": [{name: getattr(clue, name) for name in names} for clue in clues]})
    else:
        table(
            ("kind", "leans on", "blocks", "text"),
            [
                (clue.kind, ", ".join(clue.provenance), ", ".join(map(str, clue.blocks)), clue.text)
                for clue in clues
            ],
        )
    if not clues:
        raise typer.Exit(NOTHING)


@with_settings(scope=False)
def answer(
    settings: Settings,
    query: Annotated[str, typer.Argument(help="The question.")],
    load: LoadOption,
    model: ModelOption = None,
    device: DeviceOption = "cpu",
    threads: ThreadsOption = 0,
) -> None:
    """Answer a question from a memory alone."""
    _say(_asked(settings, load, model, device, threads, lambda m: m.answer(query)))


@with_settings(scope=False)
def summarize(
    settings: Settings,
    load: LoadOption,
    model: ModelOption = None,
    device: DeviceOption = "cpu",
    threads: ThreadsOption = 0,
) -> None:
    """The main points of a memory, a line each."""
    _say(_asked(settings, load, model, device, threads, lambda m: m.summarize()))


def _running(settings: Settings, device: str, threads: int) -> Place:
    """Where the model runs."""
    folder = settings.config().embedder.models_dir
    return {"models_dir": folder, "device": device, "threads": threads}


def memory_options(
    model: str | None,
    adapter: Path | None,
    compressor: str | None,
    ratio: int | None,
    window: int | None,
) -> MemoryOptions:
    """What was chosen; the rest as it is by default."""
    from memoryscope_rag.beacon.options import MemoryOptions

    chosen: dict[str, Any] = {
        "model": model,
        "adapter": None if adapter is None else str(adapter),
        "compressor": compressor,
        "ratio": ratio,
        "window": window,
    }
    return MemoryOptions(**{name: value for name, value in chosen.items() if value is not None})


def _asked(
    settings: Settings,
    load: Path,
    model: str | None,
    device: str,
    threads: int,
    work: Callable[[BeaconMemory], Awaitable[T]],
) -> T:
    from memoryscope_rag.beacon.memory import BeaconMemory

    place = _running(settings, device, threads)

    async def loaded() -> T:
        async with await BeaconMemory.load(load, model=model, **place) as memory:
            return await work(memory)

    return asyncio.run(loaded())


def _say(reply: Reply) -> None:
    for line in reply.text.splitlines():  # which may hold whatever stood in a file
        say(one_line(line))


def _show(stats: MemoryStats, as_json: bool) -> None:
    rows = {
        "model": stats.model,
        "compressor": stats.compressor if stats.trained else f"{stats.compressor}, untrained",
        "tokens": stats.tokens,
        "texts": stats.messages,
        "blocks": stats.blocks,
        "rows": stats.rows,
        "ratio": round(stats.ratio, 2),
        "bytes": stats.stored_bytes,
        "seconds": round(stats.seconds, 1),
    }
    if as_json:
        say_json(rows)
    else:
        table(("what", "how much"), list(rows.items()))
