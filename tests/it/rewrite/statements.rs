//! Statements of every shape, as a loop would send them.

/// A looped statement.
pub(super) struct Looped {
    /// With `$n`.
    pub(super) sql: &'static str,
    /// Placeholders that are keys, ascending.
    pub(super) keys: &'static [u16],
    /// The others' values.
    pub(super) constants: &'static [(u16, &'static str)],
    /// The order of a key's rows is defined by the statement.
    pub(super) ordered: bool,
}

pub(super) const fn looped(
    sql: &'static str,
    keys: &'static [u16],
    constants: &'static [(u16, &'static str)],
) -> Looped {
    Looped {
        sql,
        keys,
        constants,
        ordered: false,
    }
}

pub(super) const fn ordered(
    sql: &'static str,
    keys: &'static [u16],
    constants: &'static [(u16, &'static str)],
) -> Looped {
    Looped {
        ordered: true,
        ..looped(sql, keys, constants)
    }
}

/// SELECTs of every shape.
pub(super) const READS: &[Looped] = &[
    looped("SELECT * FROM c WHERE k = $1", &[1], &[]),
    looped(
        "SELECT id, s FROM c WHERE k = $1 AND v > $2",
        &[1],
        &[(2, "1")],
    ),
    looped(
        "SELECT s, k AS id FROM c AS x WHERE $1 = x.k AND (v = $2 OR b)",
        &[1],
        &[(2, "1")],
    ),
    ordered(
        "SELECT id, v FROM c WHERE k = $1 ORDER BY v DESC, id",
        &[1],
        &[],
    ),
    ordered("SELECT id, v FROM c WHERE k = $1 ORDER BY 2, 1", &[1], &[]),
    ordered(
        "SELECT id, v FROM c WHERE k = $1 ORDER BY v DESC NULLS LAST, id LIMIT $2",
        &[1],
        &[(2, "2")],
    ),
    ordered(
        "SELECT * FROM c WHERE k = $1 ORDER BY c.v, c.id LIMIT $2 OFFSET $3",
        &[1],
        &[(2, "3"), (3, "1")],
    ),
    ordered(
        "SELECT v FROM c WHERE k = $1 ORDER BY v LIMIT $2",
        &[1],
        &[(2, "2")],
    ),
    looped(
        "SELECT id FROM c WHERE k = $1 ORDER BY v, id LIMIT $2",
        &[1],
        &[(2, "2")],
    ),
    looped(
        "SELECT c.id, c.s FROM c JOIN l ON l.child_id = c.id WHERE l.k = $1",
        &[1],
        &[],
    ),
    looped(
        "SELECT c.* FROM c JOIN l ON l.child_id = c.id AND l.k = $1",
        &[1],
        &[],
    ),
    looped(
        "SELECT * FROM c, l WHERE l.k = $1 AND l.child_id = c.id",
        &[1],
        &[],
    ),
    looped(
        "SELECT c.id, l.k FROM c LEFT JOIN l ON l.child_id = c.id AND l.k = $1 WHERE c.v = $2",
        &[1],
        &[(2, "1")],
    ),
    looped(
        "SELECT c.id, l.child_id FROM c LEFT JOIN l ON l.child_id = c.id WHERE c.k = $1",
        &[1],
        &[],
    ),
    looped("SELECT count(*) FROM c WHERE k = $1", &[1], &[]),
    looped(
        "SELECT count(*)::int AS n FROM c WHERE k = $1 LIMIT $2",
        &[1],
        &[(2, "1")],
    ),
    looped(
        "SELECT count(DISTINCT v), max(v), min(s), sum(v) FROM c WHERE k = $1",
        &[1],
        &[],
    ),
    looped(
        "SELECT coalesce(sum(v), $1) FROM c WHERE k = $2",
        &[2],
        &[(1, "0")],
    ),
    looped(
        "SELECT b, count(*) FROM c WHERE k = $1 GROUP BY b HAVING count(*) > $2",
        &[1],
        &[(2, "1")],
    ),
    ordered(
        "SELECT b, count(*) FROM c WHERE k = $1 GROUP BY 1 ORDER BY 1",
        &[1],
        &[],
    ),
    looped(
        "SELECT count(*) FROM c WHERE k = $1 HAVING count(*) = $2",
        &[1],
        &[(2, "0")],
    ),
    looped(
        "SELECT $1 AS one FROM c WHERE k = $2 LIMIT $3",
        &[2],
        &[(1, "1"), (3, "1")],
    ),
    looped(
        "SELECT EXISTS (SELECT $1 FROM c WHERE k = $2 AND v = $3)",
        &[2],
        &[(1, "1"), (3, "1")],
    ),
    looped(
        "SELECT NOT EXISTS (SELECT $1 FROM c WHERE k = $2)",
        &[2],
        &[(1, "1")],
    ),
    looped(
        "SELECT $1 AS row_exists FROM (SELECT $2 AS d) AS dummy WHERE EXISTS (SELECT $3 FROM c x WHERE ((x.k = $4))) LIMIT $5",
        &[4],
        &[(1, "1"), (2, "1"), (3, "1"), (5, "1")],
    ),
    looped("SELECT DISTINCT v FROM c WHERE k = $1", &[1], &[]),
    ordered(
        "SELECT DISTINCT ON (v) v, id FROM c WHERE k = $1 ORDER BY v, id",
        &[1],
        &[],
    ),
    looped(
        "SELECT id, row_number() OVER (ORDER BY v, id) FROM c WHERE k = $1",
        &[1],
        &[],
    ),
    looped(
        "SELECT v FROM c WHERE k = $1 UNION SELECT id FROM c WHERE v = $2",
        &[1],
        &[(2, "1")],
    ),
    looped("SELECT id FROM c WHERE k = $1 OR v = $2", &[1], &[(2, "1")]),
    looped(
        "SELECT count(*) FROM (SELECT DISTINCT v FROM c WHERE k = $1) AS sub",
        &[1],
        &[],
    ),
    looped(
        "WITH x AS (SELECT * FROM c WHERE k = $1) SELECT count(*), max(v) FROM x",
        &[1],
        &[],
    ),
    looped(
        "WITH x AS (SELECT * FROM l) SELECT c.id FROM c JOIN x ON x.child_id = c.id WHERE c.k = $1",
        &[1],
        &[],
    ),
    looped("SELECT id FROM c WHERE k = ANY ($1)", &[1], &[]),
    looped(
        "SELECT id, k2 FROM c WHERE k = $1 AND k2 = $2",
        &[1, 2],
        &[],
    ),
    looped(
        "SELECT count(*) FROM c WHERE k = $1 AND k2 = $2",
        &[1, 2],
        &[],
    ),
    looped(
        "SELECT $1 AS one FROM c WHERE k = $2 AND k2 = $3 LIMIT $4",
        &[2, 3],
        &[(1, "1"), (4, "1")],
    ),
    ordered(
        "SELECT id, v FROM c WHERE k = $1 AND k2 = $2 ORDER BY id LIMIT $3",
        &[1, 2],
        &[(3, "1")],
    ),
    looped(
        "SELECT (SELECT count(*) FROM l WHERE l.child_id = c.id), id FROM c WHERE k = $1",
        &[1],
        &[],
    ),
    looped(
        "SELECT keys.id, found.child_id FROM c AS keys, l AS found WHERE keys.k = $1 AND found.child_id = keys.id ORDER BY keys.id, found.child_id LIMIT $2",
        &[1],
        &[(2, "3")],
    ),
];

/// By the primary key, with the LIMIT that ORMs add.
pub(super) const BY_ID: &[Looped] = &[
    looped(
        "SELECT id, s FROM c WHERE c.id = $1 LIMIT $2",
        &[1],
        &[(2, "21")],
    ),
    looped(
        "SELECT * FROM c WHERE (c.id = $1 AND $2 = $3) LIMIT $4 OFFSET $5",
        &[1],
        &[(2, "1"), (3, "1"), (4, "1"), (5, "0")],
    ),
    ordered(
        "SELECT * FROM c WHERE id = $1 ORDER BY id LIMIT $2",
        &[1],
        &[(2, "1")],
    ),
    looped(
        "SELECT l.k FROM c JOIN l ON l.child_id = c.id WHERE c.id = $1",
        &[1],
        &[],
    ),
];

/// INSERT, UPDATE, DELETE.
pub(super) const WRITES: &[Looped] = &[
    looped("INSERT INTO c (k, k2) VALUES ($1, $2)", &[1, 2], &[]),
    looped(
        "INSERT INTO c (k, v, k2, s, b) VALUES ($1, $2, $3, DEFAULT, $4) RETURNING id",
        &[1, 3],
        &[(2, "7"), (4, "true")],
    ),
    looped(
        "INSERT INTO c (k, s) VALUES ($1, lower($2))",
        &[1],
        &[(2, "'UP'")],
    ),
    looped(
        "INSERT INTO c (k, u) VALUES ($1, $2) ON CONFLICT (u) DO NOTHING",
        &[1],
        &[(2, "1")],
    ),
    looped("UPDATE c SET v = $1 WHERE k = $2", &[2], &[(1, "9")]),
    looped(
        "UPDATE c SET k2 = $1, v = $2 WHERE c.k = $3 AND v < $4",
        &[3],
        &[(1, "NULL"), (2, "2"), (4, "3")],
    ),
    looped(
        "UPDATE c SET k2 = $1, s = $2 WHERE k = $3 RETURNING *",
        &[1, 3],
        &[(2, "'n'")],
    ),
    looped(
        "UPDATE c SET v = $1 WHERE k = $2 AND k2 = $3",
        &[2, 3],
        &[(1, "8")],
    ),
    looped("DELETE FROM c WHERE k = $1", &[1], &[]),
    looped(
        "DELETE FROM c AS x WHERE x.k = $1 AND x.k2 = $2 RETURNING id",
        &[1, 2],
        &[],
    ),
];
