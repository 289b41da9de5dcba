"""What the fixture `page` lets pass, and what not."""

import pytest

from tests.browser.watch import watch

pytestmark = pytest.mark.browser


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ("<b>quiet</b>", None),
        ("<script>console.error('loud')</script>", "loud"),
        ("<script>missing()</script>", "missing is not defined"),
        ("<img src='http://example.invalid/a.png'>", "http://example.invalid/a.png"),
    ],
)
def test_a_page_that_complains_or_asks_elsewhere_is_told_of(browser, body, fault):
    page = browser.new_page()
    faults = watch(page)
    page.goto(f"data:text/html,{body}")
    assert page.inner_text("body") == ("quiet" if fault is None else "")
    page.close()
    assert (faults == []) if fault is None else (fault in faults)
