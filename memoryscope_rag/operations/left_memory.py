"""Files that a beacon memory has left behind, where there is none any more to remove them."""

from __future__ import annotations

import shutil
from pathlib import Path

from memoryscope_rag.errors import StoreUnavailable
from memoryscope_rag.schema import Scope


def remove_left_memory(folder: Path, scope: Scope) -> None:
    """Remove what any model has of ``scope`` in ``folder``. Needs no package of beacon memory.

    Raises:
        StoreUnavailable: a file cannot be removed.
    """
    for left in folder.glob(f"*/{scope.digest}"):
        try:
            shutil.rmtree(left)
        except FileNotFoundError:
            continue  # somebody else is at it
        except OSError as error:
            raise StoreUnavailable(f"cannot remove the beacon memory {left}: {error}") from error
