"""What a page does that it should not."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Page

HERE = ("file:", "data:", "blob:", "about:", "http://127.0.0.1:", "http://localhost:")
"""What the addresses begin with that it may ask for."""


def watch(page: "Page") -> list[str]:
    """A list that grows by each error on the page's console, and each address on another machine."""
    faults: list[str] = []
    page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("request", lambda request: None if request.url.startswith(HERE) else faults.append(request.url))
    return faults
