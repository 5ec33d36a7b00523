//! What the user asked about: filters on relations, schemas and statements. Facts are never filtered, only what is reported about them.

use crate::{
    catalog::{Catalog, RelationName},
    finding::{Evidence, Finding},
    sql::{Fingerprint, shape::RelationRef},
    workload::Query,
};

/// Filters; an empty one keeps everything.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    /// Schemas to report about.
    pub schemas: Vec<String>,
    /// Schemas to say nothing about.
    pub excluded_schemas: Vec<String>,
    /// Relations to report about, with or without their schema.
    pub relations: Vec<String>,
    /// Statements to report about.
    pub fingerprints: Vec<Fingerprint>,
}

impl Scope {
    /// Nothing is filtered.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.keeps_any_relation() && self.fingerprints.is_empty()
    }

    fn keeps_any_relation(&self) -> bool {
        self.schemas.is_empty() && self.excluded_schemas.is_empty() && self.relations.is_empty()
    }

    /// Is this statement asked about? It is when it is one of those named, and reads or writes a relation asked about.
    #[must_use]
    pub fn keeps_query(&self, query: &Query, catalog: Option<&Catalog>) -> bool {
        let named = self.fingerprints.is_empty() || self.fingerprints.contains(&query.fingerprint);
        named && (self.keeps_any_relation() || self.keeps_some_relation_of(query, catalog))
    }

    fn keeps_some_relation_of(&self, query: &Query, catalog: Option<&Catalog>) -> bool {
        let scans = query.shape.iter().flat_map(|shape| &shape.scans);
        scans
            .map(|scan| resolve(&scan.relation, catalog))
            .any(|relation| self.keeps_relation(&relation))
    }

    /// Is this finding about a relation and a statement asked about?
    #[must_use]
    pub fn keeps_finding(&self, finding: &Finding) -> bool {
        let about = match &finding.subject.relation {
            Some(relation) => self.keeps_relation(relation),
            None => self.schemas.is_empty() && self.relations.is_empty(),
        };
        about && (self.fingerprints.is_empty() || self.concerns_named_query(finding))
    }

    fn concerns_named_query(&self, finding: &Finding) -> bool {
        let served = match &finding.evidence {
            Evidence::Index(evidence) => evidence.queries.as_slice(),
            _ => &[],
        };
        let mut concerned = finding
            .subject
            .fingerprint
            .into_iter()
            .chain(served.iter().map(|query| query.fingerprint));
        concerned.any(|fingerprint| self.fingerprints.contains(&fingerprint))
    }

    fn keeps_relation(&self, relation: &RelationName) -> bool {
        let wanted = |name: &String| {
            *name == relation.name || *name == format!("{}.{}", relation.schema, relation.name)
        };
        !self.excluded_schemas.contains(&relation.schema)
            && (self.schemas.is_empty() || self.schemas.contains(&relation.schema))
            && (self.relations.is_empty() || self.relations.iter().any(wanted))
    }

    /// In words, for the report's notes; empty when nothing is filtered.
    #[must_use]
    pub fn in_words(&self) -> String {
        let fingerprints: Vec<String> = self.fingerprints.iter().map(ToString::to_string).collect();
        let parts = [
            ("schema", &self.schemas),
            ("without schema", &self.excluded_schemas),
            ("relation", &self.relations),
            ("statement", &fingerprints),
        ];
        let parts: Vec<String> = parts
            .iter()
            .filter(|(_, names)| !names.is_empty())
            .map(|(what, names)| format!("{what} {}", names.join(", ")))
            .collect();
        parts.join("; ")
    }
}

/// The relation as the catalog knows it. Without a catalog an unqualified name counts as one of `public`, where most are.
fn resolve(relation: &RelationRef, catalog: Option<&Catalog>) -> RelationName {
    let known = catalog.and_then(|c| c.resolve(relation.schema.as_deref(), &relation.name));
    match known {
        Some(known) => known.name.clone(),
        None => RelationName::new(
            relation.schema.as_deref().unwrap_or("public"),
            relation.name.as_str(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::shape;

    fn query(sql: &str) -> Query {
        Query {
            fingerprint: Fingerprint(7),
            shape: shape::parse(sql).ok().map(Box::new),
            ..Query::default()
        }
    }

    fn scope(relations: &[&str], schemas: &[&str]) -> Scope {
        Scope {
            relations: relations.iter().map(|&name| name.to_owned()).collect(),
            schemas: schemas.iter().map(|&name| name.to_owned()).collect(),
            ..Scope::default()
        }
    }

    #[test]
    fn statements_are_kept_by_what_they_read() {
        let joined = query("SELECT * FROM a JOIN s.b ON a.id = b.id");
        assert!(scope(&["a"], &[]).keeps_query(&joined, None));
        assert!(scope(&["s.b"], &[]).keeps_query(&joined, None));
        assert!(scope(&[], &["s"]).keeps_query(&joined, None));
        assert!(!scope(&["c"], &[]).keeps_query(&joined, None));
        assert!(!scope(&["a"], &["s"]).keeps_query(&joined, None));
    }

    #[test]
    fn statements_are_kept_by_name() {
        let mut scope = Scope::default();
        assert!(scope.is_everything() && scope.keeps_query(&query("SELECT 1"), None));
        scope.fingerprints = vec![Fingerprint(8)];
        assert!(!scope.keeps_query(&query("SELECT 1"), None));
        assert_eq!(scope.in_words(), "statement 0000000000000008");
    }
}
