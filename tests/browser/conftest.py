"""A page in Chromium, driven by Playwright, that must neither complain nor ask another host for anything."""

import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.browser.watch import watch

if TYPE_CHECKING:  # installed by `make test-browser` alone
    from playwright.sync_api import Browser, Page


@pytest.fixture(scope="session")
def browser() -> "Iterator[Browser]":
    playwright = pytest.importorskip("playwright.sync_api", reason="make test-browser installs it")
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("no chromium; make test-browser installs it")
    with playwright.sync_playwright() as driver:
        # Without its sandbox Chromium starts as root too; the pages are our own.
        started = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def page(browser) -> "Iterator[Page]":
    """1280 x 800 px; the test fails at its end if the console had an error or another host was asked."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    context.set_default_timeout(10_000)
    opened = context.new_page()
    faults = watch(opened)
    yield opened
    context.close()
    assert faults == []
