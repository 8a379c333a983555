"""Filling a model folder so that whoever looks sees no model or a whole one."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from memoryscope_rag.errors import ModelError


@contextmanager
def staged(folder: Path, *, replace: bool = True) -> Iterator[Path]:
    """An empty folder to fill; it becomes ``folder`` when the block ends well.

    It lies in a hidden folder beside ``folder``, whose other contents are thrown away at the end.
    With ``replace`` false a ``folder`` that another process made meanwhile is left as it is.

    Raises:
        ModelError: it cannot be written; ``retryable``.
    """
    destination = folder.parent
    try:
        destination.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=destination))
    except OSError as error:
        raise ModelError(f"cannot write to {destination}: {error}", retryable=True) from error
    try:
        fresh = staging / folder.name
        fresh.mkdir()
        yield fresh
        if replace:
            _replace(fresh, folder, staging / "old")
        else:
            _place(fresh, folder)
    except OSError as error:
        raise ModelError(
            f"cannot store the model {folder.name}: {error}", retryable=True
        ) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _place(fresh: Path, folder: Path) -> None:
    try:
        fresh.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise


def _replace(fresh: Path, folder: Path, aside: Path) -> None:
    if folder.exists():
        folder.rename(aside)
    try:
        fresh.rename(folder)
    except OSError:
        if aside.exists() and not folder.exists():
            aside.rename(folder)
        raise
