"""The API documentation, opened in a real browser that can reach nothing but this server."""

from __future__ import annotations

import shutil

import pytest
from playwright.sync_api import sync_playwright

from tests.model_servers import Guarded

CHROMIUM = shutil.which("chromium")


@pytest.mark.skipif(CHROMIUM is None, reason="needs a browser: apt-get install chromium")
def test_the_documentation_opens_without_any_other_server(guarded: Guarded) -> None:
    flags = [
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    ]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        page = browser.new_page()
        failed: list[str] = []
        page.on("requestfailed", lambda request: failed.append(request.url))
        page.goto(f"{guarded.lethe.base_url}/lethe/docs")
        page.wait_for_selector('[data-path="/lethe/v1/entries/batch"]')
        assert page.title() == "Lethe - Swagger UI"
        assert failed == []
        browser.close()
