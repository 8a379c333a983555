"""bench: the benchmarks, each a table, or one JSON object with --json."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from memoryscope_rag.cli.output import say, say_json, table
from memoryscope_rag.cli.settings import Settings, with_settings

app = typer.Typer(
    help="Benchmarks. Their data are not part of this package; --data names a file.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object.")]
DataOption = Annotated[Path, typer.Option("--data", help="JSON lines, also .xz.")]


@app.command()
@with_settings(scope=False)
def timex(
    settings: Settings,
    data: DataOption,
    misses: Annotated[int, typer.Option(min=0, help="Misses shown of each cause.")] = 5,
    as_json: JsonOption = False,
) -> None:
    """Time expressions: how many are understood, and which are not."""
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
        "systems": {"rules": metrics},
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
    as_json: JsonOption = False,
) -> None:
    """Milliseconds of retrieving, recording and opening; bytes a message."""
    from memoryscope_rag.build import build_embedder
    from memoryscope_rag.errors import InvalidInput
    from memoryscope_rag.evaluation.speed import measure

    try:
        numbers = [int(size) for size in sizes.split(",") if size.strip()]
    except ValueError:
        raise InvalidInput("--sizes", f"{sizes!r} is no list such as 1000,10000") from None
    config = settings.config()
    # a cache of query vectors would hide what embedding costs
    config = config.model_copy(
        update={"embedder": config.embedder.model_copy(update={"cache_queries": 0})}
    )
    embedder = build_embedder(config)
    try:
        metrics = measure(
            embedder,
            sizes=numbers,
            rows=rows,
            queries=queries,
            say=lambda text: print(text, file=sys.stderr),
        )
        name = None if embedder is None else embedder.spec.name
    finally:
        if embedder is not None:
            embedder.close()
    tree = {
        "benchmark": "speed",
        "data": "synthetic",
        "embedder": name,
        "n": queries,
        "systems": {"memoryscope-rag": metrics},
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
    table(
        ("metric", *systems),
        [
            (metric, *(_number(values.get(metric)) for values in systems.values()))
            for metric in metrics
        ],
    )


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return (
        str(value) if isinstance(value, int) else f"{value:.4g}" if value < 1e4 else f"{value:.0f}"
    )
