"""The files of the console, under ``/console/``.

Each file is a route of its own, read once: what is not in the package cannot be asked for, and no
path that is logged or counted is a caller's invention. They hold no data, so they need no key.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable

from fastapi import APIRouter
from starlette.responses import RedirectResponse, Response

FOLDER = "/console/"
INDEX = "index.html"
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "img-src 'self' data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
"""What a page may load and do: this service's own files and answers, nothing inline."""
_HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
}
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


def console_files() -> dict[str, bytes]:
    """The files by their names, such as ``pages/search.js``."""
    return dict(_below(files("memoryscope_rag.console").joinpath("static"), ""))


def _below(folder: Traversable, prefix: str) -> Iterator[tuple[str, bytes]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _below(entry, f"{prefix}{entry.name}/")
        elif _ending(entry.name) in _TYPES:
            yield prefix + entry.name, entry.read_bytes()


def _ending(name: str) -> str:
    return name[name.rfind(".") :]


def _sends(name: str, content: bytes) -> Callable[[], Awaitable[Response]]:
    async def send() -> Response:
        return Response(content, media_type=_TYPES[_ending(name)], headers=_HEADERS)

    return send


def console_routes() -> APIRouter:
    """A route for every file; the folder itself is :data:`INDEX`."""
    router = APIRouter(include_in_schema=False)
    for name, content in console_files().items():
        path = FOLDER if name == INDEX else FOLDER + name
        router.add_api_route(path, _sends(name, content), methods=["GET"])

    @router.get(FOLDER.rstrip("/"))
    async def folder() -> Response:
        return RedirectResponse(FOLDER, headers=_HEADERS)

    return router
