"""bench memorag: memories of long documents, invented or of a file."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from memoryscope_rag.cli.bench import number
from memoryscope_rag.cli.documents import NO_MODEL, opened_models
from memoryscope_rag.cli.memorize import memory_options
from memoryscope_rag.cli.output import is_terminal, say, say_json, table
from memoryscope_rag.cli.settings import Settings, with_settings


@with_settings(scope=False)
def memorag(
    settings: Settings,
    data: Annotated[
        Path | None, typer.Option("--data", help="JSON lines; by default documents are invented.")
    ] = None,
    tokens: Annotated[
        str, typer.Option(help="Lengths of invented documents, separated by commas.")
    ] = "10000",
    languages: Annotated[str, typer.Option(help="Their languages: en, zh.")] = "en,zh",
    questions: Annotated[int, typer.Option(min=1, help="Questions of each of them.")] = 8,
    seed: Annotated[int, typer.Option(help="Of the invention.")] = 0,
    write: Annotated[
        Path | None, typer.Option(help="Write the invented documents here, and do no more.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="A chat model of this machine, or none.")
    ] = None,
    compressor: Annotated[
        str | None, typer.Option(help="beacon, select, full or gist; default: as suits it.")
    ] = None,
    ratio: Annotated[int | None, typer.Option(min=1, help="Tokens a kept row, at least.")] = None,
    window: Annotated[
        int | None, typer.Option(min=1, help="Tokens that are compressed together.")
    ] = None,
    evidence: Annotated[str, typer.Option(help="fused, or union as in MemoRAG.")] = "fused",
    generator: Annotated[
        bool, typer.Option("--generator", help="The chat model of the settings answers.")
    ] = False,
    max_tokens: Annotated[int, typer.Option(min=1, help="Of an answer.")] = 64,
    device: Annotated[str, typer.Option(help="Of torch, such as cuda.")] = "cpu",
    threads: Annotated[int, typer.Option(min=0, help="Of torch; 0 is half the cores.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Memories of long documents: evidence found with and without clues, seconds, bytes."""
    from memoryscope_rag.documents.evidence import EVIDENCE_MODES
    from memoryscope_rag.documents.options import DocumentOptions
    from memoryscope_rag.errors import InvalidInput
    from memoryscope_rag.evaluation import long_documents

    mode = next((one for one in EVIDENCE_MODES if one == evidence), None)
    if mode is None:
        raise InvalidInput("--evidence", f"{evidence!r}: choose {', '.join(EVIDENCE_MODES)}")
    if data is not None:
        documents = long_documents.read_documents(data)
    else:
        documents = [
            long_documents.long_document(size, language, seed=seed, questions=questions)
            for size in _numbers(tokens)
            for language in languages.split(",")
        ]
    if write is not None:
        long_documents.write_documents(write, documents)
        return
    made = None if model == NO_MODEL else memory_options(model, None, compressor, ratio, window)
    options = DocumentOptions(memory=made, evidence=mode)
    config = settings.config()

    from memoryscope_rag.evaluation.memorag import MemoragReport, run_memorag

    async def work() -> MemoragReport:
        writing = generator or made is None
        async with opened_models(config, writing=writing) as (embedder, writer):
            return await run_memorag(
                documents,
                embedder,
                options,
                data="invented" if data is None else data.name,
                max_tokens=max_tokens,
                say=lambda text: print(text, file=sys.stderr),
                models={
                    "generator": writer,
                    "models_dir": config.embedder.models_dir,
                    "device": device,
                    "threads": threads,
                },
            )

    report = asyncio.run(work())
    if as_json:
        say_json({**json.loads(report.recall.to_json()), "costs": report.costs})
        return
    print(report.recall.table())
    say()
    headers = ("document", *next(iter(report.costs.values())))
    if not is_terminal():
        say("\t".join(headers))  # figures need their names
    rows = [(name, *map(number, row.values())) for name, row in report.costs.items()]
    table(headers, rows)


def _numbers(text: str) -> list[int]:
    from memoryscope_rag.errors import InvalidInput

    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise InvalidInput("--tokens", f"{text!r} is no list such as 10000,50000") from None
