//! HTML in which nothing from outside is anything but text.

/// HTML under construction: what goes in as it is, was written here; everything else is escaped.
#[derive(Debug, Default)]
pub(super) struct Markup(String);

impl Markup {
    /// What is known when this is compiled goes in as it is.
    pub(super) fn raw(&mut self, html: &'static str) {
        self.0.push_str(html);
    }

    /// A text, between tags or in quotes. Control characters, and those that turn the direction of writing around, are made visible.
    pub(super) fn text(&mut self, text: &str) {
        for character in text.chars() {
            match character {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => self.0.push('\u{fffd}'),
                control if control.is_control() && control != '\n' => self.0.push('\u{fffd}'),
                other => self.0.push(other),
            }
        }
    }

    /// Data for the script, as JSON that cannot end its element.
    pub(super) fn data(&mut self, data: &serde_json::Value) {
        for character in data.to_string().chars() {
            match character {
                '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => self.0.push_str(&format!("\\u{:04x}", u32::from(character))),
                other => self.0.push(other),
            }
        }
    }

    pub(super) fn into_string(self) -> String {
        self.0
    }
}

/// Puts pieces into a [`Markup`]: literals as they are, all else as text.
macro_rules! put {
    ($page:expr $(,)?) => {};
    ($page:expr, $html:literal $(, $($rest:tt)*)?) => {{
        $page.raw($html);
        $($crate::survey::page::markup::put!($page, $($rest)*);)?
    }};
    ($page:expr, $text:expr $(, $($rest:tt)*)?) => {{
        $page.text(&$text.to_string());
        $($crate::survey::page::markup::put!($page, $($rest)*);)?
    }};
}
pub(super) use put;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_go_in_as_they_are_and_texts_as_text() {
        let (mut page, number, evil) = (Markup::default(), 7, "<script>alert(\"x\")</script> & 'y'\u{202e}\u{0}");
        put!(page, "<b title=\"", evil, "\">", number, "</b>");
        let escaped = "&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt; &amp; &#39;y&#39;\u{fffd}\u{fffd}";
        assert_eq!(page.into_string(), format!("<b title=\"{escaped}\">7</b>"));
    }

    #[test]
    fn data_cannot_end_its_element() {
        let mut page = Markup::default();
        let value = serde_json::json!(["</script><script>alert(1)", "<!--"]);
        page.data(&value);
        let text = page.into_string();
        assert!(!text.contains('<') && !text.contains('>'), "{text}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), value);
    }
}
