"""The commands, put together. What a command needs is imported when it runs."""

from __future__ import annotations

from typing import Annotated

import typer

from memoryscope_rag.cli import (
    backend,
    bench,
    bench_memorag,
    bench_memory,
    bench_proxy,
    bench_service,
    chat,
    demo,
    doctor,
    documents,
    importing,
    mcp,
    memorize,
    memory,
    memory_show,
    models,
    reading,
    retrieving,
    serving,
    stores,
    writing,
)
from memoryscope_rag.cli.settings import (
    ConfigOption,
    EmbedderOption,
    ModelsOption,
    Settings,
    StoreOption,
    ZoneOption,
)

EPILOG = (
    "Exit codes: 0 done; 1 nothing found, or problems (doctor, import); "
    "2 wrong usage or input; 3 the store failed; 4 a model failed."
)

app = typer.Typer(
    name="memoryscope-rag",
    help="Long-term memory for conversational agents.",
    epilog=EPILOG,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from memoryscope_rag import __version__

        print(f"memoryscope-rag {__version__}")
        raise typer.Exit


@app.callback()
def _shared(
    ctx: typer.Context,
    store: StoreOption = None,
    config: ConfigOption = None,
    time_zone: ZoneOption = None,
    embedder: EmbedderOption = None,
    models_dir: ModelsOption = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    ctx.obj = Settings(store, config, time_zone, embedder, models_dir)


for _name, _command in (
    ("demo", demo.demo),
    ("chat", chat.chat),
    ("record", writing.record),
    ("import", importing.import_),
    ("retrieve", retrieving.retrieve),
    ("list", reading.list_),
    ("add", writing.add),
    ("update", writing.update),
    ("forget", writing.forget),
    ("consolidate", backend.consolidate),
    ("reflect", backend.reflect),
    ("history", reading.history),
    ("export", reading.export),
    ("stats", reading.stats),
    ("reembed", writing.reembed),
    ("memorize", memorize.memorize),
    ("recall", memorize.recall),
    ("answer", memorize.answer),
    ("summarize", memorize.summarize),
    ("ask", documents.ask),
    ("serve", serving.serve),
    ("mcp", mcp.mcp),
    ("doctor", doctor.doctor),
):
    app.command(_name)(_command)
bench.app.command("readout")(bench_memory.readout)
bench.app.command("clues")(bench_memory.clues)
bench.app.command("beacon")(bench_memory.beacon)
bench.app.command("service")(bench_service.service)
bench.app.command("proxy")(bench_proxy.proxy)
bench.app.command("memorag")(bench_memorag.memorag)
memory.app.command("show")(memory_show.show)
app.add_typer(models.app, name="models")
app.add_typer(stores.app, name="store")
app.add_typer(memory.app, name="memory")
app.add_typer(serving.app, name="keys")
app.add_typer(bench.app, name="bench")
