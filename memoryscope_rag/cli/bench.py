"""bench: the benchmarks, each a table, or one JSON object with --json."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from memoryscope_rag.cli.output import is_terminal, say, say_json, table
from memoryscope_rag.cli.settings import Settings, with_settings
from memoryscope_rag.errors import InvalidInput

if TYPE_CHECKING:
    from memoryscope_rag.configs.model import Config

app = typer.Typer(
    help="Benchmarks. Their data are not part of this package; --data names a file.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object.")]
DataOption = Annotated[Path, typer.Option("--data", help="JSON lines, also .xz.")]


LimitOption = Annotated[int | None, typer.Option("--limit", min=1, help="Only so many histories.")]
SETS = ("locomo", "longmemeval", "memdaily", "generic")


@app.command()
@with_settings(scope=False)
def locomo(
    settings: Settings, data: DataOption, limit: LimitOption = None, as_json: JsonOption = False
) -> None:
    """Retrieval on LoCoMo: turns by recall, nDCG and token budget."""
    _retrieval(settings, "locomo", data, limit, as_json)


@app.command()
@with_settings(scope=False)
def longmemeval(
    settings: Settings, data: DataOption, limit: LimitOption = None, as_json: JsonOption = False
) -> None:
    """Retrieval on LongMemEval-S: sessions by recall and precision."""
    _retrieval(settings, "longmemeval", data, limit, as_json)


@app.command()
@with_settings(scope=False)
def memdaily(
    settings: Settings, data: DataOption, limit: LimitOption = None, as_json: JsonOption = False
) -> None:
    """Retrieval on MemDaily: Chinese messages by recall."""
    _retrieval(settings, "memdaily", data, limit, as_json)


@app.command()
@with_settings(scope=False)
def generic(
    settings: Settings, data: DataOption, limit: LimitOption = None, as_json: JsonOption = False
) -> None:
    """Retrieval on histories of your own: {"id", "turns", "questions"} a line."""
    _retrieval(settings, "generic", data, limit, as_json)


@app.command()
@with_settings(scope=False)
def fit(
    settings: Settings,
    data: Annotated[
        list[str],
        typer.Option("--data", help="NAME=FILE, or a FILE whose name tells; repeatable."),
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the ranker's weights here.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Fit the ranker's weights on data sets, each counted alike."""
    from memoryscope_rag.build import build_embedder
    from memoryscope_rag.evaluation.benchmarks import run_fit

    paths = dict(_named(text) for text in data)
    embedder = build_embedder(settings.config())
    if embedder is None:
        raise InvalidInput("--embedder", "is 'none'; a ranker is fitted for a model")
    try:
        ranker, report = run_fit(paths, embedder)
    finally:
        embedder.close()
    if output is not None:
        output.write_text(ranker.to_json(), "utf-8", newline="\n")
    print(report.to_json() if as_json else report.table())


def _named(text: str) -> tuple[str, Path]:
    """``NAME=FILE``, or a file whose name begins with that of a data set."""
    name, equals, file = text.partition("=")
    if equals and name in SETS:
        return name, Path(file)
    for known in SETS:
        if Path(text).name.startswith(known):
            return known, Path(text)
    raise InvalidInput("--data", f"{text!r}: write NAME=FILE with NAME of {', '.join(SETS)}")


def _retrieval(settings: Settings, name: str, data: Path, limit: int | None, as_json: bool) -> None:
    """On SQLite, and on the cluster of the settings beside it."""
    from memoryscope_rag.build import build_embedder, build_ranker
    from memoryscope_rag.evaluation import benchmarks
    from memoryscope_rag.evaluation.report import side_by_side

    run = {
        "locomo": benchmarks.run_locomo,
        "longmemeval": benchmarks.run_longmemeval,
        "memdaily": benchmarks.run_memdaily,
        "generic": benchmarks.run_generic,
    }[name]
    config = settings.config()
    embedder = build_embedder(config)
    ranker = build_ranker(config, embedder)
    try:
        report = run(data, embedder, ranker, limit=limit)
        if config.store.provider != "sqlite":
            other = run(data, embedder, ranker, limit=limit, config=config)
            report = side_by_side({"sqlite": report, config.store.provider: other})
    finally:
        if embedder is not None:
            embedder.close()
    print(report.to_json() if as_json else report.table())


GENERATORS = ("none", "settings", "stand-in")


@app.command()
@with_settings(scope=False)
def consolidation(
    settings: Settings,
    data: Annotated[str, typer.Option("--data", help="NAME=FILE, or a FILE whose name tells.")],
    generator: Annotated[
        str,
        typer.Option(
            "--generator",
            help="none: what observations drawn by rules do for retrieval; settings: calls and"
            " tokens of the chat model of the settings; stand-in: the same without any model.",
        ),
    ] = "none",
    limit: LimitOption = None,
    as_json: JsonOption = False,
) -> None:
    """Consolidation: calls and tokens of a chat model, or what its rules do for retrieval."""
    from memoryscope_rag.build import build_embedder, build_generator, build_ranker

    if generator not in GENERATORS:
        raise InvalidInput("--generator", f"{generator!r}: choose {', '.join(GENERATORS)}")
    name, path = _named(data)
    config = settings.config()
    embedder = build_embedder(config)
    ranker = build_ranker(config, embedder)
    try:
        if generator == "none":
            from memoryscope_rag.evaluation.consolidation import run_consolidation

            report = run_consolidation(name, path, embedder, ranker, limit=limit)
        else:
            from memoryscope_rag.evaluation.consolidation_cost import run_cost
            from memoryscope_rag.evaluation.stand_in import StandIn

            model = StandIn() if generator == "stand-in" else build_generator(config)
            if model is None:
                raise InvalidInput("--generator", "the settings name no chat model")
            report = run_cost(name, path, model, embedder, ranker, limit=limit)
    finally:
        if embedder is not None:
            embedder.close()
    print(report.to_json() if as_json else report.table())


@app.command()
@with_settings(scope=False)
def conflict(
    settings: Settings,
    data: Annotated[
        Path | None, typer.Option("--data", help="Pairs of your own; default those that ship.")
    ] = None,
    part: Annotated[
        str,
        typer.Option("--part", help="Of the pairs that ship: tuned, seen, or held-out."),
    ] = "tuned",
    generator: Annotated[
        bool, typer.Option("--generator", help="Ask the chat model of the settings, too.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Conflicts: what newer statements make of older ones, by rules and by a chat model."""
    from memoryscope_rag.build import build_generator
    from memoryscope_rag.evaluation.conflict import FILES, run_conflict

    chosen = next((name for name in FILES if name == part), None)
    if chosen is None:
        raise InvalidInput("--part", f"{part!r}: choose {', '.join(FILES)}")
    model = build_generator(settings.config()) if generator else None
    if generator and model is None:
        raise InvalidInput("--generator", "the settings name no chat model")
    report = run_conflict(chosen, data, model)
    print(report.to_json() if as_json else report.table())


@app.command()
@with_settings(scope=False)
def timex(
    settings: Settings,
    data: DataOption,
    misses: Annotated[int, typer.Option(min=0, help="Misses shown of each cause.")] = 5,
    as_json: JsonOption = False,
) -> None:
    """Time expressions: how many are understood, and which are not.

    The data let "5 to 7 May" end where the 7th begins, and the first row reads it so, too.
    """
    from memoryscope_rag.evaluation.timex import evaluate

    report = evaluate(data)
    metrics: dict[str, float] = {"accuracy": report.accuracy}
    for kind, (count, right) in report.by_type.items():
        metrics[f"accuracy_{kind}"] = right / count
    for cause, count in sorted(report.causes.items()):
        metrics[f"missed: {cause}"] = count
    tree = {
        "benchmark": "timex",
        "data": data.name,
        "embedder": None,
        "n": report.n,
        "systems": {
            "memoryscope-rag": metrics,
            # what find_times does unless told otherwise: "5 to 7 May" contains the 7th
            "memoryscope-rag, last day included": {
                "accuracy": evaluate(data, ends="inclusive").accuracy
            },
        },
    }
    if as_json:
        listed = [
            {
                "cause": m.cause,
                "type": m.type,
                "input": m.input,
                "text": m.text,
                "reference": m.reference,
                "wanted": m.values,
                "found": m.found,
            }
            for m in report.misses
        ]
        say_json({**tree, "misses": listed})
        return
    show(tree)
    shown: dict[str, int] = {}
    for miss in report.misses:
        shown[miss.cause] = shown.get(miss.cause, 0) + 1
        if shown[miss.cause] > misses:
            continue
        table(
            ("cause", "text", "input", "reference", "wanted", "found"),
            [
                (
                    miss.cause,
                    miss.text,
                    miss.input,
                    miss.reference,
                    " or ".join(miss.values),
                    " and ".join(miss.found) or "nothing",
                )
            ],
        )


@app.command()
@with_settings(scope=False)
def speed(
    settings: Settings,
    rows: Annotated[
        int, typer.Option(min=0, help="Nodes in the store of many scopes; 0 leaves it out.")
    ] = 1_000_000,
    sizes: Annotated[
        str, typer.Option(help="Nodes of a single scope, separated by commas.")
    ] = "1000,10000,38000,100000",
    queries: Annotated[int, typer.Option(min=20, help="Retrievals a percentile.")] = 100,
    messages: Annotated[int, typer.Option(min=64, help="Messages recorded in batches.")] = 4096,
    consolidations: Annotated[
        int, typer.Option(min=0, help="Scopes consolidated while others retrieve; 0: none.")
    ] = 100,
    deadlines: Annotated[
        int, typer.Option(min=0, help="Retrievals a deadline, with a memory that hangs; 0: none.")
    ] = 100,
    as_json: JsonOption = False,
) -> None:
    """Milliseconds of retrieving, recording and opening; bytes a message.

    Retrieval beside consolidation is measured with that in the same process and in its own; where
    memory.model names a beacon memory, also beside its refresh.
    With --store naming a cluster: on SQLite, and there beside it.
    """
    from memoryscope_rag.build import build_embedder
    from memoryscope_rag.evaluation.speed import measure

    numbers = listed("--sizes", sizes, "1000,10000")
    config = settings.config()
    # a cache of query vectors would hide what embedding costs
    config = config.model_copy(
        update={"embedder": config.embedder.model_copy(update={"cache_queries": 0})}
    )
    embedder = build_embedder(config)
    places: dict[str, Config | None] = {"memoryscope-rag": None}
    if config.store.provider != "sqlite":
        places = {"sqlite": None, config.store.provider: config}
    try:
        systems = {
            place: asyncio.run(
                measure(
                    embedder,
                    sizes=numbers,
                    rows=rows,
                    queries=queries,
                    messages=messages,
                    consolidations=consolidations,
                    deadlines=deadlines,
                    settings=config,
                    config=chosen,
                    say=lambda text: print(text, file=sys.stderr),
                )
            )
            for place, chosen in places.items()
        }
        name = None if embedder is None else embedder.spec.name
    finally:
        if embedder is not None:
            embedder.close()
    tree = {
        "benchmark": "speed",
        "data": "synthetic",
        "embedder": name,
        "n": queries,
        "systems": systems,
    }
    if as_json:
        say_json(tree)
    else:
        show(tree)


def show(report: Mapping[str, Any]) -> None:
    """A report as a table: a metric a line, a system a column."""
    say(
        f"{report['benchmark']} on {report['data']}, embedder {report['embedder'] or 'none'}, "
        f"n = {report['n']}"
    )
    systems: Mapping[str, Mapping[str, float]] = report["systems"]
    metrics = list(dict.fromkeys(name for values in systems.values() for name in values))
    if not is_terminal():
        say("\t".join(("metric", *systems)))  # figures of several systems need their names
    table(
        ("metric", *systems),
        [
            (metric, *(number(values.get(metric)) for values in systems.values()))
            for metric in metrics
        ],
    )


def number(value: float | None) -> str:
    """A figure for a table, with four digits; empty where there is none."""
    if value is None:
        return ""
    return (
        str(value) if isinstance(value, int) else f"{value:.4g}" if value < 1e4 else f"{value:.0f}"
    )


def listed(option: str, text: str, example: str) -> list[int]:
    """The numbers, from 1 on, of an option that takes several. Raises InvalidInput."""
    try:
        found = [int(part) for part in text.split(",") if part.strip()]
    except ValueError:
        found = [0]
    if any(one < 1 for one in found):
        raise InvalidInput(option, f"{text!r} is no list such as {example}")
    return found
