"""The application: `uvicorn --factory holdfast_api.main:create_app`."""

import os
from contextlib import asynccontextmanager
from typing import Any, AsyncIterator

from fastapi import FastAPI

from .database import StartError, open_pool
from .edge import Edge
from .problems import answer_problems
from .routes import router
from .unit import Units, refuse_open_routes


def create_app(**pool_options: Any) -> FastAPI:
    """Makes the application; its pool lives as long as it runs. DATABASE_URL is that of holdfast_app."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        refuse_open_routes(app.routes)
        app.state.units = Units(await open_pool(database_url(), **pool_options))
        try:
            yield
        finally:
            await app.state.units.close()

    # no pages that load scripts from elsewhere
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    # FastAPI 0.93 and later take it as an argument; this is what they do with it
    app.router.lifespan_context = lifespan
    app.include_router(router)
    answer_problems(app)
    app.add_middleware(Edge)
    return app


def database_url() -> str:
    """Raises StartError where there is none."""
    url = os.environ.get("DATABASE_URL", "")
    if not url:
        raise StartError("Set DATABASE_URL to the URL of the role holdfast_app.")
    return url
