//! Hostile text made harmless: identifiers, SQL and tags come from logs and catalogs, and outputs land in terminals, CI logs, web pages and parsers.

use crate::finding::{is_unsafe, visible};

/// One line for a terminal or a CI log: unsafe characters become visible escapes, workflow commands are broken.
#[must_use]
pub fn terminal_line(text: &str) -> String {
    without_commands(&visible(text))
}

/// The lines of a text for a terminal, each made safe; tabs become spaces, so that SQL keeps its layout.
pub fn terminal_lines(text: &str) -> impl Iterator<Item = String> {
    text.lines()
        .map(|line| terminal_line(&line.replace('\t', "    ")))
}

/// CI systems run commands that they find in a log: GitHub and Azure at `##[` and `##vso[` anywhere and at `::` in front of a line,
/// TeamCity at `##teamcity[`. A backslash in between stops them and is seen.
fn without_commands(line: &str) -> String {
    let line = line.replace("##", "#\\#");
    let blank = line.len() - line.trim_start().len();
    if line[blank..].starts_with("::") {
        format!("{}\\{}", &line[..blank], &line[blank..])
    } else {
        line
    }
}

/// Applied to a whole terminal report at the end: wrapping may have put `::` in front of a line.
#[must_use]
pub fn without_commands_in_any_line(text: &str) -> String {
    text.split_inclusive('\n').map(without_commands).collect()
}

/// Text within a paragraph, list or heading of GitHub-flavoured Markdown: nothing in it is markup, HTML, a link, a mention or a reference.
#[must_use]
pub fn markdown_text(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    for c in terminal_line(text).chars() {
        match c {
            '&' | '<' | '>' | '@' | '#' => result.push_str(&format!("&#{};", u32::from(c))),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '~' | '$' => {
                result.push('\\');
                result.push(c);
            }
            c => result.push(c),
        }
    }
    result.replace("://", "&#58;//").replace("www.", "www&#46;")
}

/// Text as inline code, also within a table: the quote is longer than any run of backticks inside.
#[must_use]
pub fn markdown_code(text: &str) -> String {
    let line = terminal_line(text).replace('|', "\\|");
    let fence = "`".repeat(longest_backtick_run(&line) + 1);
    let pad = if line.starts_with('`') || line.ends_with('`') || line.is_empty() {
        " "
    } else {
        ""
    };
    format!("{fence}{pad}{line}{pad}{fence}")
}

/// Text as a fenced block: the fence is longer than any run of backticks inside. Ends in a newline.
#[must_use]
pub fn markdown_block(language: &str, text: &str) -> String {
    let fence = "`".repeat((longest_backtick_run(text) + 1).max(3));
    let lines: Vec<String> = terminal_lines(text).collect();
    format!("{fence}{language}\n{}\n{fence}\n", lines.join("\n"))
}

/// Text of XML, in an element or an attribute: markup is escaped, characters that XML 1.0 forbids or that act on a terminal become visible.
#[must_use]
pub fn xml(text: &str) -> String {
    let lines: Vec<String> = text.lines().map(visible).collect();
    let mut result = String::with_capacity(text.len());
    for c in lines.join("\n").chars() {
        match c {
            '&' => result.push_str("&amp;"),
            '<' => result.push_str("&lt;"),
            '>' => result.push_str("&gt;"),
            '"' => result.push_str("&quot;"),
            '\'' => result.push_str("&apos;"),
            '\n' => result.push_str("&#10;"),
            '\u{fffe}' | '\u{ffff}' => result.push('\u{fffd}'),
            c => result.push(c),
        }
    }
    result
}

/// The message of a GitHub workflow command: its own escapes for what would end it; other unsafe characters become visible.
#[must_use]
pub fn workflow_data(text: &str) -> String {
    let lines: Vec<String> = text.lines().map(visible).collect();
    lines.join("\n").replace('%', "%25").replace('\n', "%0A")
}

/// A property of a GitHub workflow command, such as its title or file.
#[must_use]
pub fn workflow_property(text: &str) -> String {
    workflow_data(text).replace(':', "%3A").replace(',', "%2C")
}

fn longest_backtick_run(text: &str) -> usize {
    text.split(|c| c != '`').map(str::len).max().unwrap_or(0)
}

/// JSON text whose strings hold no character that acts on a terminal: those that JSON lets stand raw become `\u` escapes.
///
/// Such characters can only stand inside strings, since JSON's own syntax is plain ASCII.
#[must_use]
pub fn json_text(json: &str) -> String {
    let mut result = String::with_capacity(json.len());
    let mut units = [0_u16; 2];
    for c in json.chars() {
        if c != '\n' && is_unsafe(c) {
            for unit in c.encode_utf16(&mut units) {
                result.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            result.push(c);
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminals_see_no_control_characters() {
        assert_eq!(
            terminal_line("a\u{1b}[31m\u{9b}1m\u{7f}\u{202e}b\r\n\tc"),
            "a\\u{1b}[31m\\u{9b}1m\\u{7f}\\u{202e}b\\r\\n\\tc"
        );
    }

    #[test]
    fn workflow_commands_are_broken() {
        assert_eq!(terminal_line("::error::x"), "\\::error::x");
        assert_eq!(terminal_line("a ##[error]x"), "a #\\#[error]x");
        assert_eq!(
            without_commands_in_any_line("select id\n  ::text\n"),
            "select id\n  \\::text\n"
        );
        assert_eq!(terminal_line("id::text"), "id::text");
    }

    #[test]
    fn markdown_text_is_only_text() {
        assert_eq!(
            markdown_text("<b>@bob</b> [x](http://e) `a` #1"),
            "&#60;b&#62;&#64;bob&#60;/b&#62; \\[x\\](http&#58;//e) \\`a\\` &#35;1"
        );
    }

    #[test]
    fn code_cannot_be_closed_from_inside() {
        assert_eq!(markdown_code("a`b``c"), "```a`b``c```");
        assert_eq!(markdown_code("`a|b"), "`` `a\\|b ``");
        assert_eq!(
            markdown_block("sql", "select 1\n```\n<script>"),
            "````sql\nselect 1\n```\n<script>\n````\n"
        );
    }

    #[test]
    fn xml_and_workflow_commands_keep_their_frame() {
        assert_eq!(
            xml("a<b & \"c\"\u{1b}\nd"),
            "a&lt;b &amp; &quot;c&quot;\\u{1b}&#10;d"
        );
        assert_eq!(workflow_data("50 %\n::error::x"), "50 %25%0A::error::x");
        assert_eq!(workflow_property("a:b,c"), "a%3Ab%2Cc");
    }

    #[test]
    fn json_stays_the_same_value() {
        let value = serde_json::json!({ "k\u{202e}": "\u{7f}\u{9b}\u{e0041}\u{1b}é" });
        let text = json_text(&value.to_string());
        assert!(text.chars().all(|c| !is_unsafe(c)));
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&text).unwrap(),
            value
        );
    }
}
