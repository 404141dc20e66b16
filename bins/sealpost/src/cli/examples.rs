//! What the help of the commands on the entries of the policy ends with.

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

pub(super) const DOMAINS_LIST: &str = "\
Examples:
  sealpost domains list
  sealpost domains list --list partners.csv --json";

pub(super) const DOMAINS_SEARCH: &str = "\
Examples:
  sealpost domains search bank
  sealpost domains search '*.gov.example' --limit 20
  sealpost domains search mail.bank.example --json";

pub(super) const DOMAINS_SHOW: &str = "\
Examples:
  sealpost domains show Bank
  sealpost domains show far.example --list partners.csv";

pub(super) const DOMAINS_TEST: &str = "\
Examples:
  sealpost domains test Bank
  sealpost domains test new.example --json";

pub(super) const HOSTED_LIST: &str = "\
Examples:
  sealpost hosted list
  sealpost hosted list --json";

pub(super) const HOSTED_SEARCH: &str = "\
Examples:
  sealpost hosted search acme
  sealpost hosted search mail.acme.example";

pub(super) const HOSTED_SHOW: &str = "\
Examples:
  sealpost hosted show acme.example";

pub(super) const HOSTED_ADD: &str = "\
Examples:
  sealpost hosted add acme.example route=mail.acme.example:25 owner=acme
  sealpost hosted add acme.example submit=require servers=192.0.2.0/28";

pub(super) const HOSTED_REMOVE: &str = "\
Examples:
  sealpost hosted remove acme.example --dry-run";

pub(super) const HOSTED_TEST: &str = "\
Examples:
  sealpost hosted test acme.example
  sealpost hosted test acme.example --json";

pub(super) const HOSTED_IMPORT: &str = "\
Examples:
  sealpost hosted import domains.csv --format csv
  sealpost hosted import other-policy.toml --replace --dry-run";

pub(super) const HOSTED_EXPORT: &str = "\
Examples:
  sealpost hosted export --format csv > domains.csv
  sealpost hosted export > domains.toml";

pub(super) const OWNERS_LIST: &str = "\
Examples:
  sealpost owners list";

pub(super) const OWNERS_SEARCH: &str = "\
Examples:
  sealpost owners search acme";

pub(super) const OWNERS_SHOW: &str = "\
Examples:
  sealpost owners show acme";

pub(super) const OWNERS_ADD: &str = "\
Examples:
  sealpost owners add acme deliver=require
  sealpost owners add acme-berlin parent=acme";

pub(super) const OWNERS_REMOVE: &str = "\
Examples:
  sealpost owners remove acme-berlin";

pub(super) const OWNERS_IMPORT: &str = "\
Examples:
  sealpost owners import other-policy.toml --replace";

pub(super) const OWNERS_EXPORT: &str = "\
Examples:
  sealpost owners export > owners.toml";

pub(super) const LISTS_LIST: &str = "\
Examples:
  sealpost lists list";

pub(super) const LISTS_SEARCH: &str = "\
Examples:
  sealpost lists search clinic.example";

pub(super) const LISTS_SHOW: &str = "\
Examples:
  sealpost lists show tls-domains";

pub(super) const LISTS_ADD: &str = "\
Examples:
  sealpost lists add tls-domains entries='clinic.example *.gov.example'";

pub(super) const LISTS_SET: &str = "\
Examples:
  sealpost lists set tls-domains entries='clinic.example law.example'";

pub(super) const LISTS_REMOVE: &str = "\
Examples:
  sealpost lists remove tls-domains";

pub(super) const LISTS_ADD_ENTRY: &str = "\
Examples:
  sealpost lists add-entry tls-domains law.example '*.court.example'";

pub(super) const LISTS_REMOVE_ENTRY: &str = "\
Examples:
  sealpost lists remove-entry tls-domains clinic.example";

pub(super) const LISTS_IMPORT: &str = "\
Examples:
  sealpost lists import lists.csv --format csv
  sealpost lists import other-policy.toml --replace";

pub(super) const LISTS_EXPORT: &str = "\
Examples:
  sealpost lists export --format csv > lists.csv";

pub(super) const RULES_LIST: &str = "\
Examples:
  sealpost rules list";

pub(super) const RULES_SEARCH: &str = "\
Examples:
  sealpost rules search enforced";

pub(super) const RULES_SHOW: &str = "\
Examples:
  sealpost rules show Enforced";

pub(super) const RULES_ADD: &str = "\
Examples:
  sealpost rules add Enforced when.recipient.matches=tls-domains then.add_header.X-TLSLevel=Require";

pub(super) const RULES_SET: &str = "\
Examples:
  sealpost rules set Enforced when.direction=outbound";

pub(super) const RULES_MOVE: &str = "\
Examples:
  sealpost rules move Enforced --up
  sealpost rules move Enforced --before 'Newsletters'";

pub(super) const RULES_REMOVE: &str = "\
Examples:
  sealpost rules remove Enforced";

pub(super) const RULES_IMPORT: &str = "\
Examples:
  sealpost rules import other-policy.toml";

pub(super) const RULES_EXPORT: &str = "\
Examples:
  sealpost rules export > rules.toml";

pub(super) const OWNERS_SET: &str = "\
Examples:
  sealpost owners set acme deliver=verify
  sealpost owners set acme-berlin parent= --dry-run

Keys are those of policy.toml; a dot leads into a table; what is not named stays as it is.";
