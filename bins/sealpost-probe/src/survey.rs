//! `sealpost-probe survey`: what mail to many domains would meet.
//!
//! Each domain is tested as `test` does it. A host that many of them share is asked once.

mod list;
mod page;
mod progress;
mod results;
mod row;
mod standing;
mod summary;
mod table;

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use sealpost_types::Domain;
use tokio::task::JoinSet;

use self::list::List;
use self::progress::Progress;
use self::results::Results;
pub(crate) use self::results::rows_of;
pub(crate) use self::row::Row;
pub(crate) use self::standing::Standing;
use self::summary::Summary;
use crate::network::{Network, Opened, runtime};
use crate::ping::Outcome;
use crate::shown::line;
use crate::test::{Asked, Examiner, InClear, Known, Manners, Paint, Tester};

#[derive(Debug, Args)]
pub(crate) struct Survey {
    /// The domains: one a line, or the first column of a CSV; # begins a comment.
    #[arg(value_name = "FILE|-")]
    list: String,
    /// Domains at a time.
    #[arg(long, value_name = "NUMBER", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=2000))]
    concurrency: u16,
    /// Connections at a time to one address.
    #[arg(long, value_name = "NUMBER", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=100))]
    per_host: u16,
    /// Connections in a second to one address.
    #[arg(long, value_name = "NUMBER", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=1000))]
    rate: u16,
    /// Also ask hosts with TLS whether they take mail in clear.
    #[arg(long)]
    clear: bool,
    #[command(flatten)]
    asked: Asked,
    #[command(flatten)]
    network: Network,
    /// Keep each result here as it comes, as JSON lines.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Go on with what --output has.
    #[arg(long, requires = "output")]
    resume: bool,
    /// Go on, and test again what could not be tested.
    #[arg(long, requires = "output")]
    retry: bool,
    /// A page with pictures and a table.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// One JSON object a domain instead of text.
    #[arg(long, conflicts_with = "csv")]
    json: bool,
    /// One CSV row a domain instead of text.
    #[arg(long)]
    csv: bool,
    /// No domains, only the sum.
    #[arg(long, short, conflicts_with_all = ["json", "csv"])]
    quiet: bool,
}

pub(crate) fn survey(options: &Survey) -> Result<ExitCode, String> {
    let (level, from) = (options.asked.level()?, options.asked.from()?);
    let list = List::read(&options.list)?;
    for bad in &list.bad {
        eprintln!("{}:{}: {:?}: {}", options.list, bad.line, bad.found, bad.reason);
    }
    if list.domains.is_empty() {
        return Err(format!("{}: no domain in it", options.list));
    }
    let (results, before) = match &options.output {
        Some(path) if options.resume || options.retry => Results::resume(path).map(|(results, rows)| (Some(results), rows))?,
        Some(path) => (Some(Results::create(path)?), Vec::new()),
        None => (None, Vec::new()),
    };
    if let Some(path) = &options.report {
        page::begin(path)?;
    }
    let Opened { reach, anchors, time, config } = options.network.open(None)?;
    let examiner = Examiner {
        reach,
        time,
        in_clear: if options.clear { InClear::Always } else { InClear::WithoutTls },
        deep: false,
        manners: Manners::new(usize::from(options.per_host), Duration::from_secs(1) / u32::from(options.rate)),
        known: Known::default(),
    };
    runtime()?.block_on(async {
        let policy = options.asked.policy(&options.network, &config).await?;
        let tester = Arc::new(Tester::new(examiner, anchors, config, level, policy, from)?);
        Surveying::new(options, &list, results, before, &tester).run(tester).await
    })
}

/// A survey under way.
struct Surveying<'a> {
    options: &'a Survey,
    bad_lines: usize,
    waiting: std::vec::IntoIter<Domain>,
    results: Option<Results>,
    rows: Vec<Row>,
    untested: usize,
    progress: Progress,
    paint: Paint,
    /// Whether nobody reads standard output any more.
    broken: bool,
}

/// A domain that was tested.
struct Done {
    line: String,
    row: Row,
}

impl<'a> Surveying<'a> {
    /// What the results file has an answer of already is not asked again.
    fn new(options: &'a Survey, list: &List, results: Option<Results>, before: Vec<Row>, tester: &Tester) -> Self {
        let wanted: std::collections::HashMap<_, _> = list.domains.iter().map(|domain| (domain.as_str(), domain)).collect();
        // Of domains that are on the list no more nothing is told.
        let answer = |row: Row| wanted.get(row.domain.as_str()).and_then(|domain| row.answering(tester, domain));
        let is_kept = |row: &Row| !(options.retry && row.result == row::UNTESTED);
        let rows: Vec<_> = before.into_iter().filter_map(answer).filter(is_kept).collect();
        let known: std::collections::HashSet<_> = rows.iter().map(|row| row.domain.as_str()).collect();
        let waiting: Vec<_> = list.domains.iter().filter(|domain| !known.contains(domain.as_str())).cloned().collect();
        Self {
            options,
            bad_lines: list.bad.len(),
            progress: Progress::new(waiting.len()),
            waiting: waiting.into_iter(),
            results,
            rows,
            untested: 0,
            paint: Paint::new(std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none()),
            broken: false,
        }
    }

    async fn run(mut self, tester: Arc<Tester>) -> Result<ExitCode, String> {
        let (start, known) = (Instant::now(), self.rows.len());
        if self.options.csv {
            self.tell(&table::heading());
            // A table is the whole, also where a part was known before.
            let lines: Vec<_> = self.rows.iter().map(table::row).collect();
            lines.iter().for_each(|line| self.tell(line));
        }
        let mut tasks = JoinSet::new();
        let mut tick = tokio::time::interval(Duration::from_millis(250));
        loop {
            while tasks.len() < usize::from(self.options.concurrency) {
                let Some(domain) = self.waiting.next() else { break };
                let tester = Arc::clone(&tester);
                tasks.spawn(async move { tested(&tester, &domain).await });
            }
            tokio::select! {
                done = tasks.join_next() => match done {
                    Some(done) => self.add(done.map_err(|error| format!("a test broke off: {error}"))??)?,
                    None => break,
                },
                _ = tick.tick() => {}
            }
            self.progress.draw(self.rows.len().saturating_sub(known), self.untested);
        }
        self.progress.clear();
        if let Some(results) = self.results.take() {
            results.finish()?;
        }
        let summary = Summary::of(&self.rows);
        if let Some(path) = &self.options.report {
            page::write(path, &self.options.list, &self.rows, &summary)?;
        }
        self.finish(&summary, known, tester.asked_hosts(), start.elapsed());
        Ok(ExitCode::from(self.code()))
    }

    fn add(&mut self, done: Done) -> Result<(), String> {
        let Done { line, row } = done;
        if let Some(results) = &mut self.results {
            results.add(&line)?;
        }
        self.untested += usize::from(row.result == row::UNTESTED);
        if self.options.json {
            self.tell(&line);
        } else if self.options.csv {
            self.tell(&table::row(&row));
        } else if !self.options.quiet {
            self.tell(&self.text(&row));
        }
        self.rows.push(row);
        Ok(())
    }

    fn text(&self, row: &Row) -> String {
        let standing = row.standing();
        let padded = format!("{:<21}", standing.words());
        let why = row.why().map(|why| format!(" {}", why.chars().filter(|c| !c.is_control()).collect::<String>())).unwrap_or_default();
        format!("{:<32} {}{why}", row.domain, self.paint.of(standing.outcome(), &padded)).trim_end().to_owned()
    }

    /// A reader that has seen enough and closed the pipe is no failure: the results are kept all the same.
    fn tell(&mut self, line: &str) {
        if !self.broken {
            self.progress.clear();
            self.broken = writeln!(std::io::stdout(), "{line}").is_err();
        }
    }

    fn finish(&self, summary: &Summary, known: usize, hosts: usize, time: Duration) {
        if self.options.json || self.options.csv {
            return;
        }
        let tested = self.rows.len().saturating_sub(known);
        let before = if known > 0 { format!(", {known} were known before") } else { String::new() };
        line!("\n{tested} domains tested in {:.1} s, {hosts} hosts asked{before}", time.as_secs_f64());
        for (standing, count) in summary.standings() {
            line!("  {:<21} {count:>7}  {}", self.paint.of(standing.outcome(), &format!("{:<21}", standing.words())), standing.meaning());
        }
        if summary.count(Standing::Untested) > 0 && self.options.output.is_some() {
            line!("  --retry tests those again that could not be tested");
        }
        if self.bad_lines > 0 {
            line!("  lines that name no domain: {}", self.bad_lines);
        }
    }

    /// As of each test; a line that names no domain could not be tested.
    fn code(&self) -> u8 {
        let any = |word: &str| self.rows.iter().any(|row| row.result == word);
        let outcome = match (any(row::FAILS), any(row::UNTESTED) || self.bad_lines > 0) {
            (true, _) => Outcome::Fails,
            (false, true) => Outcome::Untested,
            (false, false) => Outcome::Passes,
        };
        outcome.code()
    }
}

async fn tested(tester: &Tester, domain: &Domain) -> Result<Done, String> {
    let line = tester.test(domain, None).await.to_json().to_string();
    // What is kept is what is told: rows are read from it.
    let row = Row::parse(line.as_bytes())?;
    Ok(Done { line, row })
}

pub(crate) const EXAMPLES: &str = "\
Examples:
  sealpost-probe survey domains.txt
  sealpost-probe survey partners.csv -o found.jsonl --report found.html
  sealpost-probe survey partners.csv -o found.jsonl --resume      after a break; --retry: again
  sealpost-probe survey - --csv --level verify < domains.txt > found.csv

Exit code 0: all pass at --level or the policy. 1: some do not. 2: of some nobody knows. 64: usage.";
