//! Writing rows: as few statements as their expectations allow.

use std::collections::{BTreeMap, HashSet};

use sqlx::PgConnection;

use super::{
    Tables, signed,
    text::{self, stored},
};
use crate::{
    ids::TenantId,
    store::{Expect, StateKey, StateWrite},
};

/// The parameters of every statement, as a table. Sorted, so that transactions that write the same rows lock them in one
/// order.
const ROWS: &str = "(SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bytea[], $6::bigint[]) \
    AS list (tenant, space, key, full_key, bytes, version) ORDER BY tenant, space, key) AS given";
const SAME: &str = "held.tenant = given.tenant AND held.space = given.space AND held.key = given.key";

/// What a write asks for; each kind is one statement for all its rows.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Kind {
    Create,
    Delete,
    DeleteVersion,
    Missing,
    Put,
    Replace,
}

impl Kind {
    fn of(row: &StateWrite) -> Self {
        match (&row.bytes, row.expect) {
            (Some(_), Expect::Any) => Self::Put,
            (Some(_), Expect::Absent) => Self::Create,
            (Some(_), Expect::Version(_)) => Self::Replace,
            (None, Expect::Any) => Self::Delete,
            (None, Expect::Absent) => Self::Missing,
            (None, Expect::Version(_)) => Self::DeleteVersion,
        }
    }

    fn template(self) -> String {
        let insert = "INSERT INTO {p}state AS held (tenant, space, key, full_key, version, bytes) \
                      SELECT tenant, space, key, full_key, 1, bytes FROM";
        match self {
            Self::Create => format!("{insert} {ROWS} ON CONFLICT DO NOTHING"),
            Self::Delete => format!("DELETE FROM {{p}}state AS held USING {ROWS} WHERE {SAME}"),
            Self::DeleteVersion => {
                format!("DELETE FROM {{p}}state AS held USING {ROWS} WHERE {SAME} AND held.version = given.version")
            }
            Self::Missing => format!("SELECT 1 FROM {{p}}state AS held, {ROWS} WHERE {SAME}"),
            Self::Put => format!(
                "{insert} {ROWS} ON CONFLICT (tenant, space, key) DO UPDATE SET version = held.version + 1, bytes = excluded.bytes"
            ),
            Self::Replace => format!(
                "UPDATE {{p}}state AS held SET version = held.version + 1, bytes = given.bytes FROM {ROWS} \
                 WHERE {SAME} AND held.version = given.version"
            ),
        }
    }

    /// How many of `rows` rows must have been affected; `None` if it does not matter.
    fn expected(self, rows: usize) -> Option<u64> {
        match self {
            Self::Create | Self::DeleteVersion | Self::Replace => Some(rows as u64),
            Self::Missing => Some(0),
            Self::Delete | Self::Put => None,
        }
    }
}

/// The rows of one statement, column by column.
#[derive(Default)]
struct Columns<'a> {
    tenants: Vec<String>,
    spaces: Vec<String>,
    keys: Vec<String>,
    full_keys: Vec<Option<String>>,
    bytes: Vec<Option<&'a [u8]>>,
    versions: Vec<Option<i64>>,
}

impl<'a> Columns<'a> {
    fn push(&mut self, row: &'a StateWrite) {
        let key = text::key(row.key.as_str());
        self.tenants.push(stored(row.tenant.as_str()).into_owned());
        self.spaces.push(stored(row.space).into_owned());
        self.keys.push(key.key);
        self.full_keys.push(key.full);
        self.bytes.push(row.bytes.as_deref());
        self.versions.push(match row.expect {
            Expect::Version(version) => Some(signed(version)),
            Expect::Absent | Expect::Any => None,
        });
    }
}

/// Writes the rows in order; false if one does not have the version it expects.
pub(super) async fn write(
    connection: &mut PgConnection,
    tables: &Tables,
    mut rows: &[StateWrite],
) -> Result<bool, sqlx::Error> {
    while !rows.is_empty() {
        let (now, later) = rows.split_at(distinct(rows));
        for (kind, columns) in by_kind(now) {
            if !one(connection, tables, kind, columns).await? {
                return Ok(false);
            }
        }
        rows = later;
    }
    Ok(true)
}

/// How many rows from the beginning have different keys: their order does not matter.
fn distinct(rows: &[StateWrite]) -> usize {
    let mut seen: HashSet<(&TenantId, &str, &StateKey)> = HashSet::with_capacity(rows.len());
    rows.iter().take_while(|row| seen.insert((&row.tenant, row.space, &row.key))).count()
}

fn by_kind(rows: &[StateWrite]) -> BTreeMap<Kind, Columns<'_>> {
    let mut kinds: BTreeMap<Kind, Columns<'_>> = BTreeMap::new();
    for row in rows {
        kinds.entry(Kind::of(row)).or_default().push(row);
    }
    kinds
}

async fn one(
    connection: &mut PgConnection,
    tables: &Tables,
    kind: Kind,
    columns: Columns<'_>,
) -> Result<bool, sqlx::Error> {
    let expected = kind.expected(columns.keys.len());
    let query = sqlx::query(tables.sql(&kind.template())).bind(columns.tenants).bind(columns.spaces);
    let query = query.bind(columns.keys).bind(columns.full_keys).bind(columns.bytes).bind(columns.versions);
    let affected = query.execute(connection).await?.rows_affected();
    Ok(expected.is_none_or(|expected| affected == expected))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(name: &str) -> StateWrite {
        StateWrite::put(&TenantId::new("t"), "test", StateKey::new([name]), "")
    }

    #[test]
    fn a_row_written_twice_begins_another_statement() {
        assert_eq!(distinct(&[put("a"), put("b"), put("a"), put("c")]), 2);
        let elsewhere = StateWrite::put(&TenantId::new("u"), "test", StateKey::new(["a"]), "");
        assert_eq!(distinct(&[put("a"), elsewhere, put("b")]), 3);
    }

    #[test]
    fn rows_are_gathered_by_what_they_expect() {
        let kinds = by_kind_counts(&[put("a"), put("b").expecting(Expect::Version(3)), put("c")]);
        assert_eq!(kinds, [(Kind::Put, 2), (Kind::Replace, 1)]);
    }

    fn by_kind_counts(rows: &[StateWrite]) -> Vec<(Kind, usize)> {
        by_kind(rows).into_iter().map(|(kind, columns)| (kind, columns.keys.len())).collect()
    }
}
