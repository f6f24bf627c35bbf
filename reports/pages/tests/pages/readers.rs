//! Readers with paper, with a phone, and with a keyboard or a voice.

use super::{Browser, DESK, Made, PHONE, world};
use std::fs;

#[test]
fn on_paper_heads_repeat_texts_are_dark_on_white_and_checksums_stay_closed() {
    let made = Made::of(world::nights);
    let (out, browser) = (made.out(), Browser::start());
    browser.dress(DESK, "dark");
    browser.open(&out.join("run-night-000/index.html"), "");
    browser.on_paper("dark");
    let style = |selector: &str, name: &str| {
        browser.evaluate(&format!("getComputedStyle(document.querySelector('{selector}')).{name}"))
    };
    // A browser repeats no heads with a button in them.
    assert_eq!(style("thead th button", "display"), "contents");
    assert_eq!(style("body", "backgroundColor"), "rgb(255, 255, 255)");
    assert_eq!(style(".badge.lazy", "backgroundColor"), "rgb(228, 237, 251)");
    assert_eq!(style(".fold > dl", "columnCount"), "auto", "or the fold is an empty box");
    let seen = |which: &str| {
        browser.evaluate(&format!(
            "[...document.querySelectorAll('{which}')].map((it) => \
             getComputedStyle(it, '::details-content').contentVisibility)"
        ))
    };
    let opened = seen("details.fold:not(#repeat ~ details, .fold .fold)");
    let opened = opened.as_array().unwrap();
    assert!(!opened.is_empty() && opened.iter().all(|it| it == "visible"), "{opened:?}");
    let closed = seen("#repeat ~ details");
    let closed = closed.as_array().unwrap();
    assert!(!closed.is_empty() && closed.iter().all(|it| it == "hidden"), "{closed:?}");
    browser.open(&out.join("run-night-000/rows.html"), "");
    assert_eq!(style("thead th", "overflowWrap"), "normal", "heads stay words");
}

#[test]
fn on_a_phone_what_scrolls_says_so_and_keeps_its_first_column() {
    let made = Made::of(world::nights);
    let (out, browser) = (made.out(), Browser::start());
    browser.dress(PHONE, "light");
    browser.open(&out.join("index.html"), "");
    let left = "document.querySelector('tbody th').getBoundingClientRect().left";
    let before = browser.evaluate(left);
    browser.evaluate("document.querySelector('.scroll').scrollLeft = 150");
    assert_eq!(browser.evaluate("document.querySelector('.scroll').scrollLeft"), 150);
    assert_eq!(browser.evaluate(left), before);
    for signed in [".scroll:has(table) caption > span", "figure:has(svg.wide) > figcaption"] {
        let sign = browser.evaluate(&format!(
            "getComputedStyle(document.querySelector('{signed}'), '::after').content"
        ));
        assert!(sign.as_str().unwrap().contains("scrolls"), "{signed}: {sign}");
    }
    browser.dress(DESK, "light");
    browser.open(&out.join("run-night-003/index.html"), "");
    let wide = "document.querySelectorAll('.over').length";
    assert_eq!(browser.evaluate(wide), 0, "a run on hardware fits a desk's screen");
}

#[test]
fn every_result_of_a_run_is_below_a_heading() {
    let made = Made::of(world::nights);
    let (out, browser) = (made.out(), Browser::start());
    browser.open(&out.join("run-night-000/index.html"), "");
    let heads = "[...document.querySelectorAll('details[id^=g] > summary')].map((it) => it.children[0].localName)";
    assert_eq!(browser.evaluate(heads), serde_json::json!(["h2", "h2", "h2", "h2"]));
}

#[test]
fn without_scripts_the_keyboard_still_reaches_all_that_may_scroll() {
    let made = Made::of(world::nights);
    let page = fs::read_to_string(made.out().join("run-night-006/index.html")).unwrap();
    let areas = page.matches("<div class=\"scroll\"").count();
    assert!(areas > 5);
    assert_eq!(page.matches("<div class=\"scroll\" role=\"region\" tabindex=\"0\"").count(), areas);
}
