//! Commands on the entries of the policy.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::{ChangeArguments, Config, examples};

#[derive(Debug, Subcommand)]
pub(crate) enum Domains {
    /// List the entries.
    #[command(after_help = examples::DOMAINS_LIST)]
    List(ListPartners),
    /// Find entries by a part of their name or domains, a pattern, or a domain that they cover.
    #[command(after_help = examples::DOMAINS_SEARCH)]
    Search(Search),
    /// Show all that one entry says.
    #[command(after_help = examples::DOMAINS_SHOW)]
    Show(ShowPartner),
    /// Add an entry, if a STARTTLS ping of each domain passes.
    #[command(after_help = examples::DOMAINS_ADD)]
    Add(AddPartner),
    /// Change settings of an entry.
    #[command(after_help = examples::SET)]
    Set(SetPartner),
    /// Remove an entry, or domains from it.
    #[command(after_help = examples::DOMAINS_REMOVE)]
    Remove(RemovePartner),
    /// Ping the mail servers of an entry or of a domain, as the relay would use them.
    #[command(after_help = examples::DOMAINS_TEST)]
    Test(Test),
    /// Add the entries of a Postfix table, a CSV or another policy. Nobody is pinged.
    #[command(after_help = examples::IMPORT)]
    Import(Import),
    /// Write the entries as a Postfix table, a CSV or TOML.
    #[command(after_help = examples::EXPORT)]
    Export(Export),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Hosted {
    /// List the hosted domains.
    #[command(after_help = examples::HOSTED_LIST)]
    List(Listing),
    /// Find hosted domains by a part of their name or owner, a pattern, or a name that they cover.
    #[command(after_help = examples::HOSTED_SEARCH)]
    Search(Search),
    /// Show all that one of them says.
    #[command(after_help = examples::HOSTED_SHOW)]
    Show(Address),
    /// Add a hosted domain.
    #[command(after_help = examples::HOSTED_ADD)]
    Add(Add),
    /// Change settings of a hosted domain.
    #[command(after_help = examples::SET)]
    Set(Set),
    /// Remove a hosted domain.
    #[command(after_help = examples::HOSTED_REMOVE)]
    Remove(Remove),
    /// Ping the mail servers of a hosted domain, as the relay would use them.
    #[command(after_help = examples::HOSTED_TEST)]
    Test(Test),
    /// Add the hosted domains of another policy, or of a CSV.
    #[command(after_help = examples::HOSTED_IMPORT)]
    Import(ImportEntries),
    /// Write the hosted domains as a policy of their own, or as a CSV.
    #[command(after_help = examples::HOSTED_EXPORT)]
    Export(ExportEntries),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Owners {
    /// List the owners.
    #[command(after_help = examples::OWNERS_LIST)]
    List(Listing),
    /// Find owners by a part of their name or parent.
    #[command(after_help = examples::OWNERS_SEARCH)]
    Search(Search),
    /// Show all that one of them says.
    #[command(after_help = examples::OWNERS_SHOW)]
    Show(Address),
    /// Add an owner.
    #[command(after_help = examples::OWNERS_ADD)]
    Add(Add),
    /// Change settings of an owner.
    #[command(after_help = examples::OWNERS_SET)]
    Set(Set),
    /// Remove an owner.
    #[command(after_help = examples::OWNERS_REMOVE)]
    Remove(Remove),
    /// Add the owners of another policy.
    #[command(after_help = examples::OWNERS_IMPORT)]
    Import(ImportEntries),
    /// Write the owners as a policy of their own.
    #[command(after_help = examples::OWNERS_EXPORT)]
    Export(ExportEntries),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Lists {
    /// List the lists.
    #[command(after_help = examples::LISTS_LIST)]
    List(Listing),
    /// Find lists by a part of their name or entries, or a domain that an entry covers.
    #[command(after_help = examples::LISTS_SEARCH)]
    Search(Search),
    /// Show one list.
    #[command(after_help = examples::LISTS_SHOW)]
    Show(Address),
    /// Add a list.
    #[command(after_help = examples::LISTS_ADD)]
    Add(Add),
    /// Change settings of a list.
    #[command(after_help = examples::LISTS_SET)]
    Set(Set),
    /// Remove a list.
    #[command(after_help = examples::LISTS_REMOVE)]
    Remove(Remove),
    /// Add lines to a list.
    #[command(after_help = examples::LISTS_ADD_ENTRY)]
    AddEntry(ListEntries),
    /// Remove lines from a list.
    #[command(after_help = examples::LISTS_REMOVE_ENTRY)]
    RemoveEntry(ListEntries),
    /// Add the lists of another policy, or of a CSV.
    #[command(after_help = examples::LISTS_IMPORT)]
    Import(ImportEntries),
    /// Write the lists as a policy of their own, or as a CSV.
    #[command(after_help = examples::LISTS_EXPORT)]
    Export(ExportEntries),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Rules {
    /// List the rules in the order in which they run.
    #[command(after_help = examples::RULES_LIST)]
    List(Listing),
    /// Find rules by a part of their name.
    #[command(after_help = examples::RULES_SEARCH)]
    Search(Search),
    /// Show one rule.
    #[command(after_help = examples::RULES_SHOW)]
    Show(Address),
    /// Add a rule behind the last.
    #[command(after_help = examples::RULES_ADD)]
    Add(Add),
    /// Change settings of a rule.
    #[command(after_help = examples::RULES_SET)]
    Set(Set),
    /// Give a rule another place in the order.
    #[command(override_usage = "sealpost rules move <NAME> <PLACE> [OPTIONS]", after_help = examples::RULES_MOVE)]
    Move(MoveRule),
    /// Remove a rule.
    #[command(after_help = examples::RULES_REMOVE)]
    Remove(Remove),
    /// Add the rules of another policy.
    #[command(after_help = examples::RULES_IMPORT)]
    Import(ImportEntries),
    /// Write the rules as a policy of their own.
    #[command(after_help = examples::RULES_EXPORT)]
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
