//! The process that the relay runs in, as Linux tells of it. Elsewhere nothing is told.

use std::fs;

use super::page::Page;

pub(super) fn write(page: &mut Page) {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name of the program, in parentheses, may hold anything.
    let fields: Vec<u64> = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().map(|n| n.parse().unwrap_or(0)).collect();
    let field = |number: usize| number.checked_sub(FIRST).and_then(|index| fields.get(index)).copied();
    let ticks = rustix::param::clock_ticks_per_second() as f64;
    if let (Some(user), Some(system)) = (field(USER_TIME), field(SYSTEM_TIME)) {
        page.real("process_cpu_seconds_total", &[], (user + system) as f64 / ticks);
    }
    if let Some(threads) = field(THREADS) {
        page.whole("process_threads", &[], threads);
    }
    if let Some(pages) = field(RESIDENT_PAGES) {
        page.whole("process_resident_memory_bytes", &[], pages * rustix::param::page_size() as u64);
    }
    if let (Some(start), Some(boot)) = (field(START_TIME), boot_time()) {
        page.real("process_start_time_seconds", &[], boot + start as f64 / ticks);
    }
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        page.whole("process_open_fds", &[], open.count() as u64);
    }
    if let Some(limit) = rustix::process::getrlimit(rustix::process::Resource::Nofile).current {
        page.whole("process_max_fds", &[], limit);
    }
}

/// Seconds since 1970.
fn boot_time() -> Option<f64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

/// Fields of /proc/self/stat, counted as proc_pid_stat(5) does; behind the name comes the third.
const FIRST: usize = 3;
const USER_TIME: usize = 14;
const SYSTEM_TIME: usize = 15;
const THREADS: usize = 20;
const START_TIME: usize = 22;
const RESIDENT_PAGES: usize = 24;
