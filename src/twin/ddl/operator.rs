//! Aggregates, operators and casts.

use super::Step;
use crate::{
    catalog::planner::{AggregateDef, CastDef, OperatorDef},
    sql::quote_identifier,
};

/// Characters of an operator's name.
const OPERATOR_CHARACTERS: &str = "+-*/<>=~!@#%^&|`?";

/// CREATE AGGREGATE
pub(super) fn aggregate(def: &AggregateDef) -> Step {
    let mut options = listed(&def.options);
    match def.parallel.as_str() {
        "s" => options.push("PARALLEL = SAFE".to_owned()),
        "r" => options.push("PARALLEL = RESTRICTED".to_owned()),
        _ => {}
    }
    let arguments = if def.arguments.is_empty() {
        "*"
    } else {
        &def.arguments
    };
    let sql = format!(
        "CREATE AGGREGATE {}({arguments}) ({})",
        def.name.to_sql(),
        options.join(", ")
    );
    Step::new("aggregate", &def.name, sql)
}

/// CREATE OPERATOR; `None` for a name that no operator has.
pub(super) fn operator(def: &OperatorDef) -> Option<Step> {
    let name = &def.name.name;
    if name.is_empty() || !name.chars().all(|c| OPERATOR_CHARACTERS.contains(c)) {
        return None;
    }
    let mut options = listed(&def.options);
    if def.hashes {
        options.push("HASHES".to_owned());
    }
    if def.merges {
        options.push("MERGES".to_owned());
    }
    let sql = format!(
        "CREATE OPERATOR {}.{name} ({})",
        quote_identifier(&def.name.schema),
        options.join(", ")
    );
    Some(Step::new("operator", &def.name, sql))
}

/// CREATE CAST
pub(super) fn cast(def: &CastDef) -> Step {
    let with = match &def.function {
        Some(function) => format!("WITH FUNCTION {function}"),
        None => "WITH INOUT".to_owned(),
    };
    let context = match def.context.as_str() {
        "i" => " AS IMPLICIT",
        "a" => " AS ASSIGNMENT",
        _ => "",
    };
    let name = format!("{} AS {}", def.source, def.target);
    let sql = format!("CREATE CAST ({name}) {with}{context}");
    Step::new("cast", name, sql)
}

fn listed(options: &[(String, String)]) -> Vec<String> {
    options
        .iter()
        .map(|(option, value)| format!("{option} = {value}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::RelationName;

    #[test]
    fn an_operator_has_an_operators_name() {
        let named = |name: &str| OperatorDef {
            name: RelationName::new("public", name),
            options: vec![("PROCEDURE".into(), "public.near".into())],
            hashes: true,
            ..OperatorDef::default()
        };
        assert_eq!(
            operator(&named("<~>")).unwrap().sql,
            "CREATE OPERATOR public.<~> (PROCEDURE = public.near, HASHES)"
        );
        assert_eq!(operator(&named("+ (x); --")), None);
    }
}
