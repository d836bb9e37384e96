"""What is answered instead of a result: RFC 9457, with a stable code, and nothing of the database's."""

import logging
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

log = logging.getLogger("holdfast_api")

# code: status, and the sentence a client sees
PROBLEMS = {
    "malformed_request": (400, "The request is not well-formed."),
    "validation_failed": (400, "The request does not fit the schema; see errors."),
    "tenant_not_selected": (400, "Choose a tenant first."),
    "tenant_sources_disagree": (400, "The request names more than one tenant."),
    "unauthenticated": (401, "Sign in to use this resource."),
    "insufficient_user_authentication": (401, "This action asks for a fresh sign-in or a second factor."),
    "forbidden": (403, "Your role does not allow this."),
    "not_on_team": (403, "Only those who are on the team may see this."),
    "not_found": (404, "There is no such resource."),
    "method_not_allowed": (405, "The resource does not know this method."),
    "serialization_failure": (409, "The work kept colliding with other work. Try again."),
    "length_required": (411, "Say the length of the body."),
    "body_too_large": (413, "The body is too large."),
    "internal_error": (500, "Something went wrong on our side. Give the request_id to whoever runs this."),
    "unavailable": (503, "The service is not available at the moment. Try again."),
    "outcome_unknown": (503, "The connection was lost while saving: look whether it happened."),
}


class Problem(Exception):
    """Ends a request with a problem of the table."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def document_of(code: str, request_id: str, **more: Any) -> dict[str, Any]:
    """The document that a client gets."""
    status, detail = PROBLEMS[code]
    return {
        "type": f"urn:holdfast:problem:{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "code": code,
        "detail": detail,
        "request_id": request_id,
        **more,
    }


def response_of(code: str, request_id: str, **more: Any) -> JSONResponse:
    """The document as a response, with a challenge where RFC 9110 asks for one."""
    status, _ = PROBLEMS[code]
    headers = {"www-authenticate": "Bearer"} if status == 401 else {}
    return JSONResponse(document_of(code, request_id, **more), status, headers, "application/problem+json")


def answer_problems(app: FastAPI) -> None:
    """Every way in which a request can end badly ends as a problem."""

    def id_of(request: Request) -> str:
        return request.scope["holdfast_request_id"]

    @app.exception_handler(Problem)
    async def on_problem(request: Request, problem: Problem) -> JSONResponse:
        return response_of(problem.code, id_of(request))

    @app.exception_handler(RequestValidationError)
    async def on_invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        # where, and never what: the input may be a secret (CWE-209)
        places = [{"path": "/" + "/".join(str(part) for part in fault["loc"][1:]), "in": str(fault["loc"][0])} for fault in error.errors()]
        return response_of("validation_failed", id_of(request), errors=places)

    @app.exception_handler(HTTPException)
    async def on_http(request: Request, error: HTTPException) -> JSONResponse:
        code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "malformed_request")
        return response_of(code, id_of(request))
