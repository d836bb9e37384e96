"""The pool: as whom, with which settings, over which TLS."""

import ssl
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import asyncpg

# Every session starts with these, and is asked whether they arrived: a proxy in between may drop them.
PINNED = {
    "default_transaction_isolation": "serializable",
    "default_transaction_read_only": "off",
    "standard_conforming_strings": "on",
    "search_path": "",
    "TimeZone": "UTC",
}
# A statement may take so long, in milliseconds.
TIMES = {"statement_timeout": "5000", "idle_in_transaction_session_timeout": "10000"}
ROLE = "holdfast_app"
POOL_SIZE = 10
# Seconds after which an idle connection is given up.
IDLE_SECONDS = 300.0

ARRIVED = "SELECT " + ", ".join(f"pg_catalog.current_setting('{name}') AS \"{name}\"" for name in PINNED)
# holdfast_app reads past no policy, and the planner evaluates no condition ahead of one (CWE-209, CWE-250).
WHO_AM_I = """SELECT session_user::TEXT AS role, pg_catalog.version() AS version,
  pg_catalog.current_setting('cpu_operator_cost', true) AS operator_cost,
  (SELECT r.rolsuper OR r.rolbypassrls FROM pg_catalog.pg_roles r WHERE r.rolname = session_user) AS is_above"""


class StartError(Exception):
    """The database must not be served from as it is. Never holds the URL: it has the password (CWE-532)."""


async def open_pool(url: str, **options: Any) -> asyncpg.Pool:
    """Opens the pool of holdfast_app. Raises StartError, and what asyncpg raises.

    Behind a pooler in transaction mode give statement_cache_size=0: prepared statements stay on the server's connection,
    which is another one at the next transaction. (Its start-up options are dropped there too, which refuses the start.)
    """
    return await asyncpg.create_pool(
        **address_of(url),
        min_size=1,
        max_size=POOL_SIZE,
        max_inactive_connection_lifetime=IDLE_SECONDS,
        command_timeout=5,
        init=refuse_wrong_session,
        server_settings={**PINNED, **TIMES, "application_name": "holdfast fastapi"},
        **options,
    )


async def refuse_wrong_session(connection: asyncpg.Connection) -> None:
    """Runs once for each new connection. Raises StartError."""
    login = await connection.fetchrow(WHO_AM_I)
    if login["role"] != ROLE or login["is_above"] is not False:
        raise StartError(f"DATABASE_URL must be the URL of the role {ROLE}, with no more rights than it was made with.")
    if login["version"].startswith("PostgreSQL") and login["operator_cost"] != "0":
        raise StartError(f"The role {ROLE} must bring cpu_operator_cost = 0. `holdfast db roles` prints how.")
    arrived = await connection.fetchrow(ARRIVED)
    for name, value in PINNED.items():
        if arrived[name].strip('"') != value:
            raise StartError(f"The session's {name} is not {value!r}. A proxy may have dropped the start-up options.")


def address_of(url: str) -> dict[str, Any]:
    """What asyncpg connects with. For a host that is not this machine TLS is verified, name and all (CWE-295, CWE-319).

    Taken apart here and not by asyncpg, whose default is to prefer TLS and verify nothing.
    """
    parts = urlsplit(url)
    query = {name: values[-1] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
    host = query.pop("host", parts.hostname or "")
    mode = query.pop("sslmode", None)
    root = query.pop("sslrootcert", None)
    if parts.scheme not in ("postgresql", "postgres") or not host or not parts.username or query:
        raise StartError("DATABASE_URL must be postgresql://user:password@host:port/database?sslmode=…&sslrootcert=….")
    local = host.startswith(("/", "127.")) or host in ("localhost", "::1")
    if mode != "verify-full" and not (local and mode in (None, "disable")):
        raise StartError("sslmode must be verify-full for a host that is not this machine.")
    return {
        "host": host,
        "port": parts.port or 5432,
        "user": unquote(parts.username),
        "password": unquote(parts.password or ""),
        "database": unquote(parts.path[1:]),
        "ssl": ssl.create_default_context(cafile=root) if mode == "verify-full" else False,
    }
