"""bench readout, clues, beacon: what the memory of a language model is worth, and its speed."""

from __future__ import annotations

import json
import sys
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

import typer

from memoryscope_rag.cli.bench import DataOption, JsonOption, LimitOption, listed, number
from memoryscope_rag.cli.output import is_terminal, say, say_json, table
from memoryscope_rag.cli.settings import Settings, with_settings
from memoryscope_rag.errors import InvalidInput

SessionsOption = Annotated[
    int | None, typer.Option(min=1, help="Only the first so many sessions of each history.")
]
QuestionsOption = Annotated[
    int | None, typer.Option(min=1, help="At most so many questions of each history.")
]
OF_A_MEMORY = (
    "model",
    "compressor",
    "ratio",
    "window",
    "adapter",
    "encoding",
    "budget_mb",
    "recent_tokens",
    "heads",
)
"""Settings that change what a memory says."""


@with_settings(scope=False)
def readout(
    settings: Settings,
    data: DataOption,
    model: Annotated[str, typer.Option(help="A chat model of this machine.")] = "",
    limit: LimitOption = None,
    sessions: SessionsOption = None,
    questions: QuestionsOption = None,
    ratios: Annotated[
        str, typer.Option(help="Tokens a row of selected memory, separated by commas.")
    ] = "2,4,8",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the chosen heads here.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Reading attention on LoCoMo: what it adds to the ranker, from full and selected memory."""
    from memoryscope_rag.build import build_embedder, build_ranker
    from memoryscope_rag.evaluation.readout import run_readout
    from memoryscope_rag.models.chat_presets import DEFAULT_CHAT_MODEL
    from memoryscope_rag.models.torch_folders import locate_chat_model
    from memoryscope_rag.models.torch_runtime import open_decoder

    name = model or DEFAULT_CHAT_MODEL
    wanted = listed("--ratios", ratios, "2,4,8")
    config = settings.config()
    folder = locate_chat_model(name, models_dir=config.embedder.models_dir)
    decoder, tokenizer = open_decoder(folder, None)
    embedder = build_embedder(config)
    try:
        report, heads = run_readout(
            data,
            embedder,
            build_ranker(config, embedder),
            decoder,
            tokenizer,
            name=name,
            ratios=wanted,
            limit=limit,
            sessions=sessions,
            questions=questions,
            say=lambda text: print(text, file=sys.stderr),
        )
    finally:
        if embedder is not None:
            embedder.close()
    if output is not None:
        output.write_text(heads.to_json(), "utf-8", newline="\n")
    print(report.to_json() if as_json else report.table())


@with_settings(scope=False)
def clues(
    settings: Settings,
    data: DataOption,
    memory: Annotated[
        str, typer.Option(help="The chat model that remembers; none leaves it out.")
    ] = "",
    model: Annotated[
        str, typer.Option(help="That knows nothing of the history; by default the same.")
    ] = "",
    url: Annotated[
        str | None, typer.Option(help="Of a server that speaks Chat Completions, for --model.")
    ] = None,
    histories: Annotated[int | None, typer.Option(min=2, help="Only so many histories.")] = None,
    sessions: SessionsOption = None,
    questions: QuestionsOption = None,
    cache: Annotated[
        Path | None, typer.Option(help="A folder from which an interrupted run goes on.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Clues and attention of a beacon memory on LoCoMo: what they add to the ranker."""
    import asyncio
    import tempfile

    from memoryscope_rag.app import SystemClock
    from memoryscope_rag.build import (
        build_embedder,
        build_generator,
        build_memory,
        build_ranker,
    )
    from memoryscope_rag.evaluation.clues import ClueModels, run_clues
    from memoryscope_rag.evaluation.report import Report
    from memoryscope_rag.models.chat_presets import DEFAULT_CHAT_MODEL

    if url is not None and not model:
        raise InvalidInput("--url", "needs the model's name on that server, --model")
    config = settings.config()
    name = memory or config.memory.model or DEFAULT_CHAT_MODEL
    server: dict[str, Any] = {"provider": "transformers", "model": model or name}
    if url is not None:
        server = {"provider": "vllm", "model": model, "base_url": url}

    async def work(folder: Path) -> Report:
        kept = {"model": None if name == "none" else name, "folder": folder / "memory"}
        remembering = config.model_copy(update={"memory": config.memory.model_copy(update=kept)})
        writing = config.model_copy(
            update={"generator": config.generator.model_copy(update=server)}
        )
        embedder = build_embedder(config)
        models = ClueModels(
            embedder=embedder,
            ranker=build_ranker(config, embedder),
            clock=SystemClock(),
            memory=build_memory(remembering),
            made_by=remembering.memory.model_dump_json(include=set(OF_A_MEMORY)),
            generator=None if server["model"] == "none" else build_generator(writing),
        )
        try:
            return await run_clues(
                data,
                models,
                cache=cache,
                histories=histories,
                sessions=sessions,
                questions=questions,
                say=lambda text: print(text, file=sys.stderr),
            )
        finally:
            if models.memory is not None:
                await models.memory.close()
            if models.generator is not None:
                await models.generator.close()
            if embedder is not None:
                embedder.close()

    with tempfile.TemporaryDirectory(prefix="memoryscope-rag-bench-") as temporary:
        report = asyncio.run(work(cache or Path(temporary)))
    print(report.to_json() if as_json else report.table())


@with_settings(scope=False)
def beacon(
    settings: Settings,
    model: Annotated[str, typer.Option(help="A chat model of this machine.")] = "",
    covered: Annotated[
        str, typer.Option(help="Tokens that a memory covers, separated by commas.")
    ] = "10000,50000,100000",
    append: Annotated[int, typer.Option(min=1, help="Tokens that are appended to it.")] = 1000,
    window: Annotated[
        int | None, typer.Option(min=1, help="Tokens that are compressed together.")
    ] = None,
    text: Annotated[
        Path | None,
        typer.Option(help="What is remembered to compare memories; default a sample chat."),
    ] = None,
    times: Annotated[int, typer.Option(min=1, help="Rounds a median is taken over.")] = 5,
    device: Annotated[str, typer.Option(help="Of torch, such as cuda.")] = "cpu",
    as_json: JsonOption = False,
) -> None:
    """Beacon memory: speed beside the model itself, sizes in files, and what is remembered."""
    from memoryscope_rag.beacon.opening import open_engine
    from memoryscope_rag.beacon.options import MemoryOptions
    from memoryscope_rag.documents.reading import read_document
    from memoryscope_rag.evaluation.beacon_speed import measure_beacon
    from memoryscope_rag.models.chat_presets import DEFAULT_CHAT_MODEL

    name = model or DEFAULT_CHAT_MODEL
    sizes = listed("--covered", covered, "10000,50000")
    if not sizes:
        raise InvalidInput("--covered", "names no number of tokens")
    remembered = _sample_chat() if text is None else read_document(text)
    engine, options = open_engine(
        MemoryOptions(model=name, compressor="beacon", window=window),
        models_dir=settings.config().embedder.models_dir,
        device=device,
    )
    found = measure_beacon(
        engine,
        remembered,
        covered=sizes,
        append=append,
        times=times,
        say=lambda text: print(text, file=sys.stderr),
    )
    if as_json:
        sections = {key: {"title": s.title, "rows": s.rows} for key, s in found.sections.items()}
        made = {"model": name, "device": found.device, "window": options.window}
        say_json({"benchmark": "beacon", **made, "sections": sections, "notes": found.notes})
        return
    say(f"beacon: {name}, {found.device}, windows of {options.window} tokens")
    for section in found.sections.values():
        figures = list(next(iter(section.rows.values())))
        say()
        headers = (section.title, *figures)
        if not is_terminal():
            say("\t".join(headers))  # figures of several ways need their names
        table(
            headers,
            [
                (row, *(number(values[figure]) for figure in figures))
                for row, values in section.rows.items()
            ],
        )
    say()
    for note in found.notes:
        say(note)


def _sample_chat() -> str:
    """Five months of Ann's, a line a message."""
    file = resources.files("memoryscope_rag.cli").joinpath("sample", "ann.jsonl")
    messages = map(json.loads, file.read_text("utf-8").splitlines())
    return "\n".join(f"{message['speaker']}: {message['content']}" for message in messages)
