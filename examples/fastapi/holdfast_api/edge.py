"""The application's edge: an id for each request, a bound for its body, headers for its answer."""

import uuid
from typing import Any, Awaitable, Callable

from .problems import log, response_of

Scope = dict[str, Any]
Send = Callable[[dict[str, Any]], Awaitable[None]]

# A display name of 200 characters and what is around it.
BODY_BYTES = 16 * 1024
HEADERS = [(b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff")]


class Edge:
    """ASGI middleware, outermost: what fails within ends here, without a word of what it was (CWE-209, CWE-400)."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Any, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        request_id = str(uuid.uuid4())
        scope["holdfast_request_id"] = request_id
        started = False

        async def send_with_headers(message: dict[str, Any]) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                message = {**message, "headers": [*message["headers"], *HEADERS, (b"x-request-id", request_id.encode())]}
            await send(message)

        refusal = refusal_of_body(scope)
        if refusal is not None:
            return await response_of(refusal, request_id)(scope, receive, send_with_headers)
        try:
            await self.app(scope, receive, send_with_headers)
        except Exception as error:
            log.error("failed error=%s request=%s", type(error).__name__, request_id)
            if not started:
                await response_of("internal_error", request_id)(scope, receive, send_with_headers)


def refusal_of_body(scope: Scope) -> Any:
    """The server holds a body to its Content-Length; one that names none could go on for ever."""
    headers = dict(scope["headers"])
    if b"transfer-encoding" in headers:
        return "length_required"
    length = headers.get(b"content-length", b"0")
    if not length.isdigit():
        return "malformed_request"
    return "body_too_large" if int(length) > BODY_BYTES else None
