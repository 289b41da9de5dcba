"""The atlas of an invented study: its size, how long it takes to build, and how quick the pages are.

python -m benchmarks.atlas                  24,576 latents on 50,000 images; prints one JSON line
python -m benchmarks.atlas --images 2000    of fewer images; what they weigh and take is told for 50,000 too

Each latent has 10 exemplars. It is built twice, the first time of a quarter of the images: memory must not
grow with them. The pages are opened from disk in Chromium; a card and a search are the median of several.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from benchmarks.train_step import where

LATENTS, IMAGES, EXEMPLARS = 24_576, 50_000, 10
SEARCHES = ("stripes", "tex", "dotz", "20000", "text classes")
SEARCH = """async (q) => {
    const cell = await atlas.cell("first");
    atlas.select.select(cell, {q: "another"});  // the last answer is kept
    const began = performance.now();
    atlas.select.select(cell, {q});
    return performance.now() - began;
}"""
CARDS = (3, 5000, 12345, 24000, 77, 18013)


def build(out: Path, images: int) -> None:
    """Write it in a process of its own, whose memory nothing else has raised."""
    from benchmarks.invented import write_invented

    began = time.perf_counter()
    kept = {"exemplars": EXEMPLARS // 2, "browse": 16}  # half where it is strongest, half over its range
    write_invented(out, cells=["first"], latents=LATENTS, images=images, **kept)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    took = {"seconds": time.perf_counter() - began, "cpu_seconds": time.process_time()}
    print(json.dumps(took | {"peak_GiB": peak}))


def built(out: Path, images: int) -> dict:
    command = [sys.executable, "-m", "benchmarks.atlas", "--build", str(out), "--images", str(images)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def megabytes(folder: Path) -> float:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6


def pages(out: Path) -> dict[str, float]:
    """Milliseconds, in Chromium, from disk."""
    from playwright.sync_api import sync_playwright

    base = (out / "index.html").as_uri()
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        page = browser.new_page()
        page.goto(base)
        page.wait_for_function("atlas.first > 0 && performance.getEntriesByType('paint').length > 0")
        paint = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
        page.goto(f"{base}#first")
        page.locator(".results").wait_for()
        found = [page.evaluate(SEARCH, words) for words in SEARCHES]
        cards = []
        for latent in CARDS:
            page.evaluate("(s) => { window.location.hash = `first/${s}`; }", latent)
            page.locator(".card h1", has_text=f"Latent {latent} ").wait_for()
            cards.append(page.evaluate("atlas.timing.card"))
        browser.close()
    return {"first_paint_ms": paint, "search_ms": median(found), "card_ms": median(cards)}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=IMAGES)
    parser.add_argument("--build", type=Path)
    given = parser.parse_args()
    if given.build:
        build(given.build, given.images)
        return
    with TemporaryDirectory() as folder:
        few, many = Path(folder, "few"), Path(folder, "many")
        less, more = built(few, given.images // 4), built(many, given.images)
        size, lighter = megabytes(many), megabytes(few)
        step = given.images - given.images // 4
        for_all = {
            "MB": size + (size - lighter) / step * (IMAGES - given.images),
            # Of all threads: the machine may be busy.
            "cpu_seconds": more["cpu_seconds"]
            + (more["cpu_seconds"] - less["cpu_seconds"]) / step * (IMAGES - given.images),
        }
        found = {
            "latents": LATENTS,
            "images": given.images,
            "exemplars": EXEMPLARS,
            "MB": size,
            "seconds": more["seconds"],
            "cpu_seconds": more["cpu_seconds"],
            "peak_GiB": more["peak_GiB"],
            "peak_GiB_of_a_quarter": less["peak_GiB"],
            **{f"{key}_for_{IMAGES}": value for key, value in for_all.items()},
            **pages(many),
        }
    print(json.dumps({key: round(value, 3) for key, value in found.items()} | {"where": where("cpu")}))


if __name__ == "__main__":
    main()
