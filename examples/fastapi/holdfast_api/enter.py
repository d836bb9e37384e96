"""Who the caller is now: the first statement of every transaction, judged by the database."""

import hashlib
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from typing import Mapping

import asyncpg
from fastapi import Request

from .problems import Problem, log

# The function stands in FROM, which always runs; around it every setting is set, for this transaction alone.
ENTER = """SELECT e.user_id, e.tenant_id, e.role, e.grants_version, e.touch_due,
  pg_catalog.set_config('holdfast.user_id', e.user_id, true),
  pg_catalog.set_config('holdfast.tenant_id', e.tenant_id, true),
  pg_catalog.set_config('holdfast.role', e.role, true)
FROM holdfast.enter($1::TEXT, $2::BYTEA, $3::TEXT[], $4::BOOL, $5::TEXT[], $6::TEXT, $7::INT8, $8::TEXT) AS e"""
GRANTS = "SELECT g.role, g.permission, g.reach FROM holdfast.grants_of_version($1::TEXT) AS g"

BEARER = re.compile(r"Bearer hfs_([A-Za-z0-9_-]{43})\Z", re.IGNORECASE)
# Reasons that have an answer of their own; all others are answered by their status alone, so that a client can not
# tell, say, an expired session from a revoked one (CWE-204).
OF_REASON = {
    "tenant_not_selected": "tenant_not_selected",
    "tenant_sources_disagree": "tenant_sources_disagree",
    "assurance_too_low": "insufficient_user_authentication",
    "authentication_too_old": "insufficient_user_authentication",
}
OF_STATE = {"KH400": "malformed_request", "KH401": "unauthenticated", "KH403": "forbidden", "KH404": "not_found"}


class Denied(Problem):
    """The database let nobody in. `because` is for the log."""

    def __init__(self, sqlstate: str, because: str) -> None:
        super().__init__(OF_REASON.get(because) or OF_STATE[sqlstate])
        self.because = because


@dataclass(frozen=True)
class Access:
    """What a route needs: permissions, each with the reach that its statements were written for."""

    permissions: Mapping[str, str]
    writes: bool = False


@dataclass(frozen=True)
class Caller:
    """Who is there, as the database says in this transaction."""

    user_id: str
    tenant_id: str
    role: str
    version: str
    touch_due: bool


def credential_of(request: Request) -> bytes:
    """SHA-256 of the bearer token's 32 bytes; the token itself goes no further. Raises Problem `unauthenticated`."""
    headers = request.headers.getlist("authorization")
    found = BEARER.match(headers[0]) if len(headers) == 1 else None
    if found is None:
        raise Problem("unauthenticated")
    secret = urlsafe_b64decode(found[1] + "=")
    # only the canonical text is the token: 43 characters carry two bits too many (CWE-1289)
    if urlsafe_b64encode(secret).decode().rstrip("=") != found[1]:
        raise Problem("unauthenticated")
    return hashlib.sha256(secret).digest()


async def enter(connection: asyncpg.Connection, credential: bytes, access: Access) -> Caller:
    """Binds the transaction to the caller. Raises Denied; whatever else it raises is a fault."""
    try:
        row = await connection.fetchrow(ENTER, "session", credential, [], True, list(access.permissions), "aal1", 0, "")
    except asyncpg.PostgresError as error:
        # only here is KH… a denial: a handler's own statement may raise the same (CWE-345)
        if error.sqlstate in OF_STATE:
            raise Denied(error.sqlstate, error.detail or "") from None
        raise
    return Caller(row["user_id"], row["tenant_id"], row["role"], row["grants_version"], row["touch_due"])


class Grants:
    """Reaches by version, role and permission. A version's grants never change, so they are kept; who has which is not."""

    KEPT = 16

    def __init__(self) -> None:
        self._versions: dict[str, dict[tuple[str, str], str]] = {}

    async def check(self, connection: asyncpg.Connection, caller: Caller, access: Access) -> None:
        """*Enter* has found the permissions; this finds whether they reach as far as the statements. Raises Denied."""
        reaches = self._versions.get(caller.version)
        if reaches is None:
            rows = await connection.fetch(GRANTS, caller.version)
            reaches = {(row["role"], row["permission"]): row["reach"] for row in rows}
            if len(self._versions) >= self.KEPT:
                self._versions.clear()
            self._versions[caller.version] = reaches
        for permission, needed in access.permissions.items():
            if needed == "tenant" and reaches.get((caller.role, permission)) != "tenant":
                raise Denied("KH403", "reach_too_narrow")


def log_denial(request_id: str, denied: Denied) -> None:
    """The reason, for the operator."""
    log.info("denied because=%s request=%s", denied.because, request_id)
