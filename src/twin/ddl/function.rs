//! Functions: real ones in trusted languages, stubs with the same signature and price for the rest.

use super::{KEPT_LANGUAGES, Step};
use crate::{catalog::planner::FunctionDef, sql::quote_literal};

/// CREATE FUNCTION. LEAKPROOF is left out: only a superuser may say it.
pub(super) fn create(def: &FunctionDef) -> Step {
    let name = def.name.to_sql();
    let body = def
        .body
        .as_deref()
        .filter(|_| KEPT_LANGUAGES.contains(&def.language.as_str()));
    let (language, body) = match body {
        Some(body) if def.sql_body => (def.language.as_str(), body.to_owned()),
        Some(body) => (def.language.as_str(), format!("AS {}", quote_literal(body))),
        None => ("plpgsql", format!("AS {}", quote_literal(stub(def)))),
    };
    let mut sql = format!(
        "CREATE OR REPLACE FUNCTION {name}({}) RETURNS {} LANGUAGE {language}",
        def.arguments, def.result
    );
    for attribute in attributes(def) {
        sql.push(' ');
        sql.push_str(&attribute);
    }
    sql.push_str(&format!(" {body}"));
    Step::new("function", &def.name, sql)
}

fn returns_set(def: &FunctionDef) -> bool {
    def.result.starts_with("SETOF ") || def.result.starts_with("TABLE(")
}

fn stub(def: &FunctionDef) -> &'static str {
    if returns_set(def) || def.has_out {
        "BEGIN RETURN; END"
    } else {
        "BEGIN RETURN NULL; END"
    }
}

fn attributes(def: &FunctionDef) -> Vec<String> {
    let mut attributes = vec![
        match def.volatility.as_str() {
            "i" => "IMMUTABLE",
            "s" => "STABLE",
            _ => "VOLATILE",
        }
        .to_owned(),
        match def.parallel.as_str() {
            "s" => "PARALLEL SAFE",
            "r" => "PARALLEL RESTRICTED",
            _ => "PARALLEL UNSAFE",
        }
        .to_owned(),
    ];
    if def.strict {
        attributes.push("STRICT".to_owned());
    }
    if def.security_definer {
        attributes.push("SECURITY DEFINER".to_owned());
    }
    match &def.search_path {
        Some(path) => attributes.push(format!("SET search_path = {path}")),
        None if def.has_settings => attributes.push("SET search_path FROM CURRENT".to_owned()),
        None => {}
    }
    if def.cost > 0.0 {
        attributes.push(format!("COST {}", def.cost));
    }
    if returns_set(def) && def.rows > 0.0 {
        attributes.push(format!("ROWS {}", def.rows));
    }
    attributes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::RelationName;

    fn def(language: &str, result: &str) -> FunctionDef {
        FunctionDef {
            name: RelationName::new("public", "f"),
            arguments: "a integer".into(),
            result: result.into(),
            language: language.into(),
            volatility: "i".into(),
            parallel: "s".into(),
            cost: 100.0,
            rows: 10.0,
            body: Some("SELECT $1 + 1".into()),
            ..FunctionDef::default()
        }
    }

    #[test]
    fn sql_bodies_stay_because_the_planner_inlines_them() {
        assert_eq!(
            create(&def("sql", "integer")).sql,
            "CREATE OR REPLACE FUNCTION public.f(a integer) RETURNS integer LANGUAGE sql IMMUTABLE PARALLEL SAFE COST 100 AS 'SELECT $1 + 1'"
        );
    }

    #[test]
    fn untrusted_languages_become_stubs() {
        for language in ["plpython3u", "c", "internal", "plperlu"] {
            let sql = create(&def(language, "SETOF integer")).sql;
            assert!(sql.contains("LANGUAGE plpgsql"), "{sql}");
            assert!(sql.ends_with("ROWS 10 AS 'BEGIN RETURN; END'"), "{sql}");
        }
    }
}
