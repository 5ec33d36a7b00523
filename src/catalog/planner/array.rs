//! One-dimensional arrays in Postgres's text form, as `anyarray` values of statistics print.

/// `{a,"b \"c\"",NULL}` → elements. `None` for other texts.
#[must_use]
pub fn parse_array(text: &str) -> Option<Vec<Option<String>>> {
    let inner = text.strip_prefix('{')?.strip_suffix('}')?;
    let mut elements = Vec::new();
    let mut rest = inner.chars().peekable();
    while rest.peek().is_some() {
        elements.push(if rest.peek() == Some(&'"') {
            Some(quoted(&mut rest)?)
        } else {
            let bare = bare(&mut rest)?;
            (bare != "NULL").then_some(bare)
        });
        match rest.next() {
            None => return Some(elements),
            Some(',') if rest.peek().is_some() => {}
            Some(_) => return None,
        }
    }
    Some(elements)
}

type Chars<'a> = std::iter::Peekable<std::str::Chars<'a>>;

fn quoted(rest: &mut Chars<'_>) -> Option<String> {
    rest.next();
    let mut element = String::new();
    loop {
        match rest.next()? {
            '"' => return Some(element),
            '\\' => element.push(rest.next()?),
            other => element.push(other),
        }
    }
}

fn bare(rest: &mut Chars<'_>) -> Option<String> {
    let mut element = String::new();
    while let Some(next) = rest.next_if(|next| *next != ',') {
        match next {
            '{' | '}' | '"' => return None,
            '\\' => element.push(rest.next()?),
            other => element.push(other),
        }
    }
    (!element.is_empty()).then_some(element)
}

/// Elements → the text form, everything but NULL quoted.
#[must_use]
pub fn format_array(elements: &[Option<String>]) -> String {
    let mut text = String::from("{");
    for (at, element) in elements.iter().enumerate() {
        if at > 0 {
            text.push(',');
        }
        match element {
            None => text.push_str("NULL"),
            Some(element) => {
                text.push('"');
                for next in element.chars() {
                    if matches!(next, '"' | '\\') {
                        text.push('\\');
                    }
                    text.push(next);
                }
                text.push('"');
            }
        }
    }
    text.push('}');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_what_postgres_prints() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(
            parse_array(r#"{a,"b,c","d\"e\\f",NULL,"NULL","",{}"#),
            None,
            "no nested braces without quotes"
        );
        assert_eq!(
            parse_array(r#"{a,"b,c","d\"e\\f",NULL,"NULL","","{1,2}"}"#),
            Some(vec![
                some("a"),
                some("b,c"),
                some("d\"e\\f"),
                None,
                some("NULL"),
                some(""),
                some("{1,2}")
            ])
        );
        assert_eq!(parse_array("{}"), Some(vec![]));
        for bad in ["", "{", "a", "{a,}", "{,a}", "{\"a}"] {
            assert_eq!(parse_array(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(elements in prop::collection::vec(prop::option::of(".*"), 0..20)) {
            prop_assert_eq!(parse_array(&format_array(&elements)), Some(elements));
        }
    }
}
