//! Takes the census: what in this database leads to functions that are neither built in nor of a trusted extension.
//!
//! `pg_depend` knows every dependency on an object that isn't built in, expressions included. Dependents of such functions and operators
//! are owned by relations (rules of views, policies, checks, indexes, defaults) or by domains; from there the taint spreads through views,
//! inheritance and types to a fixed point.

use hashbrown::HashSet;
use tokio_postgres::{Row, types::Type};

use super::{Census, TRUSTED_EXTENSIONS};
use crate::db::{
    audited::Audited,
    error::{DbError, DbErrorKind},
    guard::Param,
    rows::Columns,
};

const READING: &str = "reading functions, operators and their dependents";

/// Rows read at most by each query. A database beyond that is not judged, and nothing is planned on it.
const MAX_ROWS: usize = 200_000;

/// Operators behind SQL's own constructs: comparison, IN, BETWEEN, CASE, LIKE, JOIN USING, IS DISTINCT FROM …
const IMPLICIT_OPERATORS: &[&str] = &[
    "=", "<>", "!=", "<", ">", "<=", ">=", "~~", "!~~", "~~*", "!~~*", "~", "!~",
];

impl Census {
    /// Reads it from the server: five queries on catalogs of what users created.
    pub(in crate::db) async fn take(audited: &Audited) -> Result<Self, DbError> {
        let functions = functions(audited).await?;
        let mut taint = Taint::default();
        let mut census = Self::default();
        for function in &functions {
            taint.functions.insert(function.oid);
            if function.runs_when_planned {
                taint.planning.insert(function.oid);
            }
            census.functions.insert(function.name.clone());
            if function.takes_row {
                census.attributes.insert(function.name.clone());
            }
        }
        let operators = operators(audited).await?;
        for operator in &operators {
            if taint.functions.contains(&operator.function) {
                taint.functions.insert(operator.oid);
                taint.planning.insert(operator.oid);
                taint.types.extend(operator.own_types());
                if operator.own_types().next().is_none() {
                    census.is_planted |= IMPLICIT_OPERATORS.contains(&operator.name.as_str());
                    census.operators.insert(operator.name.clone());
                }
            }
        }
        for cast in casts(audited).await? {
            if taint.functions.contains(&cast.function) {
                let own: Vec<u32> = [cast.source, cast.target]
                    .into_iter()
                    .filter(|oid| is_own(*oid))
                    .collect();
                census.is_planted |= own.is_empty();
                taint.types.extend(own);
            }
        }
        let types = types(audited).await?;
        let edges = edges(audited).await?;
        taint.spread(&types, &edges);
        for row in &types {
            if taint.types.contains(&row.oid) {
                census.types.insert(row.name.clone());
            }
        }
        for (oid, name) in relations(audited, &taint).await? {
            if taint.written.contains(&oid) && !taint.relations.contains(&oid) {
                census.written.insert(name);
            } else {
                census.relations.insert(name);
            }
        }
        Ok(census)
    }
}

/// `FirstNormalObjectId`: objects from here on were created by somebody.
const FIRST_OWN_OID: u32 = 16_384;

fn is_own(oid: u32) -> bool {
    oid >= FIRST_OWN_OID
}

/// What leads to untrusted code, by oid. Oids of functions, operators and types share a space only by chance; they are kept apart where
/// edges tell their class.
#[derive(Debug, Default)]
struct Taint {
    /// Functions and operators.
    functions: HashSet<u32>,
    /// Those of them that may run at plan time: a volatile PL function never does.
    planning: HashSet<u32>,
    types: HashSet<u32>,
    relations: HashSet<u32>,
    written: HashSet<u32>,
    /// Relations with such a policy that doesn't apply to us; through a view it may apply as the view's owner.
    policed: HashSet<u32>,
}

impl Taint {
    fn spread(&mut self, types: &[TypeRow], edges: &[Edge]) {
        // every round taints at least one more object, or is the last
        loop {
            let before = self.len();
            for row in types {
                if row.leads_to(self) {
                    self.types.insert(row.oid);
                }
            }
            for edge in edges {
                edge.apply(self);
            }
            if before == self.len() {
                return;
            }
        }
    }

    fn len(&self) -> usize {
        self.types.len() + self.relations.len() + self.written.len() + self.policed.len()
    }
}

#[derive(Debug)]
struct Function {
    oid: u32,
    name: String,
    /// Not volatile, or SQL that may be inlined.
    runs_when_planned: bool,
    takes_row: bool,
}

/// The parameter of most queries here.
const TRUSTED: Param<'static> = (&TRUSTED_EXTENSIONS, Type::TEXT_ARRAY);

async fn query(audited: &Audited, sql: &str, param: Param<'_>) -> Result<Vec<Row>, DbError> {
    let guarded = audited.begin().await?;
    let rows = guarded.query(READING, sql, &[param]).await?;
    guarded.end().await?;
    if rows.len() > MAX_ROWS {
        return Err(DbError::new(
            DbErrorKind::Query,
            format!("{READING}: too many to judge"),
        ));
    }
    Ok(rows)
}

/// Ends a WHERE: leaves out what belongs to a trusted extension. `$1` is the list.
const UNTRUSTED: &str = "NOT EXISTS (SELECT FROM pg_depend e JOIN pg_extension x ON x.oid = e.refobjid \
    WHERE e.classid = o.tableoid AND e.objid = o.oid AND e.deptype = 'e' AND e.refclassid = 'pg_extension'::regclass \
    AND x.extname = ANY ($1)) LIMIT 200001";

async fn functions(audited: &Audited) -> Result<Vec<Function>, DbError> {
    let sql = format!(
        "SELECT /* pgassay */ o.oid, o.proname::text, o.provolatile <> 'v' OR l.lanname = 'sql', \
         o.pronargs - o.pronargdefaults <= 1 AND o.pronargs > 0 AND EXISTS (SELECT FROM pg_type t \
         WHERE t.oid = o.proargtypes[0] AND t.typtype IN ('c', 'p', 'd')) \
         FROM pg_proc o JOIN pg_language l ON l.oid = o.prolang WHERE o.oid >= 16384 AND {UNTRUSTED}"
    );
    let rows = query(audited, &sql, TRUSTED).await?;
    let function = |row| {
        let mut columns = Columns::of(row, READING);
        Ok(Function {
            oid: columns.next()?,
            name: columns.next()?,
            runs_when_planned: columns.next()?,
            takes_row: columns.next()?,
        })
    };
    rows.iter().map(function).collect()
}

#[derive(Debug)]
struct Operator {
    oid: u32,
    name: String,
    left: u32,
    right: u32,
    function: u32,
}

impl Operator {
    /// Operands of types that somebody created: only there can it be reached.
    fn own_types(&self) -> impl Iterator<Item = u32> {
        [self.left, self.right]
            .into_iter()
            .filter(|oid| is_own(*oid))
    }
}

async fn operators(audited: &Audited) -> Result<Vec<Operator>, DbError> {
    let sql = format!(
        "SELECT /* pgassay */ o.oid, o.oprname::text, o.oprleft, o.oprright, o.oprcode::oid \
         FROM pg_operator o WHERE o.oid >= 16384 AND {UNTRUSTED}"
    );
    let rows = query(audited, &sql, TRUSTED).await?;
    let operator = |row| {
        let mut columns = Columns::of(row, READING);
        Ok(Operator {
            oid: columns.next()?,
            name: columns.next()?,
            left: columns.next()?,
            right: columns.next()?,
            function: columns.next()?,
        })
    };
    rows.iter().map(operator).collect()
}

#[derive(Debug)]
struct Cast {
    source: u32,
    target: u32,
    function: u32,
}

async fn casts(audited: &Audited) -> Result<Vec<Cast>, DbError> {
    let sql = format!(
        "SELECT /* pgassay */ o.castsource, o.casttarget, o.castfunc FROM pg_cast o \
         WHERE o.castfunc >= 16384 AND {UNTRUSTED}"
    );
    let rows = query(audited, &sql, TRUSTED).await?;
    let cast = |row| {
        let mut columns = Columns::of(row, READING);
        Ok(Cast {
            source: columns.next()?,
            target: columns.next()?,
            function: columns.next()?,
        })
    };
    rows.iter().map(cast).collect()
}

/// A type that somebody created, and what it is made of.
#[derive(Debug)]
struct TypeRow {
    oid: u32,
    name: String,
    /// Input function, canonical and difference functions of a range.
    functions: Vec<u32>,
    /// Element, base type of a domain, subtype of a range.
    parts: Vec<u32>,
    /// The relation whose row type it is, or 0.
    relation: u32,
}

impl TypeRow {
    fn leads_to(&self, taint: &Taint) -> bool {
        self.functions
            .iter()
            .any(|oid| taint.functions.contains(oid))
            || self.parts.iter().any(|oid| taint.types.contains(oid))
            || taint.relations.contains(&self.relation)
    }
}

async fn types(audited: &Audited) -> Result<Vec<TypeRow>, DbError> {
    // row types of tables go with their relation; only stand-alone composites are types by themselves
    let sql = format!(
        "SELECT /* pgassay */ o.oid, o.typname::text, \
         ARRAY[o.typinput::oid, coalesce(r.rngcanonical::oid, 0), coalesce(r.rngsubdiff::oid, 0)], \
         ARRAY[o.typelem, o.typbasetype, coalesce(r.rngsubtype, 0)], o.typrelid \
         FROM pg_type o LEFT JOIN pg_range r ON r.rngtypid = o.oid \
         LEFT JOIN pg_class c ON c.oid = o.typrelid \
         LEFT JOIN pg_type el ON el.oid = o.typelem LEFT JOIN pg_class ec ON ec.oid = el.typrelid \
         WHERE o.oid >= 16384 AND coalesce(c.relkind, 'c') = 'c' AND coalesce(ec.relkind, 'c') = 'c' AND {UNTRUSTED}"
    );
    let rows = query(audited, &sql, TRUSTED).await?;
    let row = |row| {
        let mut columns = Columns::of(row, READING);
        Ok(TypeRow {
            oid: columns.next()?,
            name: columns.next()?,
            functions: columns.next()?,
            parts: columns.next()?,
            relation: columns.next()?,
        })
    };
    rows.iter().map(row).collect()
}

/// What a dependent leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    Function(u32),
    Type(u32),
    Relation(u32),
    /// An operator class or family that somebody created: its support functions run in estimates.
    Unknown,
}

/// Who is led there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dependent {
    Relation(u32),
    /// Column defaults: only a write evaluates them.
    Written(u32),
    /// By a policy that doesn't apply to us.
    Policed(u32),
    Domain(u32),
}

#[derive(Debug)]
struct Edge {
    dependent: Dependent,
    target: Target,
}

impl Edge {
    fn apply(&self, taint: &mut Taint) {
        let is_tainted = match (self.target, self.dependent) {
            // a default that calls a volatile PL function is common, and planning doesn't run it
            (Target::Function(oid), Dependent::Written(_)) => taint.planning.contains(&oid),
            (Target::Function(oid), _) => taint.functions.contains(&oid),
            (Target::Type(oid), _) => taint.types.contains(&oid),
            (Target::Relation(oid), _) => {
                taint.relations.contains(&oid) || taint.policed.contains(&oid)
            }
            (Target::Unknown, _) => true,
        };
        if is_tainted {
            match self.dependent {
                Dependent::Relation(oid) => taint.relations.insert(oid),
                Dependent::Written(oid) => taint.written.insert(oid),
                Dependent::Policed(oid) => taint.policed.insert(oid),
                Dependent::Domain(oid) => taint.types.insert(oid),
            };
        }
    }
}

/// Dependencies on what somebody created, by the relation or domain that owns the dependent.
async fn edges(audited: &Audited) -> Result<Vec<Edge>, DbError> {
    let sql = "SELECT /* pgassay */ o.refclassid::regclass::text, o.refobjid, \
        coalesce(r.ev_class, p.polrelid, a.adrelid, nullif(k.conrelid, 0), s.stxrelid, i.indrelid, c.oid, 0), coalesce(k.contypid, 0), \
        CASE WHEN a.adrelid IS NOT NULL AND t.attgenerated <> 'v' THEN 'written' \
        WHEN NOT row_security_active(p.polrelid) THEN 'policed' ELSE 'read' END \
        FROM pg_depend o \
        LEFT JOIN pg_rewrite r ON o.classid = 'pg_rewrite'::regclass AND r.oid = o.objid \
        LEFT JOIN pg_policy p ON o.classid = 'pg_policy'::regclass AND p.oid = o.objid \
        LEFT JOIN pg_attrdef a ON o.classid = 'pg_attrdef'::regclass AND a.oid = o.objid \
        LEFT JOIN pg_attribute t ON t.attrelid = a.adrelid AND t.attnum = a.adnum \
        LEFT JOIN pg_constraint k ON o.classid = 'pg_constraint'::regclass AND k.oid = o.objid \
        LEFT JOIN pg_statistic_ext s ON o.classid = 'pg_statistic_ext'::regclass AND s.oid = o.objid \
        LEFT JOIN pg_class c ON o.classid = 'pg_class'::regclass AND c.oid = o.objid \
        LEFT JOIN pg_index i ON i.indexrelid = c.oid \
        WHERE o.refobjid >= 16384 AND o.deptype <> 'e' AND ( \
        o.refclassid IN ('pg_proc'::regclass, 'pg_operator'::regclass, 'pg_type'::regclass, 'pg_opclass'::regclass, 'pg_opfamily'::regclass) \
        OR o.refclassid = 'pg_class'::regclass AND o.classid = 'pg_rewrite'::regclass) \
        AND NOT EXISTS (SELECT FROM pg_depend e JOIN pg_extension x ON x.oid = e.refobjid \
        WHERE e.classid = o.refclassid AND e.objid = o.refobjid AND e.deptype = 'e' AND e.refclassid = 'pg_extension'::regclass \
        AND x.extname = ANY ($1)) \
        UNION ALL SELECT 'pg_class', n.inhrelid, n.inhparent, 0, 'read' FROM pg_inherits n LIMIT 200001";
    let rows = query(audited, sql, TRUSTED).await?;
    let mut edges = Vec::with_capacity(rows.len());
    for row in &rows {
        let mut columns = Columns::of(row, READING);
        let class: &str = columns.next()?;
        let oid = columns.next()?;
        let relation: u32 = columns.next()?;
        let domain: u32 = columns.next()?;
        let role: &str = columns.next()?;
        let target = match class {
            "pg_proc" | "pg_operator" => Target::Function(oid),
            "pg_type" => Target::Type(oid),
            "pg_class" => Target::Relation(oid),
            _ => Target::Unknown,
        };
        let dependent = match (relation, domain, role) {
            (0, 0, _) => continue,
            (0, domain, _) => Dependent::Domain(domain),
            (relation, _, "written") => Dependent::Written(relation),
            (relation, _, "policed") => Dependent::Policed(relation),
            (relation, ..) => Dependent::Relation(relation),
        };
        edges.push(Edge { dependent, target });
    }
    Ok(edges)
}

/// Names of the tainted relations, and of all foreign tables: planning one may ask another server.
async fn relations(audited: &Audited, taint: &Taint) -> Result<Vec<(u32, String)>, DbError> {
    let mut oids: Vec<u32> = taint.relations.union(&taint.written).copied().collect();
    oids.sort_unstable();
    let sql = "SELECT /* pgassay */ o.oid, o.relname::text FROM pg_class o \
        WHERE o.oid = ANY ($1) OR o.relkind = 'f' LIMIT 200001";
    let rows = query(audited, sql, (&oids, Type::OID_ARRAY)).await?;
    let relation = |row| {
        let mut columns = Columns::of(row, READING);
        Ok((columns.next()?, columns.next()?))
    };
    rows.iter().map(relation).collect()
}
