"""Files from the model hub.

The hub is asked through ``huggingface_hub``, which honours ``HF_ENDPOINT`` and the token that the
user logged in with.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from memoryscope_rag.errors import ModelError, ModelNotFound


def download(
    repo: str, files: Sequence[str], folder: Path, *, token: str | None, progress: bool
) -> None:
    """Fetch ``files`` of ``repo`` into ``folder``, without the folders that they lie in there.

    A folder beside ``folder`` takes what is half fetched; whoever made ``folder`` removes it.

    Args:
        progress: whether to draw a bar on stderr.

    Raises:
        ModelNotFound: the hub has no such repository or file.
        ModelError: the hub cannot be reached, or it failed; ``retryable``.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, RepositoryNotFoundError
    from huggingface_hub.errors import LocalEntryNotFoundError as Unreachable
    from huggingface_hub.utils.tqdm import tqdm

    class Silent(tqdm):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **{**kwargs, "disable": True})  # type: ignore[no-untyped-call]

    # The base of the hub's errors is that of the HTTP library, another in each major version.
    failures: tuple[type[Exception], ...] = (
        OSError,
        *(base for base in HfHubHTTPError.__bases__ if issubclass(base, Exception)),
    )
    for file in files:
        try:
            path = hf_hub_download(
                repo,
                file,
                local_dir=folder.parent / "hub",
                token=token,
                tqdm_class=None if progress else Silent,
            )
        except Unreachable as error:
            raise ModelError(
                f"cannot reach the hub for {repo}: {error.__cause__ or error}; on another "
                "machine pull it and copy the folder, then let MEMORYSCOPE_MODELS name its place",
                retryable=True,
            ) from error
        except (EntryNotFoundError, RepositoryNotFoundError) as error:
            raise ModelNotFound(f"the hub has no {file} in {repo}") from error
        except failures as error:
            raise ModelError(f"pulling {repo} failed: {error}", retryable=True) from error
        shutil.move(path, folder / Path(file).name)
