//! Array literals as Postgres prints them (`{a,"b c",NULL}`) → their elements.

/// The elements of a one-dimensional array literal; at most `max`, and a literal that was cut in the middle gives those before the cut.
/// NULL is left out: statistics hold none. Elements that are arrays themselves keep their braces.
pub(super) fn elements(literal: &str, max: usize) -> Vec<String> {
    let mut elements = Vec::new();
    // a lower bound stands before the braces: [0:2]={…}
    let Some((_, body)) = literal.split_once('{') else {
        return elements;
    };
    let mut reader = Reader::default();
    for c in body.chars() {
        if elements.len() >= max {
            break;
        }
        match reader.step(c) {
            Step::More => {}
            Step::Element(element) => elements.extend(element),
            Step::End(element) => {
                elements.extend(element);
                break;
            }
        }
    }
    elements
}

#[derive(Debug, Default)]
struct Reader {
    element: String,
    in_quotes: bool,
    was_quoted: bool,
    escaped: bool,
    depth: u32,
}

enum Step {
    More,
    Element(Option<String>),
    End(Option<String>),
}

impl Reader {
    fn step(&mut self, c: char) -> Step {
        if self.escaped {
            self.escaped = false;
            self.element.push(c);
            return Step::More;
        }
        match c {
            '\\' => self.escaped = true,
            '"' => {
                self.in_quotes = !self.in_quotes;
                self.was_quoted = true;
                if self.depth > 0 {
                    self.element.push(c);
                }
            }
            c if self.in_quotes => self.element.push(c),
            '{' => {
                self.depth += 1;
                self.element.push(c);
            }
            '}' if self.depth > 0 => {
                self.depth -= 1;
                self.element.push(c);
            }
            '}' => return Step::End(self.take()),
            ',' if self.depth == 0 => return Step::Element(self.take()),
            c => self.element.push(c),
        }
        Step::More
    }

    fn take(&mut self) -> Option<String> {
        let element = std::mem::take(&mut self.element);
        let was_quoted = std::mem::take(&mut self.was_quoted);
        let is_absent = !was_quoted && (element.is_empty() || element.eq_ignore_ascii_case("null"));
        (!is_absent).then_some(element)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(literal: &str, expected: &[&str]) {
        assert_eq!(elements(literal, 100), expected, "{literal}");
    }

    #[test]
    fn reads_what_postgres_prints() {
        check("{}", &[]);
        check("{1,2}", &["1", "2"]);
        check(
            r#"{a,"b c","d\"e","\\",NULL,"NULL",""}"#,
            &["a", "b c", "d\"e", "\\", "NULL", ""],
        );
        check(
            r#"{"2026-11-01 00:00:00+00",x}"#,
            &["2026-11-01 00:00:00+00", "x"],
        );
        check(r#"{"{a,b}",c}"#, &["{a,b}", "c"]);
        check("{{1,2},{3,4}}", &["{1,2}", "{3,4}"]);
        check("[0:1]={7,8}", &["7", "8"]);
        check("no array", &[]);
    }

    #[test]
    fn a_cut_literal_gives_what_is_whole() {
        check("{aa,bb,c", &["aa", "bb"]);
        check(r#"{aa,"b"#, &["aa"]);
        assert_eq!(elements("{1,2,3}", 2), ["1", "2"]);
    }

    proptest! {
        #[test]
        fn quoting_is_undone(values in proptest::collection::vec(".{0,8}", 0..6)) {
            let quoted: Vec<String> = values
                .iter()
                .map(|v| format!("\"{}\"", v.replace('\\', "\\\\").replace('"', "\\\"")))
                .collect();
            let literal = format!("{{{}}}", quoted.join(","));
            prop_assert_eq!(elements(&literal, 100), values);
        }
    }
}
