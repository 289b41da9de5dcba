"""The laboratory as its readers use it: in a browser, on a small cell."""

import re
import threading
from collections.abc import Iterator

import pytest
import yaml

from saev.app import Session
from saev.app.server import listening, server_of
from tests.app.examples import bench_of
from tests.app.test_uploads import png

pytestmark = pytest.mark.browser
PATCHES, IMAGES = "mosaic-tiny-L1-topk", "mosaic-tiny-L2-topk"


@pytest.fixture(scope="module")
def lab(stores, tiny_vit, task, image_task, tmp_path_factory) -> Iterator[tuple[str, object]]:
    """Its address, and the folder of the study: one cell decides on patches, the other on images."""
    folder = tmp_path_factory.mktemp("study")

    def opener(name, task, layer):
        return lambda uploads: bench_of(stores, tiny_vit, task, layer=layer, name=name, uploads=uploads)

    session = Session({PATCHES: opener(PATCHES, task, 1), IMAGES: opener(IMAGES, image_task, 2)}, folder)
    with listening(0) as listener:
        server = server_of(session, listener)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/", folder
        server.should_exit = True
        thread.join()


def opened(page, address, state=""):
    page.goto(address + state)
    page.wait_for_selector("body[data-ready]")


def until(page, holds, *arg):
    """Wait until a script says so. (Playwright's own waiting evaluates text in the page, whose policy forbids
    it.)"""
    for _ in range(400):
        if page.evaluate(holds, *arg):
            return
        page.wait_for_timeout(25)
    raise AssertionError(holds)


def choose(page, row, column):
    """Click a patch of the 4 x 4."""
    box = page.locator("#patches").bounding_box()
    page.mouse.click(box["x"] + (column + 0.5) * box["width"] / 4, box["y"] + (row + 0.5) * box["height"] / 4)


def pixels(page, selector):
    return page.locator(selector).evaluate("canvas => canvas.toDataURL()")


def slide(page, strength):
    slider = page.get_by_role("slider").first
    slider.evaluate(
        "(input, value) => { input.value = value; input.dispatchEvent(new Event('input', {bubbles: true}));"
        " input.dispatchEvent(new Event('change', {bubbles: true})); }",
        str(strength),
    )


def test_patches_are_chosen_a_feature_is_slid_and_its_control_stands_beside(page, lab):
    opened(page, lab[0])
    choose(page, 1, 1)
    choose(page, 1, 2)
    until(page, "document.querySelector('#list-title').textContent === 'Features of 2 patches'")
    page.locator("#list .add").first.click()
    page.wait_for_selector("#map-random-direction")
    for strength in (-10, 10):
        before = page.locator("#effects").inner_text()
        slide(page, strength)
        until(page, "old => document.querySelector('#effects').innerText !== old", before)
        until(page, "!document.querySelector('.stale')")
    assert pixels(page, "#map-edit") != pixels(page, "#map-before")
    assert page.locator("#map-random-latent").count() == 1
    assert "the control" in page.locator("#lede").inner_text()
    assert "patches=5-6" in page.url and ":10" in page.url


def test_the_address_restores_everything_and_undo_goes_back(page, lab):
    state = "#image=3&patches=2,5-6&feature=7&edits=7:-2,9:1.5&kind=add&place=all&seed=4"
    opened(page, lab[0], state)
    page.wait_for_selector("#map-random-direction")
    assert [page.locator(f"#{id}").input_value() for id in ("number", "kind", "place")] == ["3", "add", "all"]
    numbers = page.locator(".slider input[type=number]")
    assert [numbers.nth(i).input_value() for i in range(2)] == ["-2", "1.5"]
    shown, url = page.locator("#effects").inner_text(), page.url
    slide(page, 9)
    until(page, "old => document.querySelector('#effects').innerText !== old", shown)
    page.keyboard.press("Control+z")
    until(page, "old => document.querySelector('#effects').innerText === old", shown)
    assert page.url == url
    page.get_by_role("button", name="Reset").click()
    until(page, "!document.querySelector('#effects')")
    assert page.url.endswith(f"#cell={PATCHES}&image=3")


def test_dragging_keeps_pace_with_the_model(page, lab):
    opened(page, lab[0], "#patches=1&edits=3:0")
    page.wait_for_selector("#map-random-direction")
    asked = []
    page.on("request", lambda request: asked.append(request.url.endswith("/api/edit")))
    page.get_by_role("slider").evaluate(
        "input => { for (let i = 0; i <= 100; i++) { input.value = i / 10;"
        " input.dispatchEvent(new Event('input', {bubbles: true})); }"
        " input.dispatchEvent(new Event('change', {bubbles: true})); }"
    )
    until(page, "location.hash.includes('3:10') && !document.querySelector('.stale')")
    assert 1 <= sum(asked) <= 4


def test_an_upload_is_looked_at_and_edited(page, lab):
    opened(page, lab[0])
    page.locator("#file").set_input_files(
        files=[{"name": "mine.png", "mimeType": "image/png", "buffer": png(120, 90)}]
    )
    until(page, "location.hash.includes('image=upload-')")
    until(page, "document.querySelector('#name').textContent === 'an upload'")
    page.locator("#list .add").first.click()
    page.wait_for_selector("#map-edit")
    page.reload()
    page.wait_for_selector("#map-edit")


def test_two_cells_are_compared_side_by_side(page, lab):
    opened(page, lab[0], "#patches=0-3")
    page.locator("#with").select_option(IMAGES)
    page.wait_for_selector(f".side[data-cell={IMAGES}]")
    assert page.locator(".side").count() == 2 and page.locator(".side .gallery canvas").count() == 8
    page.get_by_role("button", name="Work in this one").click()
    until(page, f"document.querySelector('#cell').value === '{IMAGES}'")


def test_a_task_on_images_is_told_in_probabilities(page, lab):
    opened(page, lab[0], f"#cell={IMAGES}&edits=3:5&place=all")
    page.wait_for_selector("#effects")
    assert "Probability of each class" in page.locator("#classes").inner_text()
    assert "%" in page.locator("#classes").inner_text()


def test_the_image_without_an_attribute_stands_beside_the_edit(page, lab):
    opened(page, lab[0], "#edits=3:2")
    page.locator("#twin-region").select_option("0")
    page.wait_for_selector("#map-image")
    assert re.search(
        r"(with|without) \w+ on \w+", page.locator("figure", has=page.locator("#map-image")).inner_text()
    )


def test_a_feature_is_found_by_a_concept_and_by_its_number(page, lab):
    opened(page, lab[0])
    page.locator("#words").fill("brick")
    page.keyboard.press("Enter")
    until(page, "document.querySelector('#list').innerText.includes('brick')")
    page.locator("#words").fill("12")
    page.keyboard.press("Enter")
    until(page, "document.querySelector('#card h3')?.textContent === 'Feature 12'")
    page.locator("#alike").click()
    until(page, "document.querySelector('#card h3')?.textContent.startsWith('What else')")


def test_a_finding_is_saved_as_a_hypothesis_and_a_note_is_kept(page, lab):
    address, folder = lab
    opened(page, address, "#edits=3:-2&feature=3&place=all")
    page.get_by_role("button", name="Save as hypothesis").click()
    page.locator("#h-name").fill("moon-three")
    page.get_by_role("button", name="Write the file").click()
    until(page, "document.querySelector('#said').textContent.startsWith('Written')")
    record = yaml.safe_load((folder / "conf" / "hypothesis" / "moon-three.yaml").read_text())
    assert record["latents"] == [3] and record["strength"] == -2 and record["place"] == "all"
    page.locator("#card summary").click()
    page.locator("#card textarea").fill("edges?")
    page.get_by_role("button", name="Keep the note").click()
    until(page, "document.querySelector('#said').textContent.startsWith('Kept')")
    assert yaml.safe_load((folder / "notes" / f"{PATCHES}.yaml").read_text()) == {3: "edges?"}


def test_everything_is_done_with_the_keyboard(page, lab):
    opened(page, lab[0])
    page.locator("#patches").focus()
    for key in ("ArrowRight", "Space", "Shift+ArrowDown"):
        page.keyboard.press(key)
    until(page, "location.hash.includes('patches=10,14')")
    page.locator("#list .add").first.focus()
    page.keyboard.press("Enter")
    page.get_by_role("slider").focus()
    page.keyboard.press("ArrowLeft")
    until(page, "location.hash.includes(':-0.1')")
    page.wait_for_selector("#map-random-latent")
    unnamed = page.evaluate(
        "[...document.querySelectorAll('button, input, select, textarea, canvas[role]')].filter(e =>"
        " !(e.getAttribute('aria-label') || e.textContent.trim() || e.labels?.length)).map(e => e.outerHTML)"
    )
    assert unnamed == []


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_wider_than_the_screen(page, lab, width, scheme):
    page.set_viewport_size({"width": width, "height": 800})
    page.emulate_media(color_scheme=scheme)
    opened(page, lab[0], f"#patches=1-4&edits=3:-2,5:1&feature=3&with={IMAGES}")
    page.wait_for_selector("#map-random-direction")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
