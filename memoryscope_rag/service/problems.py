"""Errors as ``application/problem+json`` (RFC 9457): our tree of errors, and what HTTP adds to it.

A problem quotes what the caller sent at most, never a memory or a path: where an error's own words
could hold one, they are left out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.responses import Response

from memoryscope_rag.errors import (
    BudgetExceeded,
    ConfigError,
    DuplicateId,
    InvalidInput,
    LeaseLost,
    MalformedReply,
    MemoryScopeError,
    MissingExtra,
    ModelError,
    StoreError,
    StoreUnavailable,
    UnknownId,
)

PROBLEM = "application/problem+json"
PREFIX = "urn:memoryscope-rag:"
OPENAI = frozenset({"/v1/chat/completions", "/v1/responses", "/v1/models"})
"""The paths of OpenAI's API, whose clients look for what went wrong under ``error``."""
BUSY_S = 1
"""Seconds that callers are asked to wait before they try a store again."""

_OF_ERRORS: tuple[tuple[type[MemoryScopeError], str, HTTPStatus, str | None], ...] = (
    # the first that fits; with a sentence of ours where the error's own may hold a path
    (UnknownId, "unknown-id", HTTPStatus.NOT_FOUND, None),
    (DuplicateId, "duplicate-id", HTTPStatus.CONFLICT, None),
    (InvalidInput, "invalid-input", HTTPStatus.UNPROCESSABLE_ENTITY, None),
    (LeaseLost, "lease-lost", HTTPStatus.SERVICE_UNAVAILABLE, "another process took over"),
    (
        StoreUnavailable,
        "store-unavailable",
        HTTPStatus.SERVICE_UNAVAILABLE,
        "the database is busy or away; nothing was changed",
    ),
    (StoreError, "store-error", HTTPStatus.INTERNAL_SERVER_ERROR, "the database failed"),
    (
        BudgetExceeded,
        "budget-exceeded",
        HTTPStatus.SERVICE_UNAVAILABLE,
        "what was set aside for models is spent",
    ),
    (ModelError, "model-error", HTTPStatus.BAD_GATEWAY, "a model, or its server, failed"),
    (MalformedReply, "malformed-reply", HTTPStatus.BAD_GATEWAY, "a model's reply was unreadable"),
    (MissingExtra, "not-configured", HTTPStatus.CONFLICT, "this service lacks an optional part"),
    (
        ConfigError,
        "not-configured",
        HTTPStatus.CONFLICT,
        "this service is not set up for that; settings such as generator.provider, memory.model",
    ),
)


TOO_LARGE = "the body is larger than this service takes (service.body_mb)"
_OF_HTTP = {
    400: ("malformed", "the body cannot be read"),
    404: ("not-found", "there is no such path; /openapi.json lists them"),
    405: ("method-not-allowed", "this path wants another method"),
    408: ("request-timeout", "the body took too long to arrive"),
    413: ("too-large", TOO_LARGE),
}


class Problem(Exception):
    """An answer that is no success; ``kind`` is the last part of its ``type``."""

    def __init__(
        self,
        kind: str,
        status: int,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        errors: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        super().__init__(kind)
        self.kind, self.status, self.detail = kind, status, detail
        self.headers, self.errors = dict(headers or {}), tuple(errors)

    def response(self, request_id: str, path: str = "") -> Response:
        """What goes out in answer to a request to ``path``."""
        body: dict[str, Any] = {
            "type": PREFIX + self.kind,
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            "instance": f"urn:request:{request_id}",
        }
        if self.errors:
            body["errors"] = list(self.errors)
        if path in OPENAI:
            body["error"] = {"message": self.detail, "type": self.kind, "code": self.kind}
        text = json.dumps(body)  # in ASCII: what callers send may hold half a character
        return Response(text, self.status, self.headers, media_type=PROBLEM)


class FieldError(BaseModel):
    """What is wrong with one field of a request."""

    field: str
    message: str


class ProblemBody(BaseModel):
    """Why a request failed (RFC 9457)."""

    type: str = Field(description=f"{PREFIX}KIND")
    title: str
    status: int
    detail: str
    instance: str = Field(description="urn:request: and the X-Request-ID")
    errors: list[FieldError] = []


def problem_of(error: MemoryScopeError) -> Problem:
    """The problem that an error of the application is."""
    found = next((row for row in _OF_ERRORS if isinstance(error, row[0])), None)
    if found is None:
        return Problem("error", HTTPStatus.INTERNAL_SERVER_ERROR, "something failed")
    _, name, status, sentence = found
    headers = {}
    if isinstance(error, ModelError) and error.retryable:
        headers["Retry-After"] = str(max(1, round(error.retry_after or BUSY_S)))
    elif isinstance(error, StoreUnavailable | LeaseLost):
        headers["Retry-After"] = str(BUSY_S)
    return Problem(name, status, sentence or str(error), headers=headers)


def _of_validation(error: RequestValidationError) -> Problem:
    if isinstance(error.body, bytes):  # there is one, and its header does not call it JSON
        return Problem(
            "unsupported-media-type",
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "the body has to be JSON with the header 'Content-Type: application/json'",
        )
    faults = error.errors()
    if any(fault["type"] == "json_invalid" for fault in faults):
        return Problem("malformed", HTTPStatus.BAD_REQUEST, "the body is no JSON")
    errors = [
        {"field": ".".join(str(part) for part in fault["loc"]), "message": fault["msg"]}
        for fault in faults[:20]  # without "input", which is what the caller sent
    ]
    return Problem(
        "invalid-input",
        HTTPStatus.UNPROCESSABLE_ENTITY,
        f"{errors[0]['field']}: {errors[0]['message']}",
        errors=errors,
    )


def _of_http(error: HTTPException) -> Problem:
    kind, detail = _OF_HTTP.get(error.status_code, ("http", HTTPStatus(error.status_code).phrase))
    return Problem(kind, error.status_code, detail, headers=error.headers)


def add_handlers(app: FastAPI) -> None:
    """Make every failure of ``app`` a problem."""

    def answer(request: Request, problem: Problem) -> Response:
        request.state.problem = problem.kind
        return problem.response(request.state.request_id, request.url.path)

    @app.exception_handler(Problem)
    async def refused(request: Request, error: Problem) -> Response:
        return answer(request, error)

    @app.exception_handler(MemoryScopeError)
    async def failed(request: Request, error: MemoryScopeError) -> Response:
        return answer(request, problem_of(error))

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        return answer(request, _of_validation(error))

    @app.exception_handler(HTTPException)
    async def plain(request: Request, error: HTTPException) -> Response:
        return answer(request, _of_http(error))

    @app.exception_handler(Exception)
    async def unexpected(request: Request, error: Exception) -> Response:
        # raised again behind this, for the log
        return answer(
            request, Problem("error", HTTPStatus.INTERNAL_SERVER_ERROR, "something failed")
        )
