//! Commands on the entries of the policy.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::{ChangeArguments, Config};

#[derive(Debug, Subcommand)]
pub(crate) enum Domains {
    /// List the entries.
    List(ListPartners),
    /// Find entries by a part of their name or domains, a pattern, or a domain that they cover.
    Search(Search),
    /// Show all that one entry says.
    Show(ShowPartner),
    /// Add an entry, if a STARTTLS ping of each domain passes.
    #[command(after_help = DOMAINS_ADD)]
    Add(AddPartner),
    /// Change settings of an entry.
    #[command(after_help = SET)]
    Set(SetPartner),
    /// Remove an entry, or domains from it.
    #[command(after_help = DOMAINS_REMOVE)]
    Remove(RemovePartner),
    /// Ping the mail servers of an entry or of a domain, as the relay would use them.
    Test(Test),
    /// Add the entries of a Postfix table, a CSV or another policy. Nobody is pinged.
    #[command(after_help = IMPORT)]
    Import(Import),
    /// Write the entries as a Postfix table, a CSV or TOML.
    #[command(after_help = EXPORT)]
    Export(Export),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Hosted {
    /// List the hosted domains.
    List(Listing),
    /// Find hosted domains by a part of their name or owner, a pattern, or a name that they cover.
    Search(Search),
    /// Show all that one of them says.
    Show(Address),
    /// Add a hosted domain.
    Add(Add),
    /// Change settings of a hosted domain.
    #[command(after_help = SET)]
    Set(Set),
    /// Remove a hosted domain.
    Remove(Remove),
    /// Ping the mail servers of a hosted domain, as the relay would use them.
    Test(Test),
    /// Add the hosted domains of another policy, or of a CSV.
    Import(ImportEntries),
    /// Write the hosted domains as a policy of their own, or as a CSV.
    Export(ExportEntries),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Owners {
    /// List the owners.
    List(Listing),
    /// Find owners by a part of their name or parent.
    Search(Search),
    /// Show all that one of them says.
    Show(Address),
    /// Add an owner.
    Add(Add),
    /// Change settings of an owner.
    #[command(after_help = SET)]
    Set(Set),
    /// Remove an owner.
    Remove(Remove),
    /// Add the owners of another policy.
    Import(ImportEntries),
    /// Write the owners as a policy of their own.
    Export(ExportEntries),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Lists {
    /// List the lists.
    List(Listing),
    /// Find lists by a part of their name or entries, or a domain that an entry covers.
    Search(Search),
    /// Show one list.
    Show(Address),
    /// Add a list.
    Add(Add),
    /// Change settings of a list.
    Set(Set),
    /// Remove a list.
    Remove(Remove),
    /// Add lines to a list.
    AddEntry(ListEntries),
    /// Remove lines from a list.
    RemoveEntry(ListEntries),
    /// Add the lists of another policy, or of a CSV.
    Import(ImportEntries),
    /// Write the lists as a policy of their own, or as a CSV.
    Export(ExportEntries),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Rules {
    /// List the rules in the order in which they run.
    List(Listing),
    /// Find rules by a part of their name.
    Search(Search),
    /// Show one rule.
    Show(Address),
    /// Add a rule behind the last.
    Add(Add),
    /// Change settings of a rule.
    Set(Set),
    /// Give a rule another place in the order.
    #[command(override_usage = "sealpost rules move <NAME> <PLACE> [OPTIONS]")]
    Move(MoveRule),
    /// Remove a rule.
    Remove(Remove),
    /// Add the rules of another policy.
    Import(ImportEntries),
    /// Write the rules as a policy of their own.
    Export(ExportEntries),
}

#[derive(Debug, Args)]
pub(crate) struct Listing {
    #[command(flatten)]
    pub(crate) config: Config,
    /// One JSON array instead of a table.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ListPartners {
    #[command(flatten)]
    pub(crate) listing: Listing,
    #[command(flatten)]
    pub(crate) rows: InList,
}

/// Entries of the policy itself, or of a list that it includes.
#[derive(Debug, Args)]
pub(crate) struct InList {
    /// Only the rows of this included list.
    #[arg(long, value_name = "FILE")]
    pub(crate) list: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ShowPartner {
    #[command(flatten)]
    pub(crate) address: Address,
    #[command(flatten)]
    pub(crate) rows: InList,
}

#[derive(Debug, Args)]
pub(crate) struct SetPartner {
    #[command(flatten)]
    pub(crate) set: Set,
    #[command(flatten)]
    pub(crate) rows: InList,
}

#[derive(Debug, Args)]
pub(crate) struct Search {
    #[command(flatten)]
    pub(crate) config: Config,
    /// What is looked for: `bank`, `*.gov.example`, `mail.bank.example`.
    pub(crate) text: String,
    /// At most this many entries.
    #[arg(long, value_name = "COUNT", default_value_t = 100)]
    pub(crate) limit: usize,
    /// One JSON array instead of a table.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Address {
    #[command(flatten)]
    pub(crate) config: Config,
    /// Its name; without one its first domain.
    pub(crate) name: String,
    /// One JSON object instead of text.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct AddPartner {
    #[command(flatten)]
    pub(crate) config: Config,
    /// The domains, and settings as KEY=VALUE.
    #[arg(value_name = "DOMAIN|KEY=VALUE", required = true)]
    pub(crate) items: Vec<String>,
    /// What to call the entry.
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Add the domains to this entry, instead of a new one.
    #[arg(long, value_name = "NAME", conflicts_with = "name")]
    pub(crate) to: Option<String>,
    /// Add a row to this included list; settings are its columns.
    #[arg(long, value_name = "FILE", conflicts_with = "to")]
    pub(crate) list: Option<String>,
    /// Add it even if a ping fails, and warn.
    #[arg(long)]
    pub(crate) even_if_unreachable: bool,
    #[command(flatten)]
    pub(crate) change: ChangeArguments,
}

#[derive(Debug, Args)]
pub(crate) struct RemovePartner {
    #[command(flatten)]
    pub(crate) config: Config,
    /// The entry; with --from the domains to take out of it.
    #[arg(value_name = "NAME|DOMAIN", required = true)]
    pub(crate) items: Vec<String>,
    /// Take the domains out of this entry, which stays.
    #[arg(long, value_name = "NAME")]
    pub(crate) from: Option<String>,
    #[command(flatten)]
    pub(crate) rows: InList,
    #[command(flatten)]
    pub(crate) change: ChangeArguments,
}

#[derive(Debug, Args)]
pub(crate) struct Test {
    #[command(flatten)]
    pub(crate) config: Config,
    /// An entry, or any domain.
    #[arg(value_name = "NAME|DOMAIN")]
    pub(crate) name: String,
    /// One JSON array instead of text.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Csv,
    Postfix,
    Toml,
}

/// The formats of what only this product has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum EntryFormat {
    Csv,
    Toml,
}

#[derive(Debug, Args)]
pub(crate) struct Import {
    #[command(flatten)]
    pub(crate) config: Config,
    /// The file; `-` is standard input.
    pub(crate) file: PathBuf,
    /// What it is: csv, postfix or toml.
    #[arg(long, value_enum, hide_possible_values = true)]
    pub(crate) format: Format,
    /// Entries that are there already and say something else are replaced.
    #[arg(long)]
    pub(crate) replace: bool,
    /// Leave out what cannot be taken, instead of importing nothing.
    #[arg(long)]
    pub(crate) partly: bool,
    /// For rows of a CSV that say nothing of mail that comes in.
    #[arg(long, value_name = "LEVEL")]
    pub(crate) receive: Option<String>,
    /// For rows of a CSV that say nothing of mail that is sent on.
    #[arg(long, value_name = "LEVEL")]
    pub(crate) deliver: Option<String>,
    /// The fingerprints of a Postfix table are SHA-256 digests of public keys.
    #[arg(long)]
    pub(crate) sha256_of_keys: bool,
    #[command(flatten)]
    pub(crate) change: ChangeArguments,
}

#[derive(Debug, Args)]
pub(crate) struct ImportEntries {
    #[command(flatten)]
    pub(crate) config: Config,
    /// A policy in TOML, of which only these entries are taken, or a CSV; `-` is standard input.
    pub(crate) file: PathBuf,
    /// What it is: toml, or for hosted domains and lists csv.
    #[arg(long, value_enum, hide_possible_values = true, default_value = "toml")]
    pub(crate) format: EntryFormat,
    /// Entries that are there already and say something else are replaced.
    #[arg(long)]
    pub(crate) replace: bool,
    #[command(flatten)]
    pub(crate) change: ChangeArguments,
}

#[derive(Debug, Args)]
pub(crate) struct ExportEntries {
    #[command(flatten)]
    pub(crate) config: Config,
    /// What to write: toml, or for hosted domains and lists csv.
    #[arg(long, value_enum, hide_possible_values = true, default_value = "toml")]
    pub(crate) format: EntryFormat,
}

#[derive(Debug, Args)]
pub(crate) struct Export {
    #[command(flatten)]
    pub(crate) config: Config,
    /// What to write: csv, postfix or toml.
    #[arg(long, value_enum, hide_possible_values = true)]
    pub(crate) format: Format,
}

#[derive(Debug, Args)]
pub(crate) struct Add {
    #[command(flatten)]
    pub(crate) config: Config,
    /// Its name.
    pub(crate) name: String,
    /// Its settings.
    #[arg(value_name = "KEY=VALUE")]
    pub(crate) settings: Vec<String>,
    #[command(flatten)]
    pub(crate) change: ChangeArguments,
}

#[derive(Debug, Args)]
pub(crate) struct Set {
    #[command(flatten)]
    pub(crate) config: Config,
    /// Its name; without one its first domain.
    pub(crate) name: String,
    /// What changes; `KEY=` removes the key.
    #[arg(value_name = "KEY=VALUE", required = true)]
    pub(crate) settings: Vec<String>,
    #[command(flatten)]
    pub(crate) change: ChangeArguments,
}

#[derive(Debug, Args)]
pub(crate) struct Remove {
    #[command(flatten)]
    pub(crate) config: Config,
    /// Their names.
    #[arg(value_name = "NAME", required = true)]
    pub(crate) names: Vec<String>,
    #[command(flatten)]
    pub(crate) change: ChangeArguments,
}

#[derive(Debug, Args)]
pub(crate) struct ListEntries {
    #[command(flatten)]
    pub(crate) config: Config,
    /// The list.
    pub(crate) list: String,
    /// Domains or addresses.
    #[arg(required = true)]
    pub(crate) entries: Vec<String>,
    #[command(flatten)]
    pub(crate) change: ChangeArguments,
}

#[derive(Debug, Args)]
pub(crate) struct MoveRule {
    #[command(flatten)]
    pub(crate) config: Config,
    /// The rule.
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) place: RulePlace,
    #[command(flatten)]
    pub(crate) change: ChangeArguments,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct RulePlace {
    /// One place up.
    #[arg(long)]
    pub(crate) up: bool,
    /// One place down.
    #[arg(long)]
    pub(crate) down: bool,
    /// Before all others.
    #[arg(long)]
    pub(crate) first: bool,
    /// Behind all others.
    #[arg(long)]
    pub(crate) last: bool,
    /// To this place, from 1.
    #[arg(long, value_name = "PLACE")]
    pub(crate) to: Option<usize>,
    /// Right before this rule.
    #[arg(long, value_name = "RULE")]
    pub(crate) before: Option<String>,
    /// Right behind this rule.
    #[arg(long, value_name = "RULE")]
    pub(crate) after: Option<String>,
}

pub(super) const DOMAINS: &str = "\
Examples:
  sealpost domains add bank.example                     TLS or nothing, both ways
  sealpost domains add bank.example --name Bank deliver=verify
  sealpost domains search bank
  sealpost domains set Bank mode=testing until=2027-01-31
  sealpost domains test Bank

A running relay obeys at once; without one the file of --config is changed.";

pub(super) const DOMAINS_ADD: &str = "\
Examples:
  sealpost domains add bank.example bank.test --name Bank
  sealpost domains add '*.gov.example' receive=require deliver=verify
  sealpost domains add clinic.example deliver.level=verify deliver.names=mx.host.example
  sealpost domains add bank.shop.example --to Bank
  sealpost domains add bank.example deliver=verify --list partners.csv

Without receive= and deliver= both are `require`. Keys are those of [[partner]] in policy.toml.
A row of a list says what its columns say, and its [[include]] the rest.
Exit code 0: added. 1: not so, a ping failed or it is wrong. 2: a domain could not be tested now.";

pub(super) const DOMAINS_REMOVE: &str = "\
Examples:
  sealpost domains remove Bank
  sealpost domains remove bank.test --from Bank --dry-run
  sealpost domains remove far.example        a row of an included list, if it stands in no entry

--list says which list, where several have that domain.";

pub(super) const IMPORT: &str = "\
Examples:
  sealpost domains import partners.csv --format csv --receive require --deliver require --dry-run
  sealpost domains import /etc/postfix/tls_policy --format postfix
  sealpost domains import old-policy.toml --format toml --replace

Entries that are there and say the same are passed over. What does not mean quite the same here is
warned about; what cannot be as strict here is refused, and nothing is imported without --partly.
Very many domains belong into a list of their own: [[include]] in policy.toml.";

pub(super) const EXPORT: &str = "\
Examples:
  sealpost domains export --format csv          > partners.csv
  sealpost domains export --format postfix      > /etc/postfix/tls_policy

Exit code 0: all is written. 1: what would not be as strict there is left out, stderr says what.";

pub(super) const SET: &str = "\
Examples:
  sealpost domains set Bank deliver=verify until=2027-01-31
  sealpost domains set Bank deliver.names='mx.host.example, *.mail.example' until=
  sealpost hosted set acme.example deliver.level=verify deliver.match=mx --dry-run

Keys are those of policy.toml; a dot leads into a table; what is not named stays as it is.
Of a row of an included list they are its columns.";

pub(super) const HOSTED: &str = "\
Examples:
  sealpost hosted add acme.example route=mail.acme.example:25 owner=acme
  sealpost hosted test acme.example
  sealpost hosted set acme.example deliver=verify --apply-to-queue
  sealpost hosted export --format csv > domains.csv";

pub(super) const OWNERS: &str = "\
Examples:
  sealpost owners add acme deliver=require
  sealpost owners add acme-berlin parent=acme";

pub(super) const LISTS: &str = "\
Examples:
  sealpost lists add tls-domains entries='clinic.example *.gov.example'
  sealpost lists add-entry tls-domains law.example
  sealpost lists remove-entry tls-domains clinic.example";

pub(super) const RULES: &str = "\
Examples:
  sealpost rules add Enforced when.recipient.matches=tls-domains then.add_header.X-TLSLevel=Require
  sealpost rules move Enforced --up
  sealpost rules list";
