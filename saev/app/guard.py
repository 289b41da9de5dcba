"""Who may talk to the laboratory: pages that it served itself, on this machine.

Any page in the reader's browser can send requests to 127.0.0.1, and a host name of its own can be made to
mean 127.0.0.1 (DNS rebinding). Such a request names another host, or another origin.
"""

import json

from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}
METHODS = ("GET", "HEAD", "POST")


class Guard:
    """Refuses what comes from elsewhere, before anything else sees it.

    Args:
        port: that the application is served on.
    """

    def __init__(self, app: ASGIApp, port: int):
        self.app, self.hosts = app, (f"127.0.0.1:{port}", f"localhost:{port}")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                added = [(key.encode(), value.encode()) for key, value in HEADERS.items()]
                message = {**message, "headers": [*message["headers"], *added]}
            await send(message)

        if refusal := self.refusal(scope):
            return await _refuse(guarded, *refusal)
        await self.app(scope, receive, guarded)

    def refusal(self, scope: Scope) -> tuple[int, str] | None:
        """Status and words for a request that is not answered."""
        if scope["type"] != "http" or scope["method"] not in METHODS:
            return 405, f"only {', '.join(METHODS)} are answered"
        found: dict[str, list[str]] = {}
        for key, value in scope["headers"]:
            found.setdefault(key.decode("latin-1").lower(), []).append(value.decode("latin-1"))
        hosts, origins = found.get("host", []), found.get("origin", [])
        if len(hosts) != 1 or hosts[0] not in self.hosts:
            return 403, f"the laboratory is at http://{self.hosts[0]} alone"
        if (origins or scope["method"] == "POST") and origins != [f"http://{hosts[0]}"]:
            return 403, "only the laboratory's own page may ask"
        followed = scope["path"] == "/" and found.get("sec-fetch-mode") == ["navigate"]  # a link elsewhere
        if not followed and not set(found.get("sec-fetch-site", [])) <= {"same-origin", "none"}:
            return 403, "only the laboratory's own page may ask"
        return None


async def _refuse(send: Send, status: int, words: str) -> None:
    body = json.dumps({"error": words}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send(
        {"type": "http.response.start", "status": status, "headers": [*headers, (b"connection", b"close")]}
    )
    await send({"type": "http.response.body", "body": body})
