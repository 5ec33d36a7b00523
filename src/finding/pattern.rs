//! Patterns as users write them in `pgassay.toml`.

/// Does the text match the pattern, in which `*` stands for any characters?
#[must_use]
pub fn glob(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    let Some(last) = parts.next_back() else {
        return rest.is_empty();
    };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_any_characters() {
        for (pattern, text, expected) in [
            ("public.books", "public.books", true),
            ("public.books", "public.books2", false),
            ("*.books", "public.books", true),
            ("events_*", "events_2026_01", true),
            ("/a/*/c*", "/a/b/cd", true),
            ("/a/*/c", "/a/b/d", false),
            ("a*a", "a", false),
            ("*", "", true),
        ] {
            assert_eq!(glob(pattern, text), expected, "{pattern} {text}");
        }
    }
}
