"""A unit of work: one SERIALIZABLE transaction that starts with *enter*, retried whole when it collides."""

import asyncio
import random
import time
from typing import Any, Awaitable, Callable, Optional, TypeVar, Union

import asyncpg
from fastapi import Request
from fastapi.routing import APIRoute

from .enter import Access, Caller, Denied, Grants, credential_of, enter, log_denial
from .problems import Problem, log

T = TypeVar("T")
Work = Callable[[asyncpg.Connection, Caller], Awaitable[T]]

# A unit with all its tries takes no longer, in seconds.
BUDGET_SECONDS = 5.0
TRIES = 6
# The wait before the next try is random, up to a bound that doubles from the first to the second, in seconds.
FIRST_WAIT, LONGEST_WAIT = 0.01, 0.5

COLLISIONS = {"40001", "40P01"}
# The server went away, or says that it is going.
GONE = {"57P01", "57P02", "57P03", "08000", "08003", "08006"}
TOUCH = "SELECT holdfast.touch_session($1::BYTEA)"


class Units:
    """The application's units: their pool, and what is known of grants."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self.pool = pool
        self.grants = Grants()
        self._touches: set[asyncio.Task[None]] = set()

    async def run(self, credential: bytes, access: Access, work: Work[T]) -> T:
        """Runs `work`, entered afresh at every try. It may run more than once: nothing in it may leave the database.

        Raises Denied, and Problem `serialization_failure`, `unavailable`, `outcome_unknown`, `internal_error`.
        """
        deadline = time.monotonic() + BUDGET_SECONDS
        code = "unavailable"
        for number in range(TRIES):
            attempt = Attempt(self, credential, access, work)
            try:
                result, caller = await asyncio.wait_for(attempt.run(), max(0.0, deadline - time.monotonic()))
            except asyncio.TimeoutError:
                raise Problem("outcome_unknown" if attempt.is_ambiguous else "unavailable") from None
            except Exception as error:
                verdict = attempt.judge(error)
                if isinstance(verdict, Problem):
                    raise verdict from None
                code = verdict
                await asyncio.sleep(random.uniform(0, min(LONGEST_WAIT, FIRST_WAIT * 2**number)))
                continue
            if caller.touch_due:
                self._touch(credential)
            return result
        raise Problem(code)

    def _touch(self, credential: bytes) -> None:
        """Says that the session was used: at most once a minute, in a transaction of its own, and no request waits for it."""
        task = asyncio.create_task(self._touch_now(credential))
        self._touches.add(task)
        task.add_done_callback(self._touches.discard)

    async def _touch_now(self, credential: bytes) -> None:
        try:
            await self.pool.execute(TOUCH, credential)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
            log.warning("touch failed: %s", type(error).__name__)

    async def close(self) -> None:
        """Waits for what is under way, then closes the pool."""
        await asyncio.gather(*self._touches, return_exceptions=True)
        await self.pool.close()


class Attempt:
    """One try: BEGIN, *enter*, the work, COMMIT."""

    def __init__(self, units: Units, credential: bytes, access: Access, work: Work[Any]) -> None:
        self._units, self._credential, self._access, self._work = units, credential, access, work
        self._at = "acquire"

    @property
    def is_ambiguous(self) -> bool:
        """Whether it may have been saved without our having heard of it."""
        return self._at == "commit" and self._access.writes

    async def run(self) -> tuple[Any, Caller]:
        """Returns what the work returned, once it is committed."""
        async with self._units.pool.acquire() as connection:
            transaction = connection.transaction(isolation="serializable", readonly=not self._access.writes)
            try:
                self._at = "begin"
                await transaction.start()
                self._at = "enter"
                caller = await enter(connection, self._credential, self._access)
                await self._units.grants.check(connection, caller, self._access)
                self._at = "work"
                result = await self._work(connection, caller)
                self._at = "commit"
                await transaction.commit()
                return result, caller
            except BaseException as error:
                await self._leave(connection, transaction, error)
                raise

    async def _leave(self, connection: Any, transaction: Any, error: BaseException) -> None:
        """Rolls back, and gives up a connection whose state is not certain (CWE-404): another caller is next on it."""
        certain = isinstance(error, Denied) or (self._at == "work" and isinstance(error, Exception))
        if not certain:
            return give_up(connection)
        try:
            await transaction.rollback()
        except BaseException:
            give_up(connection)

    def judge(self, error: Exception) -> Union[Problem, str]:
        """What a failure means: a Problem, or the code of the one to answer with should the tries run out."""
        if isinstance(error, Problem):
            return error
        sqlstate: Optional[str] = getattr(error, "sqlstate", None)
        if sqlstate == "40003":
            return Problem("outcome_unknown") if self._access.writes else "unavailable"
        # its plan was made before a migration; nothing of it has run
        if sqlstate in COLLISIONS or isinstance(error, asyncpg.InvalidCachedStatementError):
            return "serialization_failure"
        if sqlstate in GONE or isinstance(error, (OSError, asyncpg.InterfaceError, asyncpg.PostgresConnectionError)):
            return Problem("outcome_unknown") if self.is_ambiguous else "unavailable"
        # its message and DETAIL quote data: neither a client nor a log gets them (CWE-209, CWE-532)
        log.error("failed at=%s error=%s sqlstate=%s", self._at, type(error).__name__, sqlstate)
        return Problem("internal_error")


def give_up(connection: Any) -> None:
    """Closes a connection at once, without a word to the server."""
    try:
        connection.terminate()
    except asyncpg.InterfaceError:
        # it was lost, and the pool has taken it back already
        pass


class Unit:
    """A request's unit: what a handler runs its statements in."""

    def __init__(self, units: Units, credential: bytes, access: Access, request_id: str) -> None:
        self._units, self._credential, self._access, self._request_id = units, credential, access, request_id

    async def run(self, work: Work[T]) -> T:
        """See `Units.run`."""
        try:
            return await self._units.run(self._credential, self._access, work)
        except Denied as denied:
            log_denial(self._request_id, denied)
            raise


class Guarded:
    """A route's dependency: `unit: Unit = Depends(Guarded(Access({...})))`."""

    def __init__(self, access: Access) -> None:
        self.access = access

    async def __call__(self, request: Request) -> Unit:
        return Unit(request.app.state.units, credential_of(request), self.access, request.scope["holdfast_request_id"])


def refuse_open_routes(routes: Any) -> None:
    """A route that declares no access stops the start (CWE-306)."""
    for route in routes:
        if not isinstance(route, APIRoute):
            raise RuntimeError(f"{route!r} can not be guarded.")
        if not any(isinstance(dependency.call, Guarded) for dependency in route.dependant.dependencies):
            raise RuntimeError(f"{route.path} has no Depends(Guarded(…)).")
