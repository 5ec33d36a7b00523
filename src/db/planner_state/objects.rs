//! Objects as typed data: one catalog query a kind, each row a JSON object in the form of the model.

use super::{DbError, Reader, USER_SCHEMA};
use crate::catalog::planner::{Dropped, SchemaObjects};

pub(super) async fn read(reader: &Reader<'_>) -> Result<SchemaObjects, DbError> {
    let version = reader.version_num();
    Ok(SchemaObjects {
        schemas: reader.rows("reading schemas", &schemas(), &[]).await?,
        extensions: reader.rows("reading extensions", EXTENSIONS, &[]).await?,
        collations: reader
            .rows("reading collations", &collations(version), &[])
            .await?,
        search_configurations: reader
            .rows(
                "reading text search configurations",
                &search_configurations(),
                &[],
            )
            .await?,
        search_dictionaries: reader
            .rows(
                "reading text search dictionaries",
                &search_dictionaries(),
                &[],
            )
            .await?,
        types: reader.rows("reading types", &types(version), &[]).await?,
        sequences: reader.rows("reading sequences", &sequences(), &[]).await?,
        functions: reader
            .rows("reading functions", &functions(version), &[])
            .await?,
        aggregates: reader
            .rows("reading aggregates", &aggregates(), &[])
            .await?,
        operators: reader.rows("reading operators", &operators(), &[]).await?,
        casts: reader.rows("reading casts", &casts(), &[]).await?,
        tables: reader.rows("reading tables", &tables(), &[]).await?,
        views: reader.rows("reading views", &views(), &[]).await?,
        constraints: reader
            .rows("reading constraints", &constraints(), &[])
            .await?,
        indexes: reader.rows("reading indexes", &indexes(), &[]).await?,
        statistics: reader
            .rows("reading statistics objects", &statistics(), &[])
            .await?,
        policies: reader
            .rows("reading row security", &policies(), &[])
            .await?,
        dropped: dropped(reader).await?,
    })
}

/// Not a member of an extension: `CREATE EXTENSION` will make those.
fn own(catalog: &str, oid: &str) -> String {
    format!(
        "NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = '{catalog}'::regclass AND e.objid = {oid} AND e.deptype = 'e')"
    )
}

/// A `RelationName` from `pg_namespace n` and a column.
fn name(column: &str) -> String {
    format!("json_build_object('schema', n.nspname, 'name', {column})")
}

/// The `RelationName` of a `pg_class` row by OID.
fn name_of(oid: &str) -> String {
    format!(
        "(SELECT json_build_object('schema', pn.nspname, 'name', pc.relname) FROM pg_class pc \
         JOIN pg_namespace pn ON pn.oid = pc.relnamespace WHERE pc.oid = {oid})"
    )
}

fn schemas() -> String {
    format!(
        "SELECT to_json(n.nspname::text)::text FROM pg_namespace n WHERE {USER_SCHEMA} ORDER BY n.oid"
    )
}

const EXTENSIONS: &str = "SELECT json_build_object('name', e.extname, 'schema', n.nspname, 'version', e.extversion)::text \
    FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname <> 'plpgsql' ORDER BY e.oid";

fn collations(version: u32) -> String {
    let locale = match version {
        170_000.. => "coalesce(c.colllocale, c.collcollate::text, '')",
        150_000.. => "coalesce(c.colliculocale, c.collcollate::text, '')",
        _ => "coalesce(c.collcollate::text, '')",
    };
    format!(
        "SELECT json_build_object('name', {}, 'provider', c.collprovider::text, 'locale', {locale}, 'deterministic', c.collisdeterministic)::text \
         FROM pg_collation c JOIN pg_namespace n ON n.oid = c.collnamespace WHERE {USER_SCHEMA} AND {} \
           OR n.nspname = 'pg_catalog' AND c.collname NOT IN ('default', 'C', 'POSIX') AND c.oid IN (SELECT a.attcollation FROM pg_attribute a WHERE a.attrelid >= 16384) ORDER BY c.oid",
        name("c.collname"),
        own("pg_collation", "c.oid")
    )
}

fn search_configurations() -> String {
    format!(
        "SELECT json_build_object('name', {}, 'parser', (SELECT quote_ident(pn.nspname) || '.' || quote_ident(p.prsname) FROM pg_ts_parser p \
           JOIN pg_namespace pn ON pn.oid = p.prsnamespace WHERE p.oid = c.cfgparser), \
           'mappings', (SELECT coalesce(json_agg(json_build_array(m.alias, m.dictionaries) ORDER BY m.alias), '[]') FROM ( \
             SELECT t.alias, json_agg(quote_ident(dn.nspname) || '.' || quote_ident(d.dictname) ORDER BY k.mapseqno) AS dictionaries \
             FROM pg_ts_config_map k JOIN ts_token_type(c.cfgparser) t ON t.tokid = k.maptokentype JOIN pg_ts_dict d ON d.oid = k.mapdict \
             JOIN pg_namespace dn ON dn.oid = d.dictnamespace WHERE k.mapcfg = c.oid GROUP BY t.alias) m))::text \
         FROM pg_ts_config c JOIN pg_namespace n ON n.oid = c.cfgnamespace WHERE {USER_SCHEMA} AND {} ORDER BY c.oid",
        name("c.cfgname"),
        own("pg_ts_config", "c.oid")
    )
}

fn search_dictionaries() -> String {
    format!(
        "SELECT json_build_object('name', {}, 'template', (SELECT quote_ident(tn.nspname) || '.' || quote_ident(t.tmplname) FROM pg_ts_template t \
           JOIN pg_namespace tn ON tn.oid = t.tmplnamespace WHERE t.oid = d.dicttemplate), 'options', d.dictinitoption)::text \
         FROM pg_ts_dict d JOIN pg_namespace n ON n.oid = d.dictnamespace WHERE {USER_SCHEMA} AND {} ORDER BY d.oid",
        name("d.dictname"),
        own("pg_ts_dict", "d.oid")
    )
}

/// Functions by `regproc`, which qualifies them; options that are 0 or NULL left out.
fn options(pairs: &[(&str, String)]) -> String {
    let rows: Vec<String> = pairs
        .iter()
        .map(|(option, value)| format!("('{option}', {value})"))
        .collect();
    format!(
        "(SELECT json_agg(json_build_array(o.k, o.v)) FROM (VALUES {}) o(k, v) WHERE o.v IS NOT NULL)",
        rows.join(", ")
    )
}

fn function_option(column: &str) -> String {
    format!("CASE WHEN {column}::oid <> 0 THEN {column}::regproc::text END")
}

fn operator_option(column: &str) -> String {
    format!(
        "(SELECT 'OPERATOR(' || quote_ident(x.nspname) || '.' || y.oprname || ')' FROM pg_operator y JOIN pg_namespace x ON x.oid = y.oprnamespace WHERE y.oid = {column})"
    )
}

fn aggregates() -> String {
    let options = options(&[
        ("SFUNC", function_option("a.aggtransfn")),
        ("STYPE", "format_type(a.aggtranstype, NULL)".to_owned()),
        ("SSPACE", "nullif(a.aggtransspace, 0)::text".to_owned()),
        ("FINALFUNC", function_option("a.aggfinalfn")),
        ("COMBINEFUNC", function_option("a.aggcombinefn")),
        ("SERIALFUNC", function_option("a.aggserialfn")),
        ("DESERIALFUNC", function_option("a.aggdeserialfn")),
        ("INITCOND", "quote_literal(a.agginitval)".to_owned()),
        ("SORTOP", operator_option("a.aggsortop")),
    ]);
    format!(
        "SELECT json_build_object('name', {}, 'arguments', pg_get_function_identity_arguments(p.oid), 'options', {options}, 'parallel', p.proparallel::text)::text \
         FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_aggregate a ON a.aggfnoid = p.oid \
         WHERE {USER_SCHEMA} AND {} AND a.aggkind = 'n' ORDER BY p.oid",
        name("p.proname"),
        own("pg_proc", "p.oid")
    )
}

fn operators() -> String {
    let options = options(&[
        ("PROCEDURE", function_option("o.oprcode")),
        (
            "LEFTARG",
            "CASE WHEN o.oprleft <> 0 THEN format_type(o.oprleft, NULL) END".to_owned(),
        ),
        (
            "RIGHTARG",
            "CASE WHEN o.oprright <> 0 THEN format_type(o.oprright, NULL) END".to_owned(),
        ),
        ("COMMUTATOR", operator_option("o.oprcom")),
        ("NEGATOR", operator_option("o.oprnegate")),
        ("RESTRICT", function_option("o.oprrest")),
        ("JOIN", function_option("o.oprjoin")),
    ]);
    format!(
        "SELECT json_build_object('name', {}, 'options', {options}, 'hashes', o.oprcanhash, 'merges', o.oprcanmerge)::text \
         FROM pg_operator o JOIN pg_namespace n ON n.oid = o.oprnamespace WHERE {USER_SCHEMA} AND {} AND o.oprcode <> 0 ORDER BY o.oid",
        name("o.oprname"),
        own("pg_operator", "o.oid")
    )
}

fn casts() -> String {
    format!(
        "SELECT json_build_object('source', format_type(k.castsource, NULL), 'target', format_type(k.casttarget, NULL), \
           'function', CASE WHEN k.castfunc <> 0 THEN k.castfunc::regprocedure::text END, 'context', k.castcontext::text)::text \
         FROM pg_cast k WHERE k.oid >= 16384 AND k.castmethod IN ('f', 'i') AND {} \
           AND NOT EXISTS (SELECT FROM pg_depend i WHERE i.classid = 'pg_cast'::regclass AND i.objid = k.oid AND i.deptype = 'i') ORDER BY k.oid",
        own("pg_cast", "k.oid")
    )
}

fn types(version: u32) -> String {
    let multirange = if version >= 140_000 {
        "(SELECT quote_ident(mn.nspname) || '.' || quote_ident(m.typname) FROM pg_type m JOIN pg_namespace mn ON mn.oid = m.typnamespace WHERE m.oid = r.rngmultitypid)"
    } else {
        "NULL"
    };
    format!(
        "SELECT json_build_object('name', {}, 'shape', CASE t.typtype \
           WHEN 'e' THEN json_build_object('enum', (SELECT coalesce(json_agg(l.enumlabel ORDER BY l.enumsortorder), '[]') FROM pg_enum l WHERE l.enumtypid = t.oid)) \
           WHEN 'd' THEN json_build_object('domain', json_build_object('base', format_type(t.typbasetype, t.typtypmod), 'not_null', t.typnotnull, \
             'collation', CASE WHEN t.typcollation <> 0 AND t.typcollation <> b.typcollation THEN t.typcollation::regcollation::text END, \
             'checks', (SELECT coalesce(json_agg(pg_get_constraintdef(k.oid) ORDER BY k.oid), '[]') FROM pg_constraint k WHERE k.contypid = t.oid AND k.contype = 'c'))) \
           WHEN 'c' THEN json_build_object('composite', (SELECT coalesce(json_agg(json_build_array(a.attname, format_type(a.atttypid, a.atttypmod), \
             CASE WHEN a.attcollation <> 0 AND a.attcollation <> at.typcollation THEN a.attcollation::regcollation::text END) ORDER BY a.attnum), '[]') \
             FROM pg_attribute a JOIN pg_type at ON at.oid = a.atttypid WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped)) \
           ELSE (SELECT json_build_object('range', json_build_object('subtype', format_type(r.rngsubtype, NULL), \
             'collation', CASE WHEN r.rngcollation <> 0 AND r.rngcollation <> s.typcollation THEN r.rngcollation::regcollation::text END, \
             'opclass', CASE WHEN NOT o.opcdefault THEN quote_ident(opn.nspname) || '.' || quote_ident(o.opcname) END, \
             'difference', CASE WHEN r.rngsubdiff::oid <> 0 THEN r.rngsubdiff::regproc::text END, 'multirange', {multirange})) \
             FROM pg_range r JOIN pg_type s ON s.oid = r.rngsubtype JOIN pg_opclass o ON o.oid = r.rngsubopc JOIN pg_namespace opn ON opn.oid = o.opcnamespace \
             WHERE r.rngtypid = t.oid) END)::text \
         FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace LEFT JOIN pg_type b ON b.oid = t.typbasetype \
         WHERE {USER_SCHEMA} AND {} AND (t.typtype IN ('e', 'd', 'r') \
           OR t.typtype = 'c' AND EXISTS (SELECT FROM pg_class k WHERE k.oid = t.typrelid AND k.relkind = 'c')) ORDER BY t.oid",
        name("t.typname"),
        own("pg_type", "t.oid")
    )
}

fn sequences() -> String {
    format!(
        "SELECT {}::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'S' AND c.relpersistence <> 't' AND {USER_SCHEMA} \
         AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid AND e.deptype IN ('e', 'i')) ORDER BY c.oid",
        name("c.relname")
    )
}

fn functions(version: u32) -> String {
    let (body, sql_body) = if version >= 140_000 {
        (
            "coalesce(pg_get_function_sqlbody(p.oid), p.prosrc)",
            "p.prosqlbody IS NOT NULL",
        )
    } else {
        ("p.prosrc", "false")
    };
    format!(
        "SELECT json_build_object('name', {}, 'arguments', pg_get_function_arguments(p.oid), 'result', pg_get_function_result(p.oid), \
           'has_out', p.proallargtypes IS NOT NULL, 'language', l.lanname, 'volatility', p.provolatile::text, 'parallel', p.proparallel::text, \
           'strict', p.proisstrict, 'security_definer', p.prosecdef, 'has_settings', p.proconfig IS NOT NULL, \
           'search_path', (SELECT substr(c, 13) FROM unnest(p.proconfig) c WHERE c LIKE 'search_path=%'), 'cost', p.procost, 'rows', p.prorows, \
           'body', CASE WHEN l.lanname IN ('sql', 'plpgsql') THEN {body} END, 'sql_body', {sql_body})::text \
         FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_language l ON l.oid = p.prolang \
         WHERE {USER_SCHEMA} AND {} AND p.prokind IN ('f', 'w') AND p.prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype) \
           AND NOT EXISTS (SELECT FROM pg_depend i WHERE i.classid = 'pg_proc'::regclass AND i.objid = p.oid AND i.deptype = 'i') ORDER BY p.oid",
        name("p.proname"),
        own("pg_proc", "p.oid")
    )
}

fn tables() -> String {
    format!(
        "SELECT json_build_object('name', {}, 'kind', CASE c.relkind WHEN 'p' THEN 'partitioned' WHEN 'm' THEN 'materialized_view' WHEN 'f' THEN 'foreign' ELSE 'table' END, \
           'unlogged', c.relpersistence = 'u', \
           'columns', (SELECT coalesce(json_agg(json_build_object('name', a.attname, 'type_name', format_type(a.atttypid, a.atttypmod), \
             'collation', CASE WHEN a.attcollation <> 0 AND a.attcollation <> t.typcollation THEN a.attcollation::regcollation::text END, \
             'not_null', a.attnotnull, 'identity', a.attidentity::text, \
             'sequence', CASE WHEN a.attidentity <> '' THEN (SELECT json_build_object('schema', sn.nspname, 'name', sc.relname) FROM pg_depend sd JOIN pg_class sc ON sc.oid = sd.objid \
               JOIN pg_namespace sn ON sn.oid = sc.relnamespace WHERE sd.classid = 'pg_class'::regclass AND sd.refclassid = 'pg_class'::regclass AND sd.refobjid = a.attrelid \
               AND sd.refobjsubid = a.attnum AND sd.deptype = 'i' AND sc.relkind = 'S' LIMIT 1) END, 'generated', a.attgenerated::text, 'expression', pg_get_expr(d.adbin, d.adrelid)) ORDER BY a.attnum), '[]') \
             FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum \
             WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped), \
           'dropped', (SELECT coalesce(json_agg(a.attnum ORDER BY a.attnum), '[]') FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND a.attisdropped), \
           'partition_key', CASE WHEN c.relkind = 'p' THEN pg_get_partkeydef(c.oid) END, \
           'partition_of', CASE WHEN c.relispartition THEN (SELECT json_build_array({}, pg_get_expr(c.relpartbound, c.oid)) FROM pg_inherits h WHERE h.inhrelid = c.oid) END, \
           'inherits', CASE WHEN c.relispartition THEN '[]' ELSE (SELECT coalesce(json_agg({} ORDER BY h.inhseqno), '[]') FROM pg_inherits h WHERE h.inhrelid = c.oid) END, \
           'options', (SELECT coalesce(json_agg(o), '[]') FROM unnest(c.reloptions) o WHERE o ~ '^(fillfactor|parallel_workers)=[0-9]+$' AND c.relkind IN ('r', 'm')), \
           'tablespace', NULL, 'row_security', c.relkind IN ('r', 'p') AND row_security_active(c.oid))::text \
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relkind IN ('r', 'p', 'm', 'f') AND c.relpersistence <> 't' AND {USER_SCHEMA} AND {} ORDER BY c.oid",
        name("c.relname"),
        name_of("h.inhparent"),
        name_of("h.inhparent"),
        own("pg_class", "c.oid")
    )
}

fn views() -> String {
    format!(
        "SELECT json_build_object('name', {}, 'definition', pg_get_viewdef(c.oid), \
           'columns', (SELECT coalesce(json_agg(json_build_array(a.attname, format_type(a.atttypid, a.atttypmod)) ORDER BY a.attnum), '[]') \
             FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped), \
           'security_barrier', coalesce(c.reloptions && ARRAY['security_barrier=true', 'security_barrier=on', 'security_barrier=1'], false))::text \
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'v' AND c.relpersistence <> 't' AND {USER_SCHEMA} AND {} ORDER BY c.oid",
        name("c.relname"),
        own("pg_class", "c.oid")
    )
}

/// Foreign keys and checks of partitions and children come down from their parents by themselves; keys don't, because their indexes have
/// names of their own.
fn constraints() -> String {
    format!(
        "SELECT json_build_object('table', {}, 'name', k.conname, 'kind', CASE k.contype WHEN 'p' THEN 'primary' WHEN 'u' THEN 'unique' WHEN 'x' THEN 'exclusion' \
           WHEN 'c' THEN 'check' ELSE 'foreign' END, 'definition', pg_get_constraintdef(k.oid))::text \
         FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE k.contype IN ('p', 'u', 'x', 'c', 'f') AND c.relkind IN ('r', 'p', 'f') AND c.relpersistence <> 't' AND {USER_SCHEMA} AND {} \
           AND NOT (k.contype = 'f' AND k.conparentid <> 0) AND NOT (k.contype = 'c' AND k.coninhcount > 0) ORDER BY k.oid",
        name("c.relname"),
        own("pg_class", "c.oid")
    )
}

fn indexes() -> String {
    format!(
        "SELECT json_build_object('name', {}, 'table', {}, 'definition', \
           CASE WHEN NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid AND k.conrelid = i.indrelid AND k.contype IN ('p', 'u', 'x')) \
             THEN pg_get_indexdef(i.indexrelid) END, \
           'valid', i.indisvalid, 'parent', (SELECT {} FROM pg_inherits h WHERE h.inhrelid = i.indexrelid), 'partitioned', c.relkind = 'I')::text \
         FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_class t ON t.oid = i.indrelid \
         WHERE t.relkind IN ('r', 'p', 'm') AND c.relpersistence <> 't' AND {USER_SCHEMA} AND {} ORDER BY i.indexrelid",
        name("c.relname"),
        name_of("i.indrelid"),
        name_of("h.inhparent"),
        own("pg_class", "t.oid")
    )
}

fn statistics() -> String {
    format!(
        "SELECT json_build_object('name', {}, 'definition', pg_get_statisticsobjdef(s.oid))::text \
         FROM pg_statistic_ext s JOIN pg_namespace n ON n.oid = s.stxnamespace WHERE {USER_SCHEMA} ORDER BY s.oid",
        name("s.stxname")
    )
}

fn policies() -> String {
    format!(
        "SELECT json_build_object('table', {}, 'name', p.polname, 'permissive', p.polpermissive, 'command', p.polcmd::text, \
           'using', pg_get_expr(p.polqual, p.polrelid), 'check', pg_get_expr(p.polwithcheck, p.polrelid))::text \
         FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE {USER_SCHEMA} AND row_security_active(c.oid) \
           AND EXISTS (SELECT FROM unnest(p.polroles) r WHERE r = 0 OR pg_has_role(r, 'USAGE')) ORDER BY p.oid",
        name("c.relname")
    )
}

/// Kinds that the twin does not make, counted so that the report can say so.
async fn dropped(reader: &Reader<'_>) -> Result<Vec<Dropped>, DbError> {
    let part = |kind: &str, catalog: &str, namespace: &str, condition: &str| {
        format!(
            "SELECT '{kind}' AS kind, count(*) AS n FROM {catalog} o JOIN pg_namespace n ON n.oid = o.{namespace} WHERE {USER_SCHEMA} AND {condition} AND {}",
            own(catalog, "o.oid")
        )
    };
    let parts = [
        part(
            "ordered-set aggregate",
            "pg_proc",
            "pronamespace",
            "EXISTS (SELECT FROM pg_aggregate a WHERE a.aggfnoid = o.oid AND a.aggkind <> 'n')",
        ),
        part("operator class", "pg_opclass", "opcnamespace", "true"),
        part(
            "base type",
            "pg_type",
            "typnamespace",
            "o.typtype = 'b' AND o.typelem = 0",
        ),
        format!(
            "SELECT 'rewrite rule' AS kind, count(*) AS n FROM pg_rewrite w JOIN pg_class c ON c.oid = w.ev_class JOIN pg_namespace n ON n.oid = c.relnamespace \
             WHERE {USER_SCHEMA} AND w.rulename <> '_RETURN'"
        ),
    ];
    let sql = format!(
        "SELECT json_build_object('kind', kind, 'n', n)::text FROM ({}) x WHERE n > 0 ORDER BY kind",
        parts.join(" UNION ALL ")
    );
    reader.rows("counting other objects", &sql, &[]).await
}
