"""The page in a real browser: needs playwright (the extra `browser`) and a Chromium of the system."""

import json
import re
import shutil

import numpy as np
import pytest

from ctseg.model import file_digest, find_model

playwright = pytest.importorskip("playwright.sync_api")
_CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(_CHROMIUM is None, reason="no Chromium is here")


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=_CHROMIUM)
        yield opened
        opened.close()


@pytest.fixture
def show(browser, report):
    """Report on an OUT and open it; what the console says and what is asked of the network end up in `trouble`."""
    trouble, contexts = [], []

    def shown(out, **context):
        assert report(out).status == 0
        contexts.append(browser.new_context(viewport={"width": 1280, "height": 900}, **context))
        page = contexts[-1].new_page()
        page.on("console", lambda message: trouble.append(message.text))
        page.on("pageerror", lambda error: trouble.append(str(error)))
        page.on("request", lambda request: request.url.startswith(("file:", "data:")) or trouble.append(request.url))
        page.goto((out / "report.html").as_uri())
        return page

    yield shown
    for context in contexts:
        context.close()
    assert trouble == []


@pytest.fixture
def thousands(summary_of, save_summary):
    """An OUT of 3,000 scans; the more involved the later, every hundredth flagged."""
    return save_summary(
        summary_of(
            *(
                {"involvement_percent": number / 30, "flags": ["gap"] if number % 100 == 0 else []}
                for number in range(3000)
            )
        )
    )


@pytest.fixture
def volume(batch, save_volume, list_slices, tmp_path, draw):
    """An OUT with one scan of 12 slices."""
    save_volume(tmp_path / "in" / "ct.nii.gz", np.stack([draw(seed, 64, 64) for seed in range(12)]), spacing=(5, 1, 1))
    done = batch(tmp_path / "in")
    list_slices(done.out, {"ct.nii.gz": {f"ct.nii.gz/{index:04d}.png": "ct.nii.gz" for index in range(12)}})
    return done.out


@pytest.fixture
def graded(summary_of, save_summary):
    """An OUT of 3,000 scans of full measures: severity 0 to 10 in turn, of every fourth not known."""
    lesions = {"right": 0, "left": 0, "smaller": 0, "volume_ml": 0, "median_ml": None}

    def scan(number):
        known = number % 4
        return {
            "severity": {"right": 0, "left": 0, "total": number % 11} if known else None,
            "lesions": {**lesions, "count": number, "largest_ml": number / 10} if known else None,
        }

    return save_summary(summary_of(*map(scan, range(3000))))


def rows(page):
    return page.locator("#table tbody tr:not(.space)")


def names(page):
    return page.locator("#table tbody .name").all_inner_texts()


def test_only_what_is_in_view_is_in_the_page_of_thousands(show, thousands):
    page = show(thousands)
    assert rows(page).count() < 100
    page.locator("#viewport").evaluate("element => { element.scrollTop = element.scrollHeight }")
    page.locator("#table tbody", has_text="scan 2999").wait_for()
    assert rows(page).count() < 100
    assert page.locator("#table").get_attribute("aria-rowcount") == "3001"
    assert rows(page).last.get_attribute("aria-rowindex") == "3001"


def test_a_heading_sorts_down_up_and_not_at_all(show, thousands):
    page = show(thousands)
    heading = page.locator("th.involvement_percent")
    for state, first in (("descending", "scan 2999"), ("ascending", "scan 0"), ("none", "scan 0")):
        heading.locator("button").click()
        assert heading.get_attribute("aria-sort") == state
        assert names(page)[0] == first


def test_what_is_not_known_is_sorted_last(show, graded):
    page = show(graded)
    heading = page.locator("th.severity_total")
    for first in ("10", "0"):
        heading.locator("button").click()
        assert rows(page).first.locator("td").nth(6).inner_text() == first
    page.locator("#viewport").evaluate("element => { element.scrollTop = element.scrollHeight }")
    page.locator("#table tr[aria-rowindex='3001']").wait_for()
    assert rows(page).last.locator("td").nth(6).inner_text() == "\u2013"


def test_little_is_not_shown_as_nothing_and_sorted_by_what_it_is(show, summary_of, save_summary):
    shares = (0.01, 0.0, 0.04, 0.3, 0.02)
    page = show(save_summary(summary_of(*({"involvement_percent": share} for share in shares))))
    cells = page.locator("#table tbody tr td:nth-of-type(6)")
    assert cells.all_inner_texts() == ["<0.1", "0.0", "<0.1", "0.3", "<0.1"]
    page.locator("th.involvement_percent button").click()
    assert names(page) == ["scan 3", "scan 2", "scan 4", "scan 0", "scan 1"]


def test_a_grade_narrows_the_table_down_to_its_scans(show, graded):
    page = show(graded)
    bar = page.locator("[data-column=severity_total] [data-label='Severity 10']")
    bar.focus()
    page.keyboard.press("Enter")
    page.locator("#matches", has_text="204 of 3,000 scans").wait_for()
    assert set(page.locator("#table tbody tr:not(.space) td:nth-of-type(7)").all_inner_texts()) == {"10"}


def test_the_names_of_scans_stay_in_view_beside_many_columns(show, graded):
    page = show(graded)
    page.set_viewport_size({"width": 800, "height": 900})
    viewport = page.locator("#viewport")
    assert viewport.evaluate("element => element.scrollWidth > element.clientWidth")
    viewport.evaluate("element => { element.scrollLeft = element.scrollWidth }")
    name, edge = rows(page).first.locator("th").bounding_box(), viewport.bounding_box()
    assert abs(name["x"] - edge["x"]) <= 1


@pytest.fixture
def crowded(measured, save_summary):
    """An OUT of 30 scans of full measures, with a reference, long names, flags and errors."""
    summary = json.loads((measured(1) / "summary.json").read_text())
    told = {"flags": ["gap", "slices far apart"], "errors": [{"file": "a", "reason": "is cut off"}]}
    scans = ({**summary["scans"][0], **told, "scan": f"{'1.2.840.' * 9}{number}"} for number in range(30))
    return save_summary({**summary, "scans": list(scans)}, "crowded")


@pytest.mark.parametrize(("width", "is_whole"), [(1920, True), (1280, False), (390, False)])
def test_a_wide_table_takes_the_window_and_a_wide_window_shows_all_of_it(show, crowded, width, is_whole):
    page = show(crowded)
    page.set_viewport_size({"width": width, "height": 900})
    viewport = page.locator("#viewport")
    box = viewport.bounding_box()
    assert 0 < box["x"] == pytest.approx(width - box["x"] - box["width"], abs=20)  # a scroll bar on the right
    assert (viewport.evaluate("one => one.scrollWidth <= one.clientWidth")) == is_whole
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for title in ("status", "flags"):  # in view at any width, from one edge or the other
        head = page.locator(f"#table thead .{title}").bounding_box()
        assert box["x"] < head["x"] < box["x"] + box["width"]
    beginning = page.locator("#table tbody .beginning")
    assert beginning.first.evaluate("one => one.scrollWidth > one.clientWidth")
    name = page.locator("#table tbody .name").first
    assert name.evaluate("one => one.scrollWidth <= one.clientWidth")


def test_a_table_of_little_is_as_wide_as_the_page_and_its_names_take_what_they_need(show, summary_of, save_summary):
    page = show(save_summary(summary_of({}, {})))
    page.set_viewport_size({"width": 1920, "height": 900})
    page_box, box = (page.locator(one).bounding_box() for one in ("#overview", "#viewport"))
    assert (box["x"], box["width"]) == (page_box["x"], page_box["width"])
    heads = page.locator("#table thead th").all_inner_texts()
    assert heads[:3] == ["Scan", "Status", "Slices"]
    assert not {"Flags", "Errors"} & set(heads)
    widths = [one.bounding_box()["width"] for one in page.locator("#table thead th").all()]
    assert widths[0] < 1.5 * widths[heads.index("Slices")]


def test_names_of_scans_without_pictures_are_told_apart_by_their_ends_too(show, report, summary_of, save_summary):
    out = save_summary(summary_of({"scan": "1.3.6.1." * 10}))
    page = show(out)
    report(out, "--pictures", 0)
    page.reload()
    button, cell = (page.locator(f"#table tbody .name{one}").first for one in (" button", ""))
    assert cell.evaluate("one => one.scrollWidth <= one.clientWidth")
    assert button.locator(".beginning").evaluate("one => one.scrollWidth > one.clientWidth")


def test_names_that_begin_alike_are_told_apart_by_their_ends(show, summary_of, save_summary):
    long = [f"1.3.6.1.4.1.14519.5.2.1.6279.6001/10022528722275066326333128595{number}" for number in range(2)]
    page = show(save_summary(summary_of(*({"scan": name} for name in [*long, "short"]))))
    assert names(page) == [*long, "short"]
    cell = page.locator("#table tbody .name").first
    assert cell.evaluate("one => one.scrollWidth <= one.clientWidth")
    beginning = cell.locator(".beginning")
    assert beginning.inner_text() == long[0][:-8]
    assert beginning.evaluate("one => one.scrollWidth > one.clientWidth")
    assert cell.get_attribute("title") == long[0]


def test_no_heading_of_the_table_covers_the_navigation(show, graded):
    page = show(graded)
    heading = page.locator("#table thead .name").evaluate("one => one.getBoundingClientRect().top + scrollY")
    page.evaluate(f"scrollTo({{ top: {heading}, behavior: 'instant' }})")
    covered = page.locator("#table thead .name").bounding_box()
    on_top = "([x, y]) => document.elementFromPoint(x, y).closest('.bar') !== null"
    assert page.evaluate(on_top, [covered["x"] + 20, covered["y"] + 20])


def test_scans_that_are_done_with_doubts_say_so_where_their_status_is(show, summary_of, save_summary):
    doubts, none = ["gap", "no left lung", "no reference"], ["no reference"]
    page = show(
        save_summary(summary_of({"status": "failed"}, {}, {"flags": doubts}, {"status": "partial"}, {"flags": none}))
    )
    badges = page.locator("#table tbody .badge")
    assert badges.all_inner_texts() == ["failed", "ok", "ok, 2 flags", "partial", "ok"]
    colour = "one => getComputedStyle(one).color"
    assert badges.nth(2).evaluate(colour) == badges.nth(3).evaluate(colour) != badges.nth(1).evaluate(colour)
    assert badges.nth(2).evaluate("one => one.parentElement.scrollWidth <= one.parentElement.clientWidth")
    assert page.locator("#scan-2 header .badge").inner_text() == "ok, 2 flags"
    page.locator("#table thead .status button").click()
    assert badges.all_inner_texts() == ["failed", "partial", "ok, 2 flags", "ok", "ok"]
    page.locator("#status").select_option("ok")
    page.locator("#matches", has_text="3 of 5 scans").wait_for()


def test_the_search_finds_names_and_flags(show, thousands):
    page = show(thousands)
    matches = page.locator("#matches")
    page.get_by_label("Search").fill("scan 1234")
    matches.filter(has_text="1 of 3,000 scans").wait_for()
    assert names(page) == ["scan 1234"]
    page.get_by_label("Search").fill("gap")
    matches.filter(has_text="30 of 3,000 scans").wait_for()
    page.get_by_label("Search").fill("")
    page.locator("#status").select_option("flagged")
    matches.filter(has_text="30 of 3,000 scans").wait_for()
    assert names(page)[:2] == ["scan 0", "scan 100"]


def test_a_flag_narrows_the_table_down_to_the_scans_that_carry_it(show, summary_of, save_summary):
    flags = (["gap"], ["no reference for 1 slice"], ["no reference for 31 slices"], [], [])
    scans = ({"scan": f"Singapore/{place}", "flags": carried} for place, carried in enumerate(flags))
    page = show(save_summary(summary_of(*scans)))
    for flag, many in (("gap", 1), ("no reference for some slices", 2)):
        page.get_by_role("button", name=f"Show the scans flagged: {flag}").click()
        page.locator("#matches", has_text=f"{many} of 5 scans").wait_for()
        assert page.evaluate("document.activeElement.id") == "search"
    page.locator("#range").click()
    page.locator("#matches", has_text="5 scans").wait_for()


def test_the_table_is_worked_by_keyboard_alone(show, thousands):
    page = show(thousands)
    page.locator("#viewport").focus()
    focused = "document.activeElement.getAttribute('aria-rowindex')"
    for key, row in (("ArrowDown", "2"), ("ArrowDown", "3"), ("End", "3001"), ("ArrowUp", "3000"), ("Home", "2")):
        page.keyboard.press(key)
        assert page.evaluate(focused) == row
    page.keyboard.press("PageDown")
    assert 5 < int(page.evaluate(focused)) < 60
    page.keyboard.press("Enter")
    dialog = page.locator("#detail")
    assert dialog.is_visible()
    assert "holds no pictures of it" in dialog.inner_text()
    page.keyboard.press("Escape")
    assert not dialog.is_visible()
    assert 5 < int(page.evaluate(focused)) < 60


def test_enter_leads_to_a_scan_that_is_shown(show, volume):
    page = show(volume)
    page.locator("#viewport").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_url("**#scan-0")
    assert page.evaluate("document.activeElement.id") == "scan-0"


def test_a_bar_narrows_the_table_down_and_its_button_widens_it_again(show, thousands):
    page = show(thousands)
    bar = page.locator("[data-column=involvement_percent] [data-from]").nth(2)
    bar.focus()
    page.keyboard.press("Enter")
    said = bar.get_attribute("aria-label")
    expected = f"{int(said.rsplit(':')[1].split()[0])} of 3,000 scans"
    assert page.locator("#matches").inner_text() == expected
    assert bar.get_attribute("aria-pressed") == "true"
    page.locator("#range").click()
    assert page.locator("#matches").inner_text() == "3,000 scans"
    assert bar.get_attribute("aria-pressed") == "false"


def test_a_dot_leads_to_its_scan_by_keyboard(show, summary_of, save_summary):
    page = show(save_summary(summary_of({}, {}, {})))
    dots = page.locator(".chart [data-scan]")
    assert [dot.get_attribute("tabindex") for dot in dots.all()] == ["0", "-1", "-1"]
    dots.first.focus()
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.getAttribute('aria-label')").startswith("scan 1: ")
    page.keyboard.press("Enter")
    page.wait_for_url("**#scan-1")


def test_the_profile_is_read_off_by_keyboard(show, volume):
    page = show(volume)
    plot = page.get_by_role("slider")
    plot.focus()
    page.keyboard.press("Home")
    assert plot.get_attribute("aria-valuenow") == "0"
    page.keyboard.press("ArrowUp")
    assert plot.get_attribute("aria-valuetext").startswith("Slice 1: ")
    assert page.locator(".line:visible").count() == 3


def test_the_profile_is_as_high_as_the_view_from_the_front(show, volume):
    page = show(volume)
    picture = page.locator(".plane .layered").first.bounding_box()
    grid = page.locator(".profile").evaluate("figure => Number(figure.dataset.height)")
    plot = page.locator(".profile svg").bounding_box()
    assert abs(plot["y"] - picture["y"]) < 1
    assert abs(picture["height"] - grid) < 1
    assert abs(plot["height"] - grid - 40) < 1  # the axis below


def test_light_and_dark_follow_the_system_until_they_are_chosen(show, volume):
    page = show(volume, color_scheme="dark")
    ground = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(ground) == "rgb(16, 20, 24)"
    page.get_by_role("button", name="Light").click()
    assert page.evaluate(ground) == "rgb(255, 255, 255)"
    page.reload()
    assert page.evaluate(ground) == "rgb(255, 255, 255)"


def test_the_classes_can_be_taken_off_the_slices(show, volume):
    page = show(volume)
    layer = page.locator(".montage .layer").first
    assert layer.is_visible()
    page.get_by_role("button", name="Classes").click()
    assert not layer.is_visible()


def test_the_colours_of_the_classes_are_told_in_view_of_every_picture(show, volume):
    page = show(volume)
    in_bar, in_part = page.locator(".bar .key"), page.locator(".part .key")
    assert "ground glass" in in_bar.inner_text()
    assert not in_part.is_visible()
    assert page.locator(".bar nav ul").evaluate("one => one.scrollWidth <= one.clientWidth")
    page.set_viewport_size({"width": 1000, "height": 900})  # no room for them beside the navigation
    assert not in_bar.is_visible()
    page.emulate_media(media="print")
    assert in_part.is_visible()
    assert not page.locator("#pictures > .key").is_visible()


def test_a_narrow_window_scrolls_in_one_direction_only(show, volume):
    page = show(volume)
    page.set_viewport_size({"width": 400, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") == 400


def test_scores_and_reasons_fit_into_a_narrow_window(show, save_summary, summary_of):
    digest = file_digest(find_model("fast"))
    model = {"name": "fast", "version": "6", "precision": "fp32", "licence": "", "sha256": digest}
    errors = [{"file": "a/with_a_long_name.png", "reason": "is not a PNG, JPEG, TIFF, BMP or NPY image"}]
    page = show(save_summary(summary_of({"flags": ["no reference for some slices"], "errors": errors}, model=model)))
    page.set_viewport_size({"width": 390, "height": 844})
    scores = page.get_by_role("region", name="Scores")
    assert scores.evaluate("one => one.scrollWidth - one.clientWidth") <= 0
    reason = page.get_by_role("region", name="What failed").locator("tbody td").first
    assert reason.evaluate("one => one.clientWidth") > 100
    assert page.locator("button.flag").first.evaluate("one => getComputedStyle(one).textAlign") == "left"


def test_agreement_and_sources_fit_into_a_narrow_window(show, measured, save_summary):
    summary = json.loads((measured(0, 1, 2) / "summary.json").read_text())
    summary["model"]["sha256"] = file_digest(find_model("fast"))
    page = show(save_summary(summary, "of fast"))
    page.set_viewport_size({"width": 390, "height": 844})
    for name in ("Bias and limits of agreement", "Data sets"):
        region = page.get_by_role("region", name=name)
        assert region.locator("td").count() > 0
        assert region.evaluate("one => one.scrollWidth - one.clientWidth") <= 0


def test_both_lungs_fit_into_a_narrow_window(show, measured):
    page = show(measured(0, 1, 2))
    page.set_viewport_size({"width": 400, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") == 400
    for table in page.locator(".lungs, .scores").all():
        box = table.bounding_box()
        assert box["x"] + box["width"] <= 400


def test_the_whole_table_is_printed_up_to_a_limit(show, thousands):
    page = show(thousands)
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert rows(page).count() == 500
    assert page.locator("#printed").inner_text() == "The first 500 of 3,000 rows; summary.csv holds them all."
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert rows(page).count() < 100


@pytest.fixture
def printed(show):
    """The pages of an OUT's report on A4, in order: whether each lies across."""

    def pages(out):
        content = show(out).pdf(format="A4", prefer_css_page_size=True)
        sizes = re.findall(rb"/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]", content)
        return [float(width) > float(height) for width, height in sizes]

    return pages


def test_on_paper_no_table_has_a_page_to_itself_and_no_scan_two(printed, measured):
    """Across lie the pages of the overview, of the agreement and of the table together; then a page a scan."""
    few, more = printed(measured(1)), printed(measured(1, 1))
    assert few[:3] == more[:3] == [True, True, False]
    assert not any(few[2:] + more[2:])
    assert len(more) == len(few) + 1


def test_what_is_for_a_narrow_window_is_not_for_paper(show, measured):
    page = show(measured(1))
    page.set_viewport_size({"width": 703, "height": 1017})  # A4 without its margins
    page.emulate_media(media="print")
    part = page.locator("#scan-0")
    assert part.bounding_box()["height"] < 1017
    shares = part.locator(".lungs .share").all()
    assert shares
    assert all(share.evaluate("one => getComputedStyle(one).float") == "left" for share in shares)


def test_a_name_without_spaces_leaves_room_for_the_other_columns_on_paper(show, summary_of, save_summary):
    page = show(save_summary(summary_of({"scan": "1.2.840." + "0123456789" * 12, "flags": ["gap", "oblique"]}, {})))
    page.set_viewport_size({"width": 700, "height": 1000})  # about an A4 page without its margins
    page.emulate_media(media="print")
    assert page.locator("#table").evaluate("one => one.scrollWidth <= one.parentElement.clientWidth")
    assert page.locator("#table tbody .name").first.evaluate("one => one.offsetWidth") >= 9 * 16


def test_files_that_are_folded_up_are_printed_too(show, summary_of, save_summary):
    errors = [{"file": f"a/{number}.dcm", "reason": "is cut off"} for number in range(60)]
    page = show(save_summary(summary_of({"status": "partial", "errors": errors})))
    last = page.locator("#failures code", has_text="a/49.dcm")
    assert not last.is_visible()
    page.emulate_media(media="print")
    for event, is_seen in (("beforeprint", True), ("afterprint", False)):
        page.evaluate(f"dispatchEvent(new Event('{event}'))")
        assert page.locator("#failures details").evaluate("element => element.open") == is_seen
        assert last.is_visible() or not is_seen


def test_without_scripts_the_page_still_shows_its_scans(show, volume):
    page = show(volume, java_script_enabled=False)
    assert names(page) == ["ct.nii.gz"]
    assert page.locator(".montage img").count() == 16
    assert not page.locator("#search").is_visible()
