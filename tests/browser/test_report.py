"""The report in Chromium, opened from disk: of a study whose names are as odd as names can be."""

import json
from typing import TYPE_CHECKING

import pytest

from tests.pipeline.study import succeed
from tests.report.studies import write_study

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser

ODD = ("US$ and CA$", "<b>bold</b>", "new\nline", "猫", "n" * 200)


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> str:
    root = tmp_path_factory.mktemp("report")
    grid = write_study(root, backbones=("vit", "untrained"), classes=ODD)
    (root / "conf").mkdir()
    (root / "conf/study.yaml").write_text(json.dumps({"study": grid | {"untrained": ["untrained"]}}))
    succeed(root, "report")
    return (root / "report/index.html").as_uri()


def column(page: "Page", table: str, which: int) -> list[str]:
    """The first line of each cell of a column."""
    script = "(t, i) => [...t.tBodies[0].rows].map(r => r.cells[i].firstChild.textContent.trim())"
    return page.locator(table).first.evaluate(f"t => ({script})(t, {which})")


def test_every_picture_is_seen_and_every_link_leads_somewhere(page, report):
    page.goto(report)
    seen = page.evaluate(
        "async () => { const all = [...document.images]; all.forEach((i) => { i.loading = 'eager'; });"
        "await Promise.all(all.map((i) => i.decode())); return all.map((i) => i.naturalWidth); }"
    )
    assert len(seen) > 20 and min(seen) > 0
    lost = "[...document.links].filter((a) => !document.getElementById(a.hash.slice(1))).length"
    assert page.evaluate(lost) == 0 and page.evaluate("document.links.length") > 30


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_but_what_may_scrolls_sideways(page, report, width):
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(report)
    page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth") == width


def test_tables_sort_by_numbers_and_words_and_say_so(page, report):
    page.goto(report)
    page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    table = "table:has(th:text-is('detectable'))"
    heading = page.locator(table).first.locator("thead th")
    names, f1 = column(page, table, 0), list(map(float, column(page, table, 2)))
    assert len(f1) == len(ODD) and f1 != sorted(f1, reverse=True)
    heading.nth(2).get_by_role("button").click()
    assert list(map(float, column(page, table, 2))) == sorted(f1, reverse=True)
    assert heading.nth(2).get_attribute("aria-sort") == "descending"
    heading.nth(2).get_by_role("button").press("Enter")  # by the keyboard too
    assert list(map(float, column(page, table, 2))) == sorted(f1)
    heading.nth(0).get_by_role("button").click()
    assert heading.nth(2).get_attribute("aria-sort") is None
    by_name = column(page, table, 0)
    assert sorted(by_name) == sorted(names)
    assert by_name == page.evaluate("(n) => n.sort((a, b) => a.localeCompare(b))", names)


def test_what_was_not_measured_sorts_last_both_ways_and_minus_is_a_sign(page, report):
    page.goto(report)
    cells = ["0.5", "\N{EN DASH}", "\N{MINUS SIGN}0.7", "1,200"]
    page.evaluate(
        "(cells) => { const t = document.querySelector('table.dense'), [row] = t.tBodies[0].rows;"
        "t.tBodies[0].replaceChildren(...cells.map((text) => { const r = row.cloneNode(true);"
        "r.cells[3].textContent = text; return r; })); }",
        cells,
    )
    button = page.locator("table.dense thead th").nth(3).get_by_role("button")
    button.click()
    assert column(page, "table.dense", 3) == ["1,200", "0.5", "\N{MINUS SIGN}0.7", "\N{EN DASH}"]
    button.click()
    assert column(page, "table.dense", 3) == ["\N{MINUS SIGN}0.7", "0.5", "1,200", "\N{EN DASH}"]


def test_names_show_as_themselves(page, report):
    page.goto(report)
    page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    shown = page.locator("main").inner_text()
    for name in ("US$ and CA$", "<b>bold</b>", "new\\nline", "猫", "n" * 24 + "…" + "n" * 24):
        assert name in shown
    assert page.locator("main b:text-is('bold')").count() == 0 and "n" * 60 not in shown


def test_without_script_it_is_read_all_the_same(browser, report):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(report)
    assert page.locator("section.outcome").inner_text().startswith("Outcome")
    assert page.locator("button").count() == 0 and page.locator("table").first.is_visible()
    context.close()


def test_a_verdict_and_the_parameters_of_a_figure_are_one_click_away(page, report):
    page.goto(report)
    page.locator(".verdict.supported").click()
    assert page.locator("dt:target").inner_text() == "cats-go"
    page.locator("figcaption a", has_text="probe").first.click()
    assert page.locator("#made-probe code", has_text="probe.units").is_visible()


def test_paper_shows_what_is_folded_away(page, report):
    page.goto(report)
    folded = page.evaluate("document.querySelectorAll('details:not([open])').length")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert folded > 3 and page.evaluate("document.querySelectorAll('details:not([open])').length") == 0
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.evaluate("document.querySelectorAll('details:not([open])').length") == folded
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 700, "height": 990})  # a sheet of A4 within its margins
    assert page.evaluate("document.documentElement.scrollWidth") == 700
