//! Text search: dictionaries and configurations, because queries' lexemes are worked out while planning.

use super::Step;
use crate::{
    catalog::planner::{SearchConfigurationDef, SearchDictionaryDef},
    sql::quote_identifier,
};

/// CREATE TEXT SEARCH DICTIONARY. Files that its options name are taken from the server's own folder alone (`get_tsearch_config_filename`).
pub(super) fn dictionary(def: &SearchDictionaryDef) -> Step {
    let options = match &def.options {
        Some(options) => format!(", {options}"),
        None => String::new(),
    };
    let sql = format!(
        "CREATE TEXT SEARCH DICTIONARY {} (TEMPLATE = {}{options})",
        def.name.to_sql(),
        def.template
    );
    Step::new("text search dictionary", &def.name, sql)
}

/// The configuration, and its dictionaries by kind of token.
pub(super) fn configuration(def: &SearchConfigurationDef) -> Vec<Step> {
    let name = def.name.to_sql();
    let create = format!(
        "CREATE TEXT SEARCH CONFIGURATION {name} (PARSER = {})",
        def.parser
    );
    let mut steps = vec![Step::new("text search configuration", &def.name, create)];
    steps.extend(def.mappings.iter().map(|(token, dictionaries)| {
        let sql = format!(
            "ALTER TEXT SEARCH CONFIGURATION {name} ADD MAPPING FOR {} WITH {}",
            quote_identifier(token),
            dictionaries.join(", ")
        );
        Step::new("text search configuration", &def.name, sql)
    }));
    steps
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::RelationName;

    #[test]
    fn each_kind_of_token_has_its_dictionaries() {
        let def = SearchConfigurationDef {
            name: RelationName::new("public", "en"),
            parser: "pg_catalog.\"default\"".into(),
            mappings: vec![(
                "word".into(),
                vec!["public.unaccent".into(), "pg_catalog.english_stem".into()],
            )],
        };
        let sql: Vec<String> = configuration(&def).into_iter().map(|s| s.sql).collect();
        assert_eq!(
            sql,
            [
                "CREATE TEXT SEARCH CONFIGURATION public.en (PARSER = pg_catalog.\"default\")",
                "ALTER TEXT SEARCH CONFIGURATION public.en ADD MAPPING FOR word WITH public.unaccent, pg_catalog.english_stem"
            ]
        );
    }
}
