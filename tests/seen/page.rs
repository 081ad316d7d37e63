//! The page in a browser: what it shows, that it follows, that nothing becomes code, that it can be read.

use std::path::PathBuf;

use dv_verify::propagation::Verdict;

use super::{
    chromium::Browser,
    is_installed,
    scenes::{Scene, round, txt},
};

/// Where pictures go, for the documentation and for people who change the page.
const PICTURES: &str = "DV_TEST_SCREENSHOTS";

const ORDER: &str = "cas-cn-1";

/// The width of a small phone and of a desk.
const WIDTHS: [u32; 2] = [360, 1100];

/// Nothing was asked for elsewhere, and the browser has nothing to complain of.
#[track_caller]
fn assert_clean(browser: &Browser, scene: &Scene) {
    assert_eq!(browser.complaints(), Vec::<String>::new());
    let requests = browser.requests();
    assert!(requests.len() >= 3, "page, style and script: {requests:?}");
    let foreign: Vec<&String> = requests.iter().filter(|url| !url.starts_with(&scene.url())).collect();
    assert!(foreign.is_empty(), "{foreign:?}");
}

fn keep(name: &str, picture: &[u8]) {
    if let Some(folder) = std::env::var_os(PICTURES) {
        std::fs::write(PathBuf::from(folder).join(name), picture).unwrap();
    }
}

#[test]
fn the_page_follows_an_order_from_the_challenge_to_its_end() {
    if !is_installed("chromium") {
        return;
    }
    let scene = Scene::empty();
    let mut browser = Browser::start(1100, 900, "light");
    browser.open(&scene.url());
    browser.until("document.getElementById('connection').textContent === 'live'");
    assert!(browser.text().contains("No order has been looked at yet"));

    scene.read(ORDER, &["www.example.com"], "checking", None);
    browser.until("document.querySelector('#order-cas-cn-1 h3')?.textContent.includes('www.example.com')");
    let record = txt("_dnsauth.www.example.com", "the-value");
    scene.published(ORDER, &record, "cloudflare", "example.com");
    let mut servers =
        [("ns1.example.com", "192.0.2.1:53", Verdict::Visible), ("ns2.example.com", "192.0.2.2:53", Verdict::NxDomain)];
    scene.looked(ORDER, &round(&record, "example.com", &servers));
    browser.until("document.querySelectorAll('#order-cas-cn-1 tbody tr').length === 2");
    let table = "[...document.querySelectorAll('#order-cas-cn-1 tbody tr')].map((row) => row.innerText).join('|')";
    let rows = browser.evaluate(table).as_str().unwrap().to_owned();
    assert!(
        rows.contains("visible") && rows.contains("nxdomain") && rows.contains("does not know the name (NXDOMAIN)"),
        "{rows}"
    );

    // What a reader closed stays closed, and a focus stays where it is, while the page changes.
    browser.evaluate("document.querySelector('#order-cas-cn-1 details').open = false");
    browser.evaluate("document.querySelector('footer a').focus()");
    servers[1].2 = Verdict::Visible;
    scene.looked(ORDER, &round(&record, "example.com", &servers));
    scene.waits(ORDER, "for the CA to look at the record");
    browser.until("document.querySelectorAll('#order-cas-cn-1 .steps .reached').length === 2");
    browser.until("document.querySelector('#order-cas-cn-1 .doing').textContent === 'waiting for the CA to look at the record'");
    assert_eq!(browser.evaluate("document.querySelector('#order-cas-cn-1 details').open"), false);
    assert_eq!(browser.evaluate("document.activeElement.textContent"), "metrics");

    scene.read("cas-cn-0", &["bad.example.com"], "checking", None);
    scene.failed("cas-cn-0", "the CA refused the order", "apply anew");
    browser.until("document.querySelector('#troubles')?.innerText.includes('apply anew')");
    browser.until("document.querySelector('.orders > li').id === 'order-cas-cn-0'");
    scene.done(ORDER);
    browser.until(
        "document.querySelector('#summary').innerText.replace(/\\s+/g, ' ').startsWith('1 failed 0 under way 1 ended well')",
    );
    assert_eq!(browser.evaluate("document.querySelectorAll('.orders > li').length"), 2);
    assert_eq!(browser.evaluate("document.title"), "1 failed · dv-verify");
    assert_clean(&browser, &scene);
    // The program ends: the page says so.
    let url = scene.url();
    drop(scene);
    browser.until("document.getElementById('connection').textContent !== 'live'");
    assert!(browser.requests().iter().all(|request| request.starts_with(&url)));
}

#[test]
fn nothing_that_others_write_becomes_code() {
    if !is_installed("chromium") {
        return;
    }
    let scene = Scene::empty();
    let evil =
        "<img src=x onerror=\"window.hacked=1\"><script>window.hacked=2</script>\"'--></p><svg/onload=window.hacked=3>{{7*7}}";
    let record = txt("_dnsauth.www.example.com", evil);
    let servers = [
        (evil, "192.0.2.1:53", Verdict::OtherValue(vec![evil.to_owned()])),
        ("ns2", "192.0.2.2:53", Verdict::ServFail(Some(evil.to_owned()))),
    ];
    let tell = || {
        scene.read(ORDER, &["www.example.com"], evil, Some(evil));
        scene.published(ORDER, &record, evil, "example.com");
        let mut look = round(&record, "example.com", &servers);
        look.explanation = Some(evil.to_owned());
        scene.looked(ORDER, &look);
        scene.waits(ORDER, evil);
        scene.failed(ORDER, evil, evil);
    };
    tell();
    let mut browser = Browser::start(1100, 900, "light");
    browser.open(&scene.url());
    browser.until("document.getElementById('connection').textContent === 'live'");
    // Once more, so that it comes through the script as well.
    scene.read(ORDER, &["www.example.com"], "checking", None);
    tell();
    browser.until("document.getElementById('troubles').innerText.includes('2 times')");
    assert_eq!(browser.evaluate("window.hacked === undefined"), true);
    assert_eq!(browser.evaluate("document.querySelectorAll('main img, main script, main svg').length"), 0);
    let text = browser.text();
    assert!(text.matches("onerror=\"window.hacked=1\"").count() >= 6 && text.contains("{{7*7}}"), "{text}");
    assert_clean(&browser, &scene);
}

/// What a page that breaks the rules looks like to these tests: else they would prove nothing.
#[test]
fn a_page_that_breaks_the_rules_is_noticed() {
    if !is_installed("chromium") {
        return;
    }
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            use std::io::{Read as _, Write as _};
            let mut stream = stream;
            let _ = stream.read(&mut [0; 4096]);
            let page = "<!doctype html><link rel=icon href='data:,'><script>window.hacked = 1</script><img src='http://elsewhere.example/x.png'>";
            let head = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\nContent-Security-Policy: script-src 'none'\r\n\r\n";
            let _ = stream.write_all(format!("{head}{page}").as_bytes());
        }
    });
    let mut browser = Browser::start(800, 600, "light");
    browser.open(&format!("http://{address}/"));
    assert!(browser.complaints().iter().any(|complaint| complaint.contains("script-src")), "{:?}", browser.complaints());
    assert!(browser.requests().iter().any(|url| url.starts_with("http://elsewhere.example/")), "{:?}", browser.requests());
    assert_eq!(browser.evaluate("window.hacked === undefined"), true);
}

/// The texts whose contrast with what is behind them is below 4.5 (WCAG 2.2, success criterion 1.4.3).
const FAINT: &str = r"(() => {
    const parse = (text) => (text.match(/[\d.]+/g) || []).map(Number);
    const light = (c) => { const [r, g, b] = c.map((v) => { v /= 255; return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; }); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
    const behind = (element) => { for (let e = element; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor); if (c.length === 3 || c[3] > 0) return c.slice(0, 3); } return [255, 255, 255]; };
    const faint = [];
    for (const element of document.querySelectorAll('body *')) {
        if (![...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim()) || !element.checkVisibility()) continue;
        const [a, b] = [light(parse(getComputedStyle(element).color).slice(0, 3)), light(behind(element))].sort((x, y) => y - x);
        const contrast = (a + 0.05) / (b + 0.05);
        if (contrast < 4.5) faint.push(`${contrast.toFixed(2)} ${element.className} ${element.textContent.trim().slice(0, 40)}`);
    }
    return faint.join('\n');
})()";

/// What sticks out of the page to the right.
const STICKS_OUT: &str = "[...document.querySelectorAll('body *')].filter((e) => e.getBoundingClientRect().right > innerWidth + 1 && !e.closest('.unseen')).map((e) => e.outerHTML.slice(0, 120)).join('\\n')";

#[test]
fn every_text_can_be_read_in_light_and_in_dark() {
    if !is_installed("chromium") {
        return;
    }
    let scene = Scene::for_the_documentation();
    let mut backgrounds = Vec::new();
    for scheme in ["light", "dark"] {
        let mut browser = Browser::start(1100, 900, scheme);
        browser.open(&scene.url());
        browser.until("document.getElementById('connection').textContent === 'live'");
        assert_eq!(browser.evaluate(FAINT), "", "{scheme}");
        backgrounds.push(browser.evaluate("getComputedStyle(document.body).backgroundColor").to_string());
        keep(&format!("status-page-{scheme}.png"), &browser.picture(1100, 1300));
        assert_clean(&browser, &scene);
    }
    assert_ne!(backgrounds[0], backgrounds[1], "dark differs from light");
}

#[test]
fn none_one_and_three_hundred_orders_fit_every_width() {
    if !is_installed("chromium") {
        return;
    }
    let long = "a-very-long-label-that-nobody-would-choose-but-somebody-will-have-one-day";
    let one =
        Scene::with_certificates(vec![(vec![super::scenes::name(&format!("{}.{}.example.com", &long[..60], &long[..60]))], 300)]);
    let names = [format!("{}.{}.example.com", &long[..60], &long[..60]), "xn--fsqu00a.xn--fiqs8s".to_owned()];
    one.read(ORDER, &names.iter().map(String::as_str).collect::<Vec<_>>(), "checking", Some("等待验证：域名所有权"));
    let record = txt(&format!("_dnsauth.{}.example.com", &long[..60]), &"v".repeat(255));
    one.published(ORDER, &record, "an-instance-with-a-rather-long-name", "example.com");
    let server = format!("{}.{}.example.net", &long[..60], &long[..60]);
    one.looked(
        ORDER,
        &round(&record, "example.com", &[(&server, "[2001:db8:1234:5678:9abc:def0:1234:5678]:53", Verdict::NxDomain)]),
    );
    let scenes = [("none", Scene::empty(), 0), ("one", one, 1), ("crowd", Scene::crowd(300), 300)];
    let mut browser = Browser::start(WIDTHS[0], 800, "light");
    for (what, scene, orders) in &scenes {
        for width in WIDTHS {
            browser.resize(width, 800);
            browser.open(&scene.url());
            browser.until(&format!("document.querySelectorAll('.orders > li').length === {orders}"));
            keep(&format!("status-page-{what}-{width}.png"), &browser.picture(width, 1400));
            assert_eq!(browser.evaluate(STICKS_OUT), "", "{what} at {width}");
            assert_eq!(browser.evaluate("document.documentElement.scrollWidth <= innerWidth"), true, "{what} at {width}");
        }
    }
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn a_reader_that_hears_the_page_finds_its_way() {
    if !is_installed("chromium") {
        return;
    }
    let scene = Scene::for_the_documentation();
    let mut browser = Browser::start(1100, 900, "light");
    browser.open(&scene.url());
    let count = |browser: &mut Browser, what: &str| browser.evaluate(&format!("document.querySelectorAll(\"{what}\").length"));
    assert_eq!(count(&mut browser, "h1"), 1);
    assert_eq!(count(&mut browser, "table:not(:has(th[scope=col]))"), 0);
    assert_eq!(count(&mut browser, "tbody tr:not(:has(th[scope=row]))"), 0);
    assert_eq!(count(&mut browser, "img:not([alt])"), 0);
    assert_eq!(count(&mut browser, "section:not([aria-labelledby])"), 0);
    assert_eq!(browser.evaluate("[...document.querySelectorAll('[aria-labelledby]')].every((e) => document.getElementById(e.getAttribute('aria-labelledby')))"), true);
    assert_eq!(browser.evaluate("[...document.querySelectorAll('[id]')].map((e) => e.id).length === new Set([...document.querySelectorAll('[id]')].map((e) => e.id)).size"), true);
    // What colours say, words say too.
    let text = browser.text();
    for word in [
        "failed",
        "under way",
        "ended well",
        "not visible yet",
        "nxdomain",
        "unreachable, counts as out",
        "5 days",
        "例子.中国",
        "(xn--fsqu00a.xn--fiqs8s)",
        "验证失败",
    ] {
        assert!(text.contains(word), "{word} is not in\n{text}");
    }
}

#[test]
fn a_picture_for_the_documentation() {
    if !is_installed("chromium") {
        return;
    }
    let scene = Scene::for_the_documentation();
    let mut browser = Browser::start(980, 800, "light");
    browser.open(&scene.url());
    browser.until("document.getElementById('connection').textContent === 'live'");
    let height = browser.evaluate("document.documentElement.scrollHeight").as_u64().unwrap();
    let picture = browser.picture(980, u32::try_from(height).unwrap());
    assert!(picture.starts_with(b"\x89PNG") && picture.len() > 10_000);
    keep("status-page.png", &picture);
}
