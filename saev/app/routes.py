"""The laboratory over HTTP: each route reads a request, lets the bench work in its lane, and packs the
answer."""

import io
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from importlib.resources import files

import numpy as np
from PIL import Image
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from saev.app.addresses import Address, read_address, read_patches
from saev.app.answers import pack
from saev.app.bench import Asked
from saev.app.changing import CONTROLS, MOST, PLACES, Change, answer
from saev.app.effects import effects, labels, probabilities
from saev.app.guard import Guard
from saev.app.hypothesis import Found
from saev.app.lane import Busy, Gone, Lane, Superseded
from saev.app.looking import Card, alike, card, named, strongest
from saev.app.requests import TooLarge, asked, asked_number, body, read, section, text_of
from saev.app.scenes import regions, twin
from saev.app.session import Session
from saev.app.uploads import BYTES
from saev.data import Mosaic
from saev.data.sample import IGNORE
from saev.errors import SaevError
from saev.intervention.edits import EDITS

KINDS = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
STATUS = {Superseded: (409, "superseded"), Busy: (503, "busy: try again"), Gone: (499, "gone")}
CLIENT = "x-client"
"""Header with the name that a page gives itself, so that its newer edits supersede its older ones."""


class Lab:
    """The routes of a session. Edits have a lane of their own, so that pictures do not hold them up."""

    def __init__(self, session: Session):
        self.session, self.model, self.pictures = session, Lane(), Lane(waiting=512)
        self.site = {
            file.name: (file.read_bytes(), KINDS[suffix])
            for file in (files("saev.app") / "site").iterdir()
            if (suffix := "." + file.name.rpartition(".")[2]) in KINDS
        }

    async def page(self, request: Request) -> Response:
        """A file of the page; only those that were there at the start, by name."""
        content, kind = self.site.get(request.path_params.get("name", "index.html"), (None, ""))
        if content is None:
            raise HTTPException(404)
        return Response(content, media_type=kind, headers={"cache-control": "no-cache"})

    async def study(self, request: Request) -> Response:
        """What there is."""
        limits = {"features": MOST, "strength": 10, "bytes": BYTES}
        return JSONResponse(
            {
                "cells": self.session.cells,
                "kinds": list(EDITS),
                "places": list(PLACES),
                "controls": list(CONTROLS),
                "limits": limits,
            }
        )

    async def cell(self, request: Request) -> Response:
        """What a cell is of."""
        name = asked(request, "cell")

        def job() -> dict:
            bench = self.session.bench(name)
            task, store = bench.task, bench.tokens.store
            return {
                "name": name,
                "backbone": bench.backbone.name,
                "layer": bench.tokens.layer,
                "reads": list(bench.tokens.kinds),
                "latents": bench.sae.d_sae,
                "grid": list(bench.backbone.grid),
                "size": list(bench.backbone.preprocess.size),
                "images": bench.tokens.n_images,
                "missing": np.flatnonzero(~store.present).tolist(),
                "classes": list(task.classes) if task else [],
                "of_patches": bool(task and task.decides_patches),
                "unable": bench.unable,
                "scenes": isinstance(bench.images, Mosaic),
                "concepts": sorted({row["name"] for row in bench.evidence}),
                "chosen": {
                    str(latent): [{key: row[key] for key in ("name", "f1", "q")} for row in rows[:3]]
                    for latent, rows in bench.claims.items()
                },
                "notes": {str(latent): note for latent, note in self.session.notes(name).items()},
            }

        return JSONResponse(await self.model.run(request, job))

    async def picture(self, request: Request) -> Response:
        """An image as the model sees it."""
        cell, address = asked(request, "cell"), asked(request, "image")

        def job() -> bytes:
            png = io.BytesIO()
            Image.fromarray(self.session.bench(cell).pixels(address)).save(png, "PNG", compress_level=1)
            return png.getvalue()

        # An upload's address is of its content; what the study's images are may change between two runs.
        kept = "private, max-age=86400" if address.startswith("upload-") else "no-cache"
        png = await self.pictures.run(request, job)
        return Response(png, media_type="image/png", headers={"cache-control": kept})

    async def look(self, request: Request) -> Response:
        """What the model says of an image, and what is known of it."""
        cell, address = asked(request, "cell"), asked(request, "image")

        def job() -> bytes:
            bench, of = self.session.bench(cell), read_address(address)
            subject, (told, region_p) = bench.subject(address), regions(bench, of)
            arrays = {"region": region_p}
            if isinstance(subject, Asked):
                before_auc = subject.before_uc[None]
                arrays["labels"] = labels(before_auc, len(subject.model.task.classes))
                arrays["probabilities"] = probabilities(before_auc)
                truth_u = subject.truth_u
                arrays["truth"] = np.full(len(before_auc[0]), IGNORE) if truth_u is None else truth_u
                arrays["truth"] = arrays["truth"].astype(np.uint16)
            name = "an upload" if of.upload else bench.images.name(of.image)
            return pack({"name": name, "regions": told}, arrays)

        return binary(await self.model.run(request, job))

    async def features(self, request: Request) -> Response:
        """The strongest on some patches, or those of a word."""
        cell = asked(request, "cell")
        if "words" in request.query_params:
            words = asked(request, "words")
            return JSONResponse(await self.model.run(request, lambda: named(self.session.bench(cell), words)))
        address, patches = asked(request, "image"), asked(request, "patches", "")
        if (by := asked(request, "by", "strength")) not in ("strength", "rarity"):
            raise SaevError(f"by must be one of strength, rarity, got {by[:40]!r}")

        def job() -> list[dict]:
            bench = self.session.bench(cell)
            where = read_patches(patches, bench.n_patches)
            return strongest(bench, bench.subject(address), where, by=by)

        return JSONResponse(await self.model.run(request, job))

    async def feature(self, request: Request) -> Response:
        """A feature's card."""
        cell, address = asked(request, "cell"), asked(request, "image")
        latent = asked_number(request, "latent")

        def job() -> bytes:
            bench = self.session.bench(cell)
            return packed(card(bench, bench.subject(address), latent))

        return binary(await self.model.run(request, job))

    async def alike(self, request: Request) -> Response:
        """What else looks like some patches."""
        cell, address, patches = (asked(request, key) for key in ("cell", "image", "patches"))

        def job() -> bytes:
            bench = self.session.bench(cell)
            where = read_patches(patches, bench.n_patches)
            return packed(alike(bench, bench.subject(address), where))

        return binary(await self.model.run(request, job, self._client(request)))

    async def edit(self, request: Request) -> Response:
        """What the model says after an edit and after its controls."""
        values = await section(request)
        cell, address = text_of(values, "cell"), text_of(values, "image")
        change = read(Change, values.get("edit"))

        def job() -> bytes:
            bench = self.session.bench(cell)
            subject = bench.asked(address)
            found = answer(bench, subject, change)
            told = effects(bench, subject, found, change.target)
            arrays = {
                "labels": labels(found.logits_auc, len(subject.model.task.classes)),
                "probabilities": probabilities(found.logits_auc),
            }
            return pack({"effects": told, "similar": found.similar}, arrays)

        return binary(await self.model.run(request, job, self._client(request)))

    async def twin(self, request: Request) -> Response:
        """What the model says of the scene with one attribute toggled."""
        cell, attribute = asked(request, "cell"), asked(request, "attribute")
        image, region = (asked_number(request, key) for key in ("image", "region"))
        target = asked_number(request, "target") if "target" in request.query_params else None

        def job() -> bytes:
            bench = self.session.bench(cell)
            if bench.unable:
                raise SaevError(f"the model was asked nothing here: {bench.unable}")
            of = Address(image, region, attribute)
            subject = bench.asked(str(image))
            logits_auc, told = twin(bench, subject, of, target)
            arrays = {
                "labels": labels(logits_auc, len(subject.model.task.classes)),
                "probabilities": probabilities(logits_auc),
            }
            return pack({"effects": [told]}, arrays)

        return binary(await self.model.run(request, job, self._client(request)))

    async def upload(self, request: Request) -> Response:
        """Keep an image in memory, and say by which address it goes."""
        data = await body(request, BYTES)
        return JSONResponse({"image": await self.pictures.run(request, lambda: self.session.upload(data))})

    async def note(self, request: Request) -> Response:
        """Write the note of a latent."""
        values = await section(request)
        cell, text, latent = text_of(values, "cell"), text_of(values, "text"), values.get("latent")
        if type(latent) is not int:
            raise SaevError(f"latent must be a number, got {latent!r:.80}")
        path = await self.model.run(request, lambda: self.session.note(cell, latent, text))
        return JSONResponse({"file": str(path)})

    async def hypothesis(self, request: Request) -> Response:
        """Write a hypothesis."""
        values = await section(request)
        cell, found = text_of(values, "cell"), read(Found, values.get("hypothesis"))
        path = await self.model.run(request, lambda: self.session.hypothesis(cell, found))
        return JSONResponse({"file": str(path)})

    @staticmethod
    def _client(request: Request) -> str | None:
        """Whose requests of this kind supersede one another."""
        name = request.headers.get(CLIENT)
        return f"{request.url.path} {name[:64]}" if name else None


def application(lab: Lab, port: int) -> Guard:
    """The laboratory, to be served on this port of 127.0.0.1."""
    asks = (lab.study, lab.cell, lab.picture, lab.look, lab.features, lab.feature, lab.alike, lab.twin)
    does = (lab.edit, lab.upload, lab.note, lab.hypothesis)
    routes = [Route("/", lab.page), Route("/site/{name}", lab.page)]
    for method, handlers in (("GET", asks), ("POST", does)):
        routes += [Route(f"/api/{of.__name__}", told(of), methods=[method]) for of in handlers]

    @asynccontextmanager
    async def lifespan(app: Starlette):
        yield
        lab.model.close()
        lab.pictures.close()

    handlers = {404: lambda request, error: JSONResponse({"error": "there is no such page"}, 404)}
    return Guard(Starlette(routes=routes, lifespan=lifespan, exception_handlers=handlers), port)


def told(handler: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    """The handler, with what users can put right told in one line."""

    async def answered(request: Request) -> Response:
        try:
            return await handler(request)
        except SaevError as error:
            return JSONResponse({"error": str(error)}, 400)
        except TooLarge:
            return JSONResponse({"error": "the request is too large"}, 413, {"connection": "close"})
        except OSError as error:
            return JSONResponse({"error": f"{error.filename}: {error.strerror}"}, 500)
        except tuple(STATUS) as error:
            status, words = STATUS[type(error)]
            return JSONResponse({"error": words}, status)

    return answered


def packed(found: Card) -> bytes:
    """A card, with the codes in half precision."""
    arrays = {"heat": found.heat_p.astype(np.float16), "maps": found.maps_kp.astype(np.float16)}
    return pack({**found.facts, "exemplars": found.exemplars}, arrays)


def binary(content: bytes) -> Response:
    """An answer with arrays; it is of this moment."""
    return Response(content, media_type="application/octet-stream", headers={"cache-control": "no-store"})
