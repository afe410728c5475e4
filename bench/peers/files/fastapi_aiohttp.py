"""What most people would write first: a FastAPI route that passes everything through with an aiohttp client."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from fastapi import FastAPI, Request
from fastapi.responses import Response, StreamingResponse

URL = os.environ["UPSTREAM"] + "/v1/chat/completions"


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """One client session for all requests."""
    connector, timeout = aiohttp.TCPConnector(limit=0), aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as app.state.client:
        yield


app = FastAPI(lifespan=lifespan)


@app.post("/v1/chat/completions")
async def completions(request: Request) -> Response:
    """Pass a request and its answer through."""
    body = await request.json()
    answer = await request.app.state.client.post(URL, json=body)
    if not body.get("stream"):
        return Response(await answer.read(), answer.status, media_type="application/json")

    async def pieces() -> AsyncIterator[bytes]:
        try:
            async for piece in answer.content.iter_any():
                yield piece
        finally:
            answer.release()

    return StreamingResponse(pieces(), media_type="text/event-stream")
