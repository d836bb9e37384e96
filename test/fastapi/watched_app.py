"""The example, whose pool is looked at on every checkout: whether a caller's setting was left on the connection."""

import os

from holdfast_api.main import create_app

LEFT = """SELECT concat_ws(',', NULLIF(current_setting('holdfast.user_id', true), ''),
  NULLIF(current_setting('holdfast.tenant_id', true), ''), NULLIF(current_setting('holdfast.role', true), ''))"""


async def look(connection):
    if os.path.exists(os.environ["WATCH_PAUSED"]):
        return
    left = await connection.fetchval(LEFT)
    with open(os.environ["WATCH_FILE"], "a", encoding="utf-8") as file:
        file.write(f"{left or 'clean'}\n")


def make():
    return create_app(setup=look)
