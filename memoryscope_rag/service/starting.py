"""Why an application did not start: whoever runs it gets the error, and the log no traceback.

An application opens its store in a task of the server, maybe in another process; what it meets
there would end in the log alone.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from memoryscope_rag.errors import MemoryScopeError
from memoryscope_rag.operations.job_lines import Failed, answer_line, error_of, failed, read_answer

_FILE = "failure.json"


class Starting:
    """The ASGI layer that leaves in ``folder`` which of our errors kept ``app`` from starting.

    The log names the error's class; any other error is logged as the server does it.
    """

    def __init__(self, app: ASGIApp, folder: Path) -> None:
        self._app, self._folder = app, folder

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See the class."""
        if scope["type"] != "lifespan":
            await self._app(scope, receive, send)
            return
        held: Message | None = None

        async def sending(message: Message) -> None:
            nonlocal held
            if message["type"] == "lifespan.startup.failed":
                held = message  # its text is a traceback
            else:
                await send(message)

        try:
            await self._app(scope, receive, sending)
        except MemoryScopeError as error:
            if held is None:
                raise
            # another process may have been first, with the same
            with suppress(FileExistsError), (self._folder / _FILE).open("xb") as file:
                file.write(answer_line(failed(None, error, {})))
            await send({**held, "message": f"not started: {type(error).__name__}"})
        except BaseException:
            if held is not None:
                await send(held)
            raise


def reason(folder: Path) -> Exception | None:
    """What :class:`Starting` left in ``folder``, with its class, words and attributes."""
    try:
        told = read_answer((folder / _FILE).read_bytes())
    except (FileNotFoundError, ValueError):  # it met none of ours, or was stopped while it wrote
        return None
    return error_of(told) if isinstance(told, Failed) else None
