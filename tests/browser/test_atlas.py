"""The atlas as its readers use it: from disk and from a server, by mouse, by keyboard, on a telephone."""

import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from benchmarks.invented import names, profile, write_invented

pytestmark = pytest.mark.browser

LATENTS = 300
HOSTILE = "</script><img src=x onerror=alert(1)>"


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """In a folder whose name an address must escape."""
    made = tmp_path_factory.mktemp("atlas") / "an atlas #1 100%"
    made.mkdir()
    write_invented(made, cells=("first", "second"), latents=LATENTS)
    return made


@pytest.fixture(scope="module")
def server(folder):
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder)) as serving:
        threading.Thread(target=serving.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{serving.server_port}/index.html"
        serving.shutdown()


@pytest.fixture
def base(folder):
    return (folder / "index.html").as_uri()


def open_at(page, base, view=""):
    page.goto(f"{base}{view}")
    page.wait_for_function("atlas.first > 0")


def listed(page) -> list[int]:
    return [int(row.get_attribute("data-latent")) for row in page.locator("tr[data-latent]").all()]


def found(page, n: int) -> None:
    page.locator(".results strong", has_text=f"{n} latent").wait_for()


@pytest.mark.parametrize("where", ["disk", "server"])
def test_opens_and_tells_of_the_study(page, base, server, where):
    open_at(page, base if where == "disk" else server)
    assert page.inner_text("h1") == "600 latents of 2 dictionaries"
    page.locator(".tile").first.wait_for()
    page.locator(".models a", has_text="first").first.click()
    found(page, LATENTS)
    page.locator("tr[data-latent]").first.click()
    page.locator(".card h1").wait_for()
    assert page.locator("figure canvas").count() == 18


def search(page, words: str) -> None:
    page.fill("#search", words)
    page.wait_for_function("words => atlas.route.current().query.q === words", arg=words)
    page.evaluate("atlas.shown()")


def test_search_by_concept_number_and_note(page, base):
    open_at(page, base, "#first")
    concept = names(LATENTS, ("stripes", "text", "dots"), 0).concept_s
    expected = {int(s) for s in range(LATENTS) if concept[s] == 2 and s != 3}
    for words in ("dots", "dotz", "do"):  # mistyped, and not yet whole
        search(page, words)
        found(page, len(expected))
        assert set(listed(page)) < expected
    for words, latent in (("123", 123), ("latent 9", 9), ("fur", 7)):
        search(page, words)
        found(page, 1)
        assert listed(page) == [latent]
    search(page, "no such word")
    page.get_by_role("button", name="Clear all filters").click()
    found(page, LATENTS)


def test_filters_and_orders_are_those_of_the_columns(page, base):
    of = profile(LATENTS, 60, 0)
    open_at(page, base, "#first")
    page.select_option("[name=state]", "dead")
    found(page, int((of.density_s == 0).sum()))
    page.select_option("[name=state]", "dense")
    found(page, int((of.density_s > 0.01).sum()))
    page.select_option("[name=state]", "")
    page.fill("[name=often]", "0.5")
    page.locator("[name=often]").press("Enter")
    found(page, int((of.density_s >= 0.005).sum()))
    page.select_option("[name=sort]", "maximum")
    page.locator("th[aria-sort=descending]", has_text="largest code").wait_for()
    chosen = [s for s in (-of.maximum_s).argsort(kind="stable") if of.density_s[s] >= 0.005]
    assert listed(page) == chosen[:50]
    page.get_by_role("button", name="Smallest first").click()
    page.locator("th[aria-sort=ascending]").wait_for()
    assert listed(page) == chosen[::-1][:50]
    page.get_by_role("button", name="Next page").click()
    page.locator(".pager", has_text="51 to").wait_for()
    assert listed(page) == chosen[::-1][50:100]


def test_a_brush_in_the_overview_filters_and_a_click_opens(page, base):
    open_at(page, base, "#first")
    box = page.locator(".scatter canvas").bounding_box()
    x, y = box["x"], box["y"]
    page.mouse.move(x + 46, y + 12)
    page.mouse.down()
    page.mouse.move(x + box["width"] * 0.6, y + 240, steps=4)
    page.mouse.up()
    page.get_by_role("button", name="Clear the brush").wait_for()
    low, high = map(float, page.evaluate("atlas.route.current().query.box").split(",")[:2])
    of = profile(LATENTS, 60, 0).density_s
    n = int(page.locator(".results strong").inner_text().split()[0])
    assert 0 < n < LATENTS and n <= int(((of >= low) & (of <= high)).sum())


def test_a_card_says_what_how_sure_and_what_edits_do(page, base):
    open_at(page, base, "#first/3")
    card = page.locator(".verdicts").inner_text()
    assert "Detects stripes: F1 0.61 [0.50, 0.70] on validation images, 0.12 by chance (q 0.004" in card
    assert "2 other seeds" in card
    edited = "its largest code on all patches, it changes 44 % of the answers on stripes and 4.0 %"
    assert edited in card
    assert "more than its controls" in card
    assert page.locator("figcaption", has_text="caused by").count() == 1
    assert page.locator(".uplot").count() == 3  # two places of edits, and the codes
    open_at(page, base, "#first/5")
    assert "No concept beats its null here" in page.locator(".verdicts").inner_text()
    open_at(page, base, "#first/28")
    assert "Dead" in page.locator(".verdicts").inner_text() and page.locator("figure").count() == 0
    open_at(page, base, "#second/13")
    assert "random weights" in page.locator(".verdicts").inner_text()


def test_titles_never_say_more_than_the_data(page, base):
    open_at(page, base, "#first/3")
    chosen, control = "{method: 'chosen latent', target: T, other: 0.1}", "{target: 0.3, other: 0.1}"
    for target, beats in ((0.5, True), (0.3, False), (0.2, False)):
        said = f"atlas.words.beats({chosen.replace('T', str(target))}, [{control}])"
        assert page.evaluate(said) is beats


def test_heat_maps_lie_where_the_codes_are(page, server):
    """Served: a page from disk may draw its images, but not read them back."""
    open_at(page, server, "#first/3")
    page.locator("figure canvas").first.wait_for()
    strongest = 3 % 10 * 16 + 3 % 7  # of the square that latent 3 fires on
    light = page.evaluate(
        """async (token) => {
            const canvas = document.querySelector("figure canvas");
            await canvas.ready;
            const light = (row, column) => {
                const at = [8 * column + 4, 8 * row + 4, 1, 1];
                const [r, g, b] = canvas.getContext("2d").getImageData(...at).data;
                return 0.3 * r + 0.6 * g + 0.1 * b;
            };
            return {strongest: light(Math.floor(token / 16), token % 16), silent: light(14, 14)};
        }""",
        strongest,
    )
    assert light["strongest"] > 150 > 110 > light["silent"]


def test_patches_of_an_image_lead_to_their_latents(page, base):
    open_at(page, base, "#first/image/1")
    total = page.locator(".found strong").inner_text()
    board = page.locator(".board")
    box = board.bounding_box()
    page.mouse.click(box["x"] + box["width"] * 6.5 / 16, box["y"] + box["height"] * 6.5 / 16)
    page.locator(".found strong", has_text="on 1 patch").wait_for()
    assert page.evaluate("atlas.route.current().query.p") == str(6 * 16 + 6)
    expected = page.evaluate("""async () => {
        const look = await atlas.look(await atlas.cell("first"), 1), p = 6 * 16 + 6;
        return [...look.latent.slice(look.start[p], look.start[p + 1])];
    }""")
    assert (
        expected and set(listed(page)) == set(expected)
        if len(expected) <= 24
        else set(listed(page)) < set(expected)
    )
    board.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press(" ")
    page.locator(".found strong", has_text="on 2 patches").wait_for()
    page.get_by_role("button", name="Clear").click()
    page.locator(".found strong", has_text=total).wait_for()
    page.locator("tr[data-latent] a").first.click()
    page.locator(".card").wait_for()


def test_two_cells_stand_side_by_side(page, base):
    open_at(page, base, "#compare")
    assert page.locator("table.sides").count() == 2
    page.get_by_role("button", name="Show both latents for stripes").click()
    page.locator(".half.card").nth(1).wait_for()
    assert page.locator(".half h1").count() == 2
    assert page.evaluate("Object.keys(atlas.route.current().query).sort().join()") == "a,as,b,bs"


def test_an_address_brings_back_what_it_showed(page, base, browser):
    open_at(page, base, "#first")
    page.select_option("[name=concept]", "classes/text")
    page.fill("#search", "text")
    page.wait_for_function("atlas.route.current().query.q === 'text'")
    page.locator("tr[data-latent]").nth(2).click()
    page.locator(".card").wait_for()
    title, address = page.title(), page.url
    page.go_back()
    page.locator(".results").wait_for()
    assert page.input_value("#search") == "text"
    again = browser.new_page()
    open_at(again, address)
    assert again.title() == title
    again.get_by_role("link", name="All latents").click()
    again.locator(".results").wait_for()
    assert again.input_value("[name=concept]") == "classes/text"
    again.close()


def test_everything_by_keyboard_alone(page, base):
    open_at(page, base)
    page.keyboard.press("?")
    page.locator("dialog[open]").wait_for()
    page.keyboard.press("Escape")
    page.keyboard.press("/")
    page.wait_for_function("document.activeElement.id === 'search'")
    page.keyboard.type("dots")
    page.wait_for_function("atlas.route.current().query.q === 'dots'")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    second = listed(page)[1]
    page.keyboard.press("Enter")
    page.locator(".card h1", has_text=f"Latent {second}").wait_for()
    page.keyboard.press("ArrowLeft")
    page.locator(f".card h1:not(:has-text('Latent {second} '))").wait_for()
    page.keyboard.press("Escape")
    page.locator(".results").wait_for()
    assert page.input_value("#search") == "dots"


@pytest.mark.parametrize("view", ["", "#first", "#first/3", "#first/image/1", "#compare?as=3&bs=13"])
@pytest.mark.parametrize("width", [390, 1280])
def test_no_view_is_wider_than_the_screen(page, base, width, view):
    page.set_viewport_size({"width": width, "height": 844})
    open_at(page, base, view)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for canvas in page.locator("canvas:not(.uplot canvas)").all():  # those have it on their frame
        assert canvas.get_attribute("aria-label")


def test_wrong_addresses_are_told_in_words(page, base):
    for view, words in (
        ("#nobody", "No cell is called nobody"),
        ("#first/9999", "0 to 299"),
        ("#first/image/77", "not among the 4"),
    ):
        open_at(page, base, view)
        assert words in page.locator("[role=alert]").inner_text()


def test_hostile_names_and_notes_are_text(page, tmp_path):
    write_invented(tmp_path, latents=20, images=20, concept=HOSTILE)
    base = (tmp_path / "index.html").as_uri()
    for view in ("", "#first", "#first/3", "#compare"):
        open_at(page, base, view)
        assert HOSTILE in page.inner_text("main")
    open_at(page, base, "#first/7")
    assert page.locator(".note").inner_text() == "Seen on <b>fur</b> alone."
