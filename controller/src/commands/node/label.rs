//! The label that is stuck on a node: who it is, and the fingerprint that is compared by eye.
//!
//! Nothing on it is secret. As text it is printed on the terminal; as SVG it has the size of a
//! usual address label (62 x 29 mm) and prints on any label printer.

/// What stands on the label.
#[derive(Debug, Clone)]
pub(super) struct Label {
    pub(super) room: String,
    pub(super) node: u16,
    pub(super) name: String,
    pub(super) shown: String,
    pub(super) board: String,
    pub(super) fingerprint: String,
    /// `2026-11-22`
    pub(super) date: String,
}

impl Label {
    /// The fingerprint in groups that can be read out.
    fn groups(&self) -> String {
        let digits: Vec<char> = self.fingerprint.chars().collect();
        digits
            .chunks(4)
            .map(|group| group.iter().collect::<String>())
            .collect::<Vec<_>>()
            .join(" ")
    }

    /// For the terminal.
    pub(super) fn text(&self) -> String {
        format!(
            "  +----------------------------------------\n  | 櫓 Yagura  {}\n  | 端末 node {}  {}\n  | {}\n  | 指紋 fingerprint {}\n  | {}  {}\n  +----------------------------------------\n",
            self.room,
            self.node,
            self.name,
            self.shown,
            self.groups(),
            self.board,
            self.date,
        )
    }

    /// For a label printer.
    pub(super) fn svg(&self) -> String {
        let line = |y: f32, size: f32, text: &str| {
            format!(
                "<text x=\"3\" y=\"{y}\" font-size=\"{size}\">{}</text>\n",
                escaped(text)
            )
        };
        let mut svg = String::from(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"62mm\" height=\"29mm\" viewBox=\"0 0 62 29\" \
             font-family=\"Noto Sans CJK JP, Noto Sans JP, sans-serif\">\n\
             <rect width=\"62\" height=\"29\" fill=\"#fff\"/>\n",
        );
        svg.push_str(&line(5.0, 3.2, &format!("櫓 Yagura  {}", self.room)));
        svg.push_str(&line(11.5, 5.5, &format!("{}  {}", self.node, self.name)));
        svg.push_str(&line(16.0, 3.0, &self.shown));
        svg.push_str(&line(21.0, 3.6, &format!("指紋 {}", self.groups())));
        svg.push_str(&line(26.0, 2.8, &format!("{}  {}", self.board, self.date)));
        svg.push_str("</svg>\n");
        svg
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_label_says_who_the_node_is_in_both_forms() {
        let label = Label {
            room: "第一サーバ室 <A&B>".to_owned(),
            node: 7,
            name: "node-7".to_owned(),
            shown: "ラック列 A".to_owned(),
            board: "rp2040-w5500".to_owned(),
            fingerprint: "0123456789abcdef".to_owned(),
            date: "2026-11-22".to_owned(),
        };
        for text in [label.text(), label.svg()] {
            for word in [
                "7",
                "node-7",
                "ラック列 A",
                "0123 4567 89ab cdef",
                "rp2040-w5500",
                "2026-11-22",
            ] {
                assert!(text.contains(word), "{word} in {text}");
            }
        }
        assert!(label.svg().contains("&lt;A&amp;B&gt;"));
    }
}
