//! One question to the name servers, CNAMEs followed, and what DNSSEC says of each step of the answer.

use std::time::Duration;

use hickory_resolver::NameServerPool;
use hickory_resolver::net::dnssec::DnssecDnsHandle;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::xfer::FirstAnswer as _;
use hickory_resolver::net::{DnsError, DnsHandle as _, NetError, NoRecords, RetryDnsHandle};
use hickory_resolver::proto::dnssec::Proof;
use hickory_resolver::proto::op::{DnsRequestOptions, DnsResponse, Query, ResponseCode};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use sealpost_types::DnssecStatus;
use tokio::time::Instant;

use super::wildcard;

type Plain = RetryDnsHandle<NameServerPool<TokioRuntimeProvider>>;

/// Whom to ask, and who says what of an answer is proven.
#[derive(Clone)]
pub(super) enum Asker {
    /// Nobody does.
    Plain(Plain),
    /// The name server does, by its AD bit (RFC 6840 section 5.8).
    TrustAd(Plain),
    /// It is proven here.
    Validating(DnssecDnsHandle<Plain>),
}

/// What was found behind a name.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    /// The records of the kind that was asked for; nothing if there are none.
    pub(super) records: Vec<RData>,
    /// Whether the name, or one that it is an alias of, does not exist at all.
    pub(super) no_such_name: bool,
    /// What DNSSEC says of the whole: every CNAME on the way, and the records or that there are none.
    pub(super) dnssec: DnssecStatus,
    /// What it says of the first step alone: the first CNAME where the name is an alias.
    pub(super) first: DnssecStatus,
    /// The name at the end of the CNAMEs.
    pub(super) end: Name,
    /// Whether there were any.
    pub(super) is_alias: bool,
    /// Until when it may be used.
    pub(super) expires: Instant,
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Fault {
    /// The name servers were not reached, or did not answer.
    Net(NetError),
    /// They answered with a failure.
    Code(ResponseCode),
    /// They pointed elsewhere.
    Referral,
    /// What they say is not what DNSSEC proves.
    Bogus,
    /// It cannot be used.
    Unusable,
}

/// One response, with what DNSSEC says of its records.
struct Response {
    answers: Vec<(Record, DnssecStatus)>,
    /// What it says of there being nothing more.
    denial: DnssecStatus,
    /// Seconds for which there is nothing more.
    denial_ttl: u32,
    no_such_name: bool,
    is_referral: bool,
}

/// What a response leads to.
enum Followed {
    Done(Answer),
    /// It ends in a CNAME: its target is the next question.
    Further,
}

impl Answer {
    /// That there is nothing.
    pub(super) fn nothing(end: Name, expires: Instant) -> Self {
        let dnssec = DnssecStatus::Indeterminate;
        Self { records: Vec::new(), no_such_name: false, dnssec, first: dnssec, end, is_alias: false, expires }
    }
}

impl Response {
    /// What DNSSEC says of all answers together.
    fn status(&self) -> DnssecStatus {
        self.answers.iter().map(|(_, status)| *status).reduce(DnssecStatus::and).unwrap_or_default()
    }

    /// The answers of this name and kind.
    fn of(&self, name: &Name, kind: RecordType) -> impl Iterator<Item = &(Record, DnssecStatus)> {
        self.answers.iter().filter(move |(record, _)| record.record_type() == kind && record.name == *name)
    }
}

impl Asker {
    /// The records of one kind behind a name.
    pub(super) async fn find(&self, name: Name, kind: RecordType, now: Instant) -> Result<Answer, Fault> {
        let mut way = Way { end: name.clone(), status: DnssecStatus::Secure, first: None, ttl: LONGEST, steps: 0 };
        while way.steps < ALIASES {
            let response = match self.ask(way.end.clone(), kind).await {
                // The proof of a wildcard at the end of a CNAME is about another name than the one that was asked for, and
                // is not always found. Step by step it is.
                Err(Fault::Bogus) if matches!(self, Self::Validating(_)) => {
                    let alias = self.ask(way.end.clone(), RecordType::CNAME).await?;
                    if alias.of(&way.end, RecordType::CNAME).next().is_none() {
                        return Err(Fault::Bogus);
                    }
                    alias
                }
                other => other?,
            };
            if let Followed::Done(mut answer) = way.follow(&response, kind, now)? {
                // The AD bit speaks of all steps together (RFC 7672 section 2.2.2: ask for the CNAME by itself).
                if matches!(self, Self::TrustAd(_)) && answer.is_alias && !answer.first.is_secure() {
                    answer.first = self.ask(name, RecordType::CNAME).await?.status();
                }
                return Ok(answer);
            }
        }
        Err(Fault::Unusable)
    }

    async fn ask(&self, name: Name, kind: RecordType) -> Result<Response, Fault> {
        let mut options = DnsRequestOptions::default();
        options.edns_set_dnssec_ok = !matches!(self, Self::Plain(_));
        let query = Query::query(name.clone(), kind);
        let (answer, ad) = match self {
            Self::Plain(handle) => (handle.lookup(query, options).first_answer().await, DnssecStatus::Indeterminate),
            Self::TrustAd(handle) => {
                let answer = handle.lookup(query, options).first_answer().await;
                let proven = answer.as_ref().is_ok_and(|response| response.metadata.authentic_data);
                (answer, if proven { DnssecStatus::Secure } else { DnssecStatus::Insecure })
            }
            Self::Validating(handle) => return validated(&name, handle.lookup(query, options).first_answer().await),
        };
        match answer {
            Ok(response) => Ok(Response {
                denial: ad,
                denial_ttl: response.negative_ttl().unwrap_or_default(),
                no_such_name: response.response_code == ResponseCode::NXDomain,
                is_referral: false,
                answers: response.into_message().answers.into_iter().map(|record| (record, ad)).collect(),
            }),
            Err(NetError::Dns(DnsError::NoRecordsFound(none))) => nothing(none, ad),
            Err(error) => Err(fault(error)),
        }
    }
}

/// What the validation makes of a response.
fn validated(name: &Name, answer: Result<DnsResponse, NetError>) -> Result<Response, Fault> {
    let (response, denial, is_unproven) = match answer {
        Ok(response) => {
            let authorities = &response.authorities;
            let is_insecure = authorities.iter().all(|record| record.proof == Proof::Insecure);
            // A proof that some zone is unsigned says nothing of a name in another.
            let is_of_it = authorities.is_empty() || authorities.iter().any(|record| record.name.zone_of(name));
            let denial = match (is_insecure, is_of_it) {
                (false, _) => DnssecStatus::Secure,
                (true, true) => DnssecStatus::Insecure,
                (true, false) => DnssecStatus::Bogus,
            };
            // That no nearer name is there has to be proven of a wildcard, and by its own zone.
            if is_insecure && response.answers.iter().any(wildcard::is_expanded) {
                return Err(Fault::Bogus);
            }
            (response, denial, false)
        }
        // A denial that cannot be judged, such as one of too many iterations (RFC 9276).
        Err(NetError::Dns(DnsError::Nsec { response, proof: Proof::Insecure, .. })) => (*response, DnssecStatus::Insecure, true),
        Err(NetError::Dns(DnsError::Nsec { response, .. })) if wildcard::is_proven(&response) => (*response, DnssecStatus::Bogus, false),
        Err(NetError::Dns(DnsError::Nsec { .. })) => return Err(Fault::Bogus),
        Err(NetError::Dns(DnsError::NoRecordsFound(none))) => return nothing(none, DnssecStatus::Bogus),
        Err(error) => return Err(fault(error)),
    };
    let is_unproven = is_unproven || wildcard::may_hide_a_delegation(&response);
    let status = |record: &Record| match record.proof {
        Proof::Secure if is_unproven => DnssecStatus::Insecure,
        Proof::Secure => DnssecStatus::Secure,
        Proof::Insecure => DnssecStatus::Insecure,
        // What was asked for was looked at: only what was not is indeterminate.
        Proof::Bogus | Proof::Indeterminate => DnssecStatus::Bogus,
    };
    let has = |kind| response.authorities.iter().any(|record| record.record_type() == kind);
    Ok(Response {
        denial,
        denial_ttl: response.negative_ttl().unwrap_or_default(),
        no_such_name: response.response_code == ResponseCode::NXDomain,
        is_referral: response.response_code == ResponseCode::NoError && has(RecordType::NS) && !has(RecordType::SOA),
        answers: response.answers.iter().map(|record| (record.clone(), status(record))).collect(),
    })
}

fn nothing(none: NoRecords, denial: DnssecStatus) -> Result<Response, Fault> {
    match none.response_code {
        ResponseCode::NXDomain | ResponseCode::NoError => Ok(Response {
            answers: Vec::new(),
            denial,
            denial_ttl: none.negative_ttl.unwrap_or_default(),
            no_such_name: none.response_code == ResponseCode::NXDomain,
            is_referral: none.response_code == ResponseCode::NoError && none.ns.is_some() && none.soa.is_none(),
        }),
        code => Err(Fault::Code(code)),
    }
}

fn fault(error: NetError) -> Fault {
    match error {
        NetError::Dns(DnsError::ResponseCode(code)) => Fault::Code(code),
        NetError::Dns(DnsError::DnssecBogus) => Fault::Bogus,
        error @ (NetError::Timeout | NetError::Busy | NetError::Io(_) | NetError::NoConnections) => Fault::Net(error),
        error => {
            tracing::debug!(%error, "unusable answer");
            Fault::Unusable
        }
    }
}

/// The CNAMEs that were followed.
struct Way {
    end: Name,
    status: DnssecStatus,
    first: Option<DnssecStatus>,
    ttl: u32,
    steps: usize,
}

impl Way {
    /// Follows a response as far as it leads. Records of names that are not on the way are no answer, whatever put them there.
    fn follow(&mut self, response: &Response, kind: RecordType, now: Instant) -> Result<Followed, Fault> {
        let before = self.steps;
        // A circle, or a way too long, ends here.
        while self.steps < ALIASES {
            let here = |wanted| response.of(&self.end, wanted);
            let found: Vec<_> = here(kind).collect();
            if !found.is_empty() {
                for (record, status) in &found {
                    self.take(*status, record.ttl)?;
                }
                let records = found.iter().map(|(record, _)| record.data.clone()).collect();
                return Ok(Followed::Done(self.arrived(records, false, now)));
            }
            let alias = here(RecordType::CNAME).find_map(|(record, status)| match &record.data {
                RData::CNAME(target) => Some((target.0.clone(), *status, record.ttl)),
                _ => None,
            });
            let Some((target, status, ttl)) = alias else { break };
            self.take(status, ttl)?;
            self.end = target;
            self.steps += 1;
        }
        if self.steps > before {
            return Ok(Followed::Further);
        }
        if response.is_referral {
            return Err(Fault::Referral);
        }
        self.take(response.denial, response.denial_ttl.min(LONGEST_DENIAL))?;
        Ok(Followed::Done(self.arrived(Vec::new(), response.no_such_name, now)))
    }

    fn take(&mut self, status: DnssecStatus, ttl: u32) -> Result<(), Fault> {
        if status == DnssecStatus::Bogus {
            return Err(Fault::Bogus);
        }
        self.first.get_or_insert(status);
        self.status = self.status.and(status);
        self.ttl = self.ttl.min(ttl);
        Ok(())
    }

    fn arrived(&self, records: Vec<RData>, no_such_name: bool, now: Instant) -> Answer {
        Answer {
            records,
            no_such_name,
            dnssec: self.status,
            first: self.first.unwrap_or_default(),
            end: self.end.clone(),
            is_alias: self.steps > 0,
            expires: now + Duration::from_secs(self.ttl.into()),
        }
    }
}

/// CNAMEs that are followed.
const ALIASES: usize = 8;

/// Seconds that an answer is kept at most.
const LONGEST: u32 = 86_400;

/// Seconds that it is remembered at most that there is nothing.
const LONGEST_DENIAL: u32 = 3600;
