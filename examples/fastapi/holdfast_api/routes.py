"""The three routes. There is no first wall here: the tenant, and the caller's own rows, stand in each WHERE by hand."""

import unicodedata
from typing import Any

import asyncpg
from fastapi import APIRouter, Depends, Path
from pydantic import BaseModel, StrictStr

from .enter import Access, Caller
from .problems import Problem
from .unit import Guarded, Unit

router = APIRouter(prefix="/v1")

READ_PROFILE = """SELECT user_id, display_name, email FROM tenancy.profiles
WHERE tenant_id = $1::UUID AND user_id = $2::UUID"""

CHANGE_PROFILE = """UPDATE tenancy.profiles SET display_name = $3::TEXT, updated_at = now()
WHERE tenant_id = $1::UUID AND user_id = $2::UUID RETURNING user_id, display_name, email"""

# one row at least where there is the team; `own` is empty for a caller who is not on it, and so is all that follows
TEAM_MEMBERS = """SELECT own.user_id AS own, m.user_id, m.role, p.display_name
FROM tenancy.teams t
LEFT JOIN tenancy.team_members own ON own.tenant_id = $1::UUID AND own.team_id = t.id AND own.user_id = $2::UUID
LEFT JOIN tenancy.team_members m ON m.tenant_id = $1::UUID AND m.team_id = t.id AND own.user_id IS NOT NULL
LEFT JOIN tenancy.profiles p ON p.tenant_id = $1::UUID AND p.user_id = m.user_id
WHERE t.tenant_id = $1::UUID AND t.slug = $3::TEXT
ORDER BY m.user_id LIMIT 200"""


class Change(BaseModel):
    """The body of PATCH /v1/me."""

    display_name: StrictStr

    class Config:
        extra = "forbid"


@router.get("/me")
async def read_me(unit: Unit = Depends(Guarded(Access({"profile:read": "own"})))) -> dict[str, Any]:
    """The caller's own profile."""

    async def work(connection: asyncpg.Connection, caller: Caller) -> dict[str, Any]:
        return profile_of(await connection.fetchrow(READ_PROFILE, caller.tenant_id, caller.user_id))

    return await unit.run(work)


@router.patch("/me")
async def change_me(
    change: Change,
    unit: Unit = Depends(Guarded(Access({"profile:read": "own", "profile:update": "own"}, writes=True))),
) -> dict[str, Any]:
    """The caller's display name. An update that touches no row is an error."""
    name = name_of(change.display_name)

    async def work(connection: asyncpg.Connection, caller: Caller) -> dict[str, Any]:
        return profile_of(await connection.fetchrow(CHANGE_PROFILE, caller.tenant_id, caller.user_id, name))

    return await unit.run(work)


@router.get("/teams/{slug}/members")
async def team_members(
    slug: str = Path(regex="^[a-z0-9-]{1,32}$"),
    unit: Unit = Depends(
        Guarded(Access({"team:read": "tenant", "team_member:read": "tenant", "profile:read": "tenant"}))
    ),
) -> dict[str, Any]:
    """Members of a team, for those who are on it."""

    async def work(connection: asyncpg.Connection, caller: Caller) -> dict[str, Any]:
        rows = await connection.fetch(TEAM_MEMBERS, caller.tenant_id, caller.user_id, slug)
        if not rows:
            raise Problem("not_found")
        if rows[0]["own"] is None:
            raise Problem("not_on_team")
        return {"members": [member_of(row) for row in rows]}

    return await unit.run(work)


def profile_of(row: Any) -> dict[str, Any]:
    """Raises Problem `not_found`: a service account is a member, and has no profile."""
    if row is None:
        raise Problem("not_found")
    return {"id": str(row["user_id"]), "display_name": row["display_name"], "email": row["email"]}


def member_of(row: Any) -> dict[str, Any]:
    """One member, as a client sees it."""
    return {"user_id": str(row["user_id"]), "role": row["role"], "display_name": row["display_name"]}


def name_of(text: str) -> str:
    """1 to 200 printable characters. Raises Problem `validation_failed`."""
    name = unicodedata.normalize("NFC", text.strip())
    if not 1 <= len(name) <= 200 or not name.isprintable():
        raise Problem("validation_failed")
    return name
