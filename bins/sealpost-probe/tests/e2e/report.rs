//! The page of `survey --report`, in a real browser. (F3)

/// What needs Chromium.
mod with_chromium {
    use crate::browser::Browser;
    use crate::equipment::{Sink, ends};
    use crate::survey::{World, named};

    /// A page of five domains, one of whose servers tries to write into it.
    fn page() -> (World, String) {
        let evil = "<script>window.pwned=1</script><img src=x onerror='window.pwned=1'>";
        let sinks = [
            named("mx.good.example", &[]),
            named("mx.old.example", &["--kind", "expired"]),
            named("mx.clear.example", &["--no-starttls", "--reply", &format!("MAIL=550 5.7.1 {evil}")]),
            named("mx.evil.example", &["--reply", &format!("BANNER=554 5.7.1 {evil}")]),
            named("mx.new.example", &["--min-version", "1.3", "--kind", "self-signed"]),
        ];
        // What a self-signed server shows is no anchor here.
        std::fs::write(sinks[4].anchors(), "").unwrap();
        let name = |sink: usize| -> (&'static str, &'static str, &Sink) {
            let names = [
                ("good.example", "mx.good.example"),
                ("old.example", "mx.old.example"),
                ("clear.example", "mx.clear.example"),
                ("evil.example", "mx.evil.example"),
                ("new.example", "mx.new.example"),
            ];
            (names[sink].0, names[sink].1, &sinks[sink])
        };
        let world = World::new(&[name(0), name(1), name(2), name(3), name(4)]);
        let out = world.path("out.html");
        let list = "good.example\nold.example\nclear.example\nevil.example\nnew.example\nnowhere.example\n";
        ends(&world.survey(list, &["--report", &out, "--clear", "-q"]), 1);
        (world, out)
    }

    const SHOWN: &str = "[...document.querySelectorAll('#table tbody tr[data-n]')].filter(r => r.offsetHeight > 0).map(r => r.cells[0].textContent).join(' ')";

    // req: F3
    #[test]
    #[ignore = "needs chromium"]
    fn the_page_renders_searches_sorts_and_loads_nothing() {
        let (_world, out) = page();
        let mut browser = Browser::start();
        let address = format!("file://{out}");
        browser.open(&address);
        assert_eq!(browser.loaded(), std::slice::from_ref(&address), "nothing but itself");
        assert_eq!(browser.value(SHOWN), "clear.example evil.example good.example new.example nowhere.example old.example");
        assert_eq!(
            browser.value("document.querySelector('h1').textContent"),
            "1 of 6 domains can be required to use TLS with a checked certificate."
        );
        assert!(browser.value("document.querySelectorAll('svg').length").as_u64() > Some(10), "pictures");
        assert_eq!(browser.value("document.querySelectorAll('svg.tall rect:not(defs rect)').length"), 4, "one for each standing there is");
        // search, in what is shown and in what is behind it
        browser.click("#search");
        browser.types("EXPIRED");
        assert_eq!(browser.value(SHOWN), "old.example");
        assert_eq!(browser.value("document.querySelector('#count').textContent"), "1 of 6");
        browser.value("document.querySelector('#search').select()");
        browser.types("nothing like it");
        assert_eq!((browser.value(SHOWN), browser.value("document.querySelector('#none').hidden")), ("".into(), false.into()));
        browser.value("document.querySelector('#search').select()");
        browser.types("tls_aes_256 mx.new");
        assert_eq!(browser.value(SHOWN), "new.example", "the details are searched too");
        browser.value("document.querySelector('#search').select()");
        browser.call("Input.dispatchKeyEvent", serde_json::json!({ "type": "keyDown", "key": "Delete", "windowsVirtualKeyCode": 46 }));
        // order, both ways
        browser.click("#table th:nth-child(2) button");
        let worst_last = browser.value(SHOWN).as_str().unwrap().to_owned();
        assert!(worst_last.starts_with("good.example ") && worst_last.ends_with("nowhere.example"), "{worst_last}");
        browser.click("#table th:nth-child(2) button");
        assert!(browser.value(SHOWN).as_str().unwrap().starts_with("nowhere.example "));
        // the legend filters, and a domain opens
        browser.click("[data-filter=require]");
        let weak = browser.value(SHOWN).as_str().unwrap().to_owned();
        assert!(weak.contains("old.example") && weak.contains("new.example") && !weak.contains("good.example"), "{weak}");
        browser.value("document.querySelector('[data-filter=require]').click()");
        browser.value("new Promise(done => setTimeout(done, 1000))");
        browser.click("#table tr[data-s=verify] button");
        let detail = browser.value("document.querySelector('tr.detail').textContent");
        for part in ["verify: would deliver", "mx.good.example 127.0.0.1:", "TLSv1.3", "X25519MLKEM768"] {
            assert!(detail.as_str().unwrap().contains(part), "{part}: {detail}");
        }
        assert_eq!(browser.troubles(), Vec::<serde_json::Value>::new());
    }

    /// What a server says is shown, and does nothing.
    // req: F3
    #[test]
    #[ignore = "needs chromium"]
    fn a_script_in_a_reply_is_text() {
        let (_world, out) = page();
        let mut browser = Browser::start();
        let attacked = "[typeof window.pwned, document.scripts.length, document.images.length].join()";
        browser.open(&format!("file://{out}"));
        browser.value("document.querySelectorAll('#table tr[data-n] button').forEach(button => button.click())");
        assert_eq!(browser.value(attacked), "undefined,2,0");
        let text = browser.value("document.querySelector('#table').textContent");
        assert!(text.as_str().unwrap().contains("<script>window.pwned=1</script>"), "it is shown as it came: {text}");
        assert_eq!(browser.troubles(), Vec::<serde_json::Value>::new());
        // the negative control: the same page, had its maker escaped nothing and allowed everything
        let page = std::fs::read_to_string(&out).unwrap();
        let policy = page.find("<meta http-equiv").unwrap()..page.find("<meta name=\"viewport\"").unwrap();
        let mut open = page.clone();
        open.replace_range(policy, "");
        let open = open.replace("&lt;", "<").replace("&gt;", ">").replace("&#39;", "'");
        std::fs::write(&out, open).unwrap();
        browser.open(&format!("file://{out}"));
        assert!(browser.value(attacked).as_str().unwrap().starts_with("number,"), "it would have been found");
    }

    #[test]
    #[ignore = "needs chromium"]
    fn it_is_no_blank_page_in_light_dark_and_on_a_telephone() {
        let (_world, out) = page();
        let mut browser = Browser::start();
        let blank = {
            browser.open("about:blank");
            let picture = browser.picture();
            browser.colours(&picture)
        };
        assert!(blank.0 <= 2 && blank.1 > 0.99, "the negative control: {blank:?}");
        let mut grounds = Vec::new();
        for (scheme, width) in [("light", 1280), ("dark", 1280), ("light", 390)] {
            let metrics = serde_json::json!({ "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600 });
            browser.call("Emulation.setDeviceMetricsOverride", metrics);
            let scheme = serde_json::json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
            browser.call("Emulation.setEmulatedMedia", scheme);
            browser.open(&format!("file://{out}"));
            let wide = browser.value("document.documentElement.scrollWidth").as_u64().unwrap();
            assert!(wide <= width, "{wide} of {width}: nobody scrolls sideways");
            grounds.push(browser.value("getComputedStyle(document.body).backgroundColor"));
            let picture = browser.picture();
            if let Some(folder) = std::env::var_os("SEALPOST_PICTURES") {
                use base64::Engine as _;
                let file = std::path::Path::new(&folder).join(format!("report-{}.png", grounds.len()));
                std::fs::write(file, base64::engine::general_purpose::STANDARD.decode(&picture).unwrap()).unwrap();
            }
            let (colours, most) = browser.colours(&picture);
            assert!(colours > 20 && most < 0.97, "{colours} colours, {most}");
        }
        assert_ne!(grounds[0], grounds[1], "dark is dark");
    }
}
