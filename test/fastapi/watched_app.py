"""The example, whose connections are looked at as they are checked out, and as they come back before they are reset:
whether a caller's setting was left on them."""

import os

import asyncpg
from holdfast_api.main import create_app

LEFT = """SELECT concat_ws(',', NULLIF(current_setting('holdfast.user_id', true), ''),
  NULLIF(current_setting('holdfast.tenant_id', true), ''), NULLIF(current_setting('holdfast.role', true), ''))"""


async def look(connection):
    if os.path.exists(os.environ["WATCH_PAUSED"]):
        return
    left = await connection.fetchval(LEFT)
    with open(os.environ["WATCH_FILE"], "a", encoding="utf-8") as file:
        file.write(f"{left or 'clean'}\n")


class Watched(asyncpg.Connection):
    async def reset(self, *, timeout=None):
        await look(self)
        await super().reset(timeout=timeout)


def make():
    return create_app(setup=look, connection_class=Watched)
