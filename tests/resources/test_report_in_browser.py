"""The report as a browser shows it: every plot drawn, nothing asked of the network, nothing complained of."""

from collections.abc import Iterator

import pytest

from resources.report_page import write_page
from tests.browser import DRAWN, Page, page_at
from tests.resources.report_examples import full_story

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    folder = tmp_path_factory.mktemp("report")
    with page_at(write_page(folder, full_story()).as_uri(), folder / "profile") as page:
        yield page


@pytest.mark.parametrize(("width", "scheme"), [(1200, "light"), (1200, "dark"), (390, "light"), (390, "dark")])
def test_every_plot_is_drawn_and_fits_the_window(opened: Page, width: int, scheme: str) -> None:
    opened.show_as(width, scheme)
    drawn = opened.value(DRAWN)
    named = " ".join(one["title"] for one in drawn)
    for plot in ("Loss while it was trained", "Held-out conversations", "General set", "Better on what was held out"):
        assert plot in named
    assert not [one for one in drawn if one["width"] < 60 or one["height"] < 10]
    assert not [one for one in drawn if one["marks"] == 0 and one["title"] != "axis"]
    assert opened.value("document.documentElement.scrollWidth") <= width


def test_nothing_is_run_or_asked_for_elsewhere_and_nothing_complained_of(opened: Page) -> None:
    assert [address for address in opened.asked if not address.startswith(("file:", "data:"))] == []
    assert opened.said == []
    assert opened.value("document.scripts.length + document.images.length") == 0


def test_dark_and_light_are_told_apart(opened: Page) -> None:
    colours = []
    for scheme in ("light", "dark"):
        opened.show_as(1200, scheme)
        colours.append(opened.value("getComputedStyle(document.body).backgroundColor"))
    assert colours[0] != colours[1]
