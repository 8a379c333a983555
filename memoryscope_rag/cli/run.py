"""From arguments to an exit code: the only place that turns errors into sentences."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from memoryscope_rag.errors import MalformedReply, MemoryScopeError, ModelError, StoreError

NOTHING, USAGE, STORE, MODEL = 1, 2, 3, 4
INTERRUPTED = 130


class ReaderGone(Exception):
    """Standard output was closed by whoever read it."""


def exit_code(error: MemoryScopeError) -> int:
    """3 for the store, 4 for a model, 2 for what the caller got wrong."""
    if isinstance(error, StoreError):
        return STORE
    if isinstance(error, ModelError | MalformedReply):
        return MODEL
    return USAGE


def run(arguments: Sequence[str]) -> int:
    """Run one command; the exit code."""
    try:
        code = _run(arguments)
        sys.stdout.flush()
    except (BrokenPipeError, ReaderGone):
        # the reader, such as head, has seen enough; nothing more may be flushed to it at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return code


def _run(arguments: Sequence[str]) -> int:
    from memoryscope_rag.cli.commands import app

    # help and errors are drawn with boxes for a person, and plain for a program
    app.rich_markup_mode = "rich" if sys.stdout.isatty() and sys.stderr.isatty() else None
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")  # a terminal that lacks a letter still works
    try:
        app(args=list(arguments), prog_name="memoryscope-rag")
    except SystemExit as left:
        return left.code if isinstance(left.code, int) else (NOTHING if left.code else 0)
    except MemoryScopeError as error:
        print(f"memoryscope-rag: {' '.join(str(error).split())}", file=sys.stderr)
        return exit_code(error)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        raise
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print(f"memoryscope-rag: {where}{error.strerror or error}", file=sys.stderr)
        return USAGE
    return 0
