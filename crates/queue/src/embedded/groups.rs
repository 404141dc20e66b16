//! What waits, in groups: those that wait for one destination since the same wake lie side by side in an index.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::schema::text;

/// Entries that wait for one destination since the same wake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Group {
    /// As the bytes it consists of.
    pub(super) destination: Vec<u8>,
    pub(super) wakes: i64,
    /// When the first of them is due.
    pub(super) due: i64,
}

/// The group behind this one, or the first.
pub(super) fn next_group(db: &Connection, behind: Option<(&[u8], i64)>) -> rusqlite::Result<Option<Group>> {
    let group = |row: &Row<'_>| Ok(Group { destination: row.get_ref(0)?.as_bytes()?.to_vec(), wakes: row.get(1)?, due: row.get(2)? });
    let (destination, wakes) = behind.unwrap_or((b"", i64::MIN));
    let later = db.prepare_cached(LATER_WAKE)?.query_row(params![text(destination), wakes], group).optional()?;
    match later {
        Some(later) => Ok(Some(later)),
        None => db.prepare_cached(NEXT_DESTINATION)?.query_row(params![text(destination)], group).optional(),
    }
}

/// The next group of this destination. Two statements and not one that compares both columns: that one would start at the first entry of the group
/// behind which it looks, and go through all of them.
const LATER_WAKE: &str = "SELECT destination, wakes, due FROM entry INDEXED BY entry_destination \
     WHERE state = 1 AND destination = ?1 AND wakes > ?2 ORDER BY wakes, due LIMIT 1";

/// The first group of the destination behind this one.
const NEXT_DESTINATION: &str = "SELECT destination, wakes, due FROM entry INDEXED BY entry_destination \
     WHERE state = 1 AND destination > ?1 ORDER BY destination, wakes, due LIMIT 1";

/// Adds the due time and the id of up to `limit` entries of a group that are due at `now` and free.
pub(super) fn due_of(
    db: &Connection,
    group: &Group,
    now: i64,
    limit: usize,
    is_free: impl Fn(i64) -> bool,
    found: &mut Vec<(i64, i64)>,
) -> rusqlite::Result<()> {
    let sql = "SELECT due, id FROM entry INDEXED BY entry_destination WHERE state = 1 AND destination = ?1 AND wakes = ?3 AND due <= ?2 \
               ORDER BY due";
    let mut select = db.prepare_cached(sql)?;
    let rows = select.query(params![text(&group.destination), now, group.wakes])?;
    take_free(rows, limit, is_free, found).map(drop)
}

/// Adds the due time and the id of up to `limit` free entries that have waited for a destination since before this wake; whether there are
/// any, free or not.
pub(super) fn woken_of(
    db: &Connection,
    destination: &[u8],
    wake: i64,
    limit: usize,
    is_free: impl Fn(i64) -> bool,
    found: &mut Vec<(i64, i64)>,
) -> rusqlite::Result<bool> {
    let sql = "SELECT due, id FROM entry INDEXED BY entry_destination WHERE state = 1 AND destination = ?1 AND wakes < ?2 \
               ORDER BY wakes, due";
    let mut select = db.prepare_cached(sql)?;
    let rows = select.query(params![text(destination), wake])?;
    take_free(rows, limit, is_free, found)
}

fn take_free(
    mut rows: rusqlite::Rows<'_>,
    limit: usize,
    is_free: impl Fn(i64) -> bool,
    found: &mut Vec<(i64, i64)>,
) -> rusqlite::Result<bool> {
    let (mut left, mut any) = (limit, false);
    while left > 0 {
        let Some(row) = rows.next()? else { break };
        any = true;
        let (due, id) = (row.get(0)?, row.get(1)?);
        if is_free(id) {
            found.push((due, id));
            left -= 1;
        }
    }
    Ok(any)
}

#[cfg(test)]
mod tests {
    use rusqlite::StatementStatus;

    use super::*;

    /// A table with what the index is over: five thousand entries for one destination, some for others, since some wakes.
    fn entries() -> Connection {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch(
            "CREATE TABLE entry (id INTEGER PRIMARY KEY, state INTEGER, destination TEXT, wakes INTEGER, due INTEGER, octets INTEGER) STRICT;
             CREATE INDEX entry_destination ON entry (destination, wakes, due, octets) WHERE state = 1;
             WITH RECURSIVE number (n) AS (VALUES (0) UNION ALL SELECT n + 1 FROM number WHERE n < 4999)
             INSERT INTO entry (state, destination, wakes, due, octets) SELECT 1, 'dead.example', 7, 9999 - n, 1 FROM number;
             INSERT INTO entry (state, destination, wakes, due, octets) VALUES
                 (1, 'a.example', 0, 5, 1), (1, 'a.example', 3, 4, 1), (1, 'a.example', 3, 2, 1), (2, 'b.example', 0, 1, 1),
                 (1, 'dead.example', 8, 6, 1), (1, 'e.example', 0, 3, 1);",
        )
        .unwrap();
        db
    }

    #[test]
    fn groups_come_one_after_the_other() {
        let db = entries();
        let (mut found, mut behind) = (Vec::new(), None::<Group>);
        while let Some(group) = next_group(&db, behind.as_ref().map(|group| (&group.destination[..], group.wakes))).unwrap() {
            found.push((String::from_utf8(group.destination.clone()).unwrap(), group.wakes, group.due));
            behind = Some(group);
        }
        let expected = [("a.example", 0, 5), ("a.example", 3, 2), ("dead.example", 7, 5000), ("dead.example", 8, 6), ("e.example", 0, 3)];
        assert_eq!(found, expected.map(|(destination, wakes, due)| (destination.to_owned(), wakes, due)));
    }

    /// A look past a million entries for a dead destination took most of a second.
    #[test]
    fn a_group_costs_the_same_whatever_its_size() {
        let db = entries();
        let steps = |sql: &str, values: &[&dyn rusqlite::ToSql]| {
            let mut select = db.prepare(sql).unwrap();
            let _ = select.query(values).unwrap().next().unwrap();
            select.get_status(StatementStatus::VmStep)
        };
        assert!(steps(LATER_WAKE, params![text(b"dead.example"), 7]) < 100);
        assert!(steps(LATER_WAKE, params![text(b"dead.example"), 8]) < 100);
        assert!(steps(NEXT_DESTINATION, params![text(b"dead.example")]) < 100);
        // The control: both columns compared at once.
        let both = "SELECT destination, wakes, due FROM entry INDEXED BY entry_destination \
             WHERE state = 1 AND (destination, wakes) > (?1, ?2) ORDER BY destination, wakes, due LIMIT 1";
        assert!(steps(both, params![text(b"dead.example"), 7]) > 5000);
    }
}
