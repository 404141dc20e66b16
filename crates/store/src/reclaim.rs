//! Pages that nothing needs any more are given back to the system, a few at a time.

use std::time::Duration;

use rusqlite::Connection;

/// Gives some pages back if there are many free ones; whether there are still.
pub(crate) fn some(db: &Connection) -> rusqlite::Result<bool> {
    let number = |pragma| db.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
    let free = number("freelist_count")?;
    // What comes and goes is used again; only what a large backlog left behind is given back.
    let kept = (number("page_count")? / 4).max(KEPT_OCTETS / number("page_size")?.max(1));
    if free <= kept {
        return Ok(false);
    }
    let mut vacuum = db.prepare_cached("PRAGMA incremental_vacuum(256)")?;
    let mut rows = vacuum.query([])?;
    while rows.next()?.is_some() {}
    Ok(true)
}

/// How long nothing must have been written.
pub(crate) const IDLE: Duration = Duration::from_secs(1);

/// How long to wait for something to be written before more is given back.
pub(crate) const PAUSE: Duration = Duration::from_millis(5);

/// Octets of free pages that stay.
const KEPT_OCTETS: i64 = 16 << 20;
