//! `[tls]`: the relay's own certificate, whom it trusts, and what it accepts as a server.

use std::path::PathBuf;

use sealpost_cipher::{CipherChoice, CipherError, parse_tls13};
use sealpost_types::{CipherSet, CipherSuite, KexFloor, TlsVersion};
use serde::Deserialize;
use toml::Spanned;

use super::document::{Reader, Text};
use super::{Config, Identity};

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TlsTable {
    certificate: Option<Spanned<PathBuf>>,
    private_key: Option<Spanned<PathBuf>>,
    #[serde(default)]
    certificates: Vec<CertificateTable>,
    expiry_warning: Option<Text>,
    min_version: Option<Text>,
    min_group: Option<Text>,
    ciphers: Option<Text>,
    ciphers13: Option<Text>,
    trust_anchors: Option<PathBuf>,
    client_anchors: Option<PathBuf>,
    revocation_lists: Option<PathBuf>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CertificateTable {
    certificate: PathBuf,
    private_key: PathBuf,
}

impl Reader<'_, '_> {
    pub(super) fn tls(&mut self, table: TlsTable, config: &mut Config) {
        config.tls.identity = match (table.certificate, table.private_key) {
            (Some(certificate), Some(key)) => {
                Some(Identity::new(self.folder.join(certificate.into_inner()), self.folder.join(key.into_inner())))
            }
            (Some(certificate), None) => {
                self.problems.add(certificate.span(), "certificate without private_key; both or none are meant".to_owned());
                None
            }
            (None, Some(key)) => {
                self.problems.add(key.span(), "private_key without certificate; both or none are meant".to_owned());
                None
            }
            (None, None) => None,
        };
        let further = |table: CertificateTable| Identity::new(self.folder.join(table.certificate), self.folder.join(table.private_key));
        config.tls.further_identities = table.certificates.into_iter().map(further).collect();
        if config.tls.identity.is_none() && !config.tls.further_identities.is_empty() {
            config.tls.identity = Some(config.tls.further_identities.remove(0));
        }
        if let Some(span) = table.expiry_warning.as_ref().and_then(|text| self.span(text)) {
            config.tls.expiry_warning = span;
        }
        if let Some(word) = &table.min_version
            && let Some(version) = self.word(word, &[("1.2", TlsVersion::Tls1_2), ("1.3", TlsVersion::Tls1_3)])
        {
            config.tls.min_version = version;
        }
        if let Some(word) = &table.min_group {
            config.tls.min_group = self.parse(word, "\"x25519\" or \"post-quantum\" is meant").unwrap_or(KexFloor::Any);
        }
        self.ciphers(table.ciphers.as_ref(), table.ciphers13.as_ref(), config);
        config.tls.trust_anchors = table.trust_anchors.map(|path| self.folder.join(path));
        config.tls.revocation_lists = table.revocation_lists.map(|path| self.folder.join(path));
        config.tls.client_anchors = table.client_anchors.map(|path| self.folder.join(path));
    }

    /// `ciphers` is for TLS 1.2, and for TLS 1.3 where it speaks of it; `ciphers13` is for TLS 1.3.
    fn ciphers(&mut self, ciphers: Option<&Text>, ciphers13: Option<&Text>, config: &mut Config) {
        let choice = ciphers.and_then(|text| self.cipher_setting(text, CipherChoice::parse(text.get_ref())));
        let tls13 = ciphers13.and_then(|text| self.cipher_setting(text, parse_tls13(text.get_ref())));
        if let (Some(choice), Some(text)) = (&choice, ciphers13)
            && choice.speaks_of_tls13()
        {
            self.problems.add(text.span(), "ciphers names suites of TLS 1.3 already; name them here only".to_owned());
        }
        if ciphers.is_none() && ciphers13.is_none() {
            return;
        }
        let Ok(all) = CipherChoice::parse(EVERYTHING) else { return };
        let numbers = |choice: &CipherChoice, version| match version {
            TlsVersion::Tls1_3 => choice.tls13().iter().map(|suite| suite.number()).collect::<Vec<CipherSuite>>(),
            _ => choice.tls12().iter().map(|suite| suite.number()).collect(),
        };
        let own13 = choice.as_ref().filter(|choice| choice.speaks_of_tls13()).map(|choice| numbers(choice, TlsVersion::Tls1_3));
        let mut suites = tls13.or(own13).unwrap_or_else(|| numbers(&all, TlsVersion::Tls1_3));
        if suites.is_empty() && config.tls.min_version > TlsVersion::Tls1_2 {
            let span = ciphers.or(ciphers13).map(Spanned::span).unwrap_or_default();
            self.problems.add(span, "leaves no suite of TLS 1.3, and min_version = \"1.3\" leaves nothing else".to_owned());
        }
        suites.extend(numbers(choice.as_ref().unwrap_or(&all), TlsVersion::Tls1_2));
        config.tls.ciphers = Some(CipherSet::new(suites));
        config.tls.cipher_choice = choice;
    }

    fn cipher_setting<T>(&mut self, text: &Text, read: Result<T, CipherError>) -> Option<T> {
        read.map_err(|error| self.problems.add(text.span(), format!("{error}; {}", error.remedy()))).ok()
    }
}

/// The profile of everything that there is.
const EVERYTHING: &str = "compatible";
