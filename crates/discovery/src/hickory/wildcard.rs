//! Whether an answer that a wildcard was expanded to is proven: that no nearer name stands in its way.
//!
//! hickory's validation (0.26.3) wants to see a proof that the wildcard itself is not there where NSEC records are used, and
//! calls answers bogus whose proof begins at the wildcard, as most do. This looks again at what it rejected, and at nothing else.

use hickory_resolver::proto::dnssec::Proof;
use hickory_resolver::proto::dnssec::rdata::{DNSSECRData, NSEC, RRSIG};
use hickory_resolver::proto::op::DnsResponse;
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};

/// Whether every wildcard that was expanded in a response is proven by a secure NSEC record of the same zone.
///
/// # Wire
/// RFC 4035 section 5.3.4, RFC 6840 section 4.1.
pub(super) fn is_proven(response: &DnsResponse) -> bool {
    let mut expanded = response.answers.iter().filter_map(expansion).peekable();
    expanded.peek().is_some() && expanded.all(|(name, signature)| response.authorities.iter().any(|record| denies(record, name, signature)))
}

/// Whether a wildcard was expanded where a delegation that nobody signed may be: the proof has the opt-out bit, and then the answer is
/// not secure.
///
/// # Wire
/// RFC 5155 section 9.2.
pub(super) fn may_hide_a_delegation(response: &DnsResponse) -> bool {
    let opts_out = |record: &Record| matches!(&record.data, RData::DNSSEC(DNSSECRData::NSEC3(nsec3)) if nsec3.opt_out());
    response.answers.iter().any(is_expanded) && response.authorities.iter().any(opts_out)
}

/// Whether it is the signature of a record that a wildcard was expanded to.
pub(super) fn is_expanded(record: &Record) -> bool {
    expansion(record).is_some()
}

/// The name that a wildcard was expanded to, and the signature that shows it.
fn expansion(record: &Record) -> Option<(&Name, &RRSIG)> {
    match &record.data {
        RData::DNSSEC(DNSSECRData::RRSIG(signature)) if record.proof == Proof::Secure => {
            (signature.input().num_labels < record.name.num_labels()).then_some((&record.name, signature))
        }
        _ => None,
    }
}

/// Whether this record shows that `name` is not there, and that nothing is between it and the wildcard.
fn denies(record: &Record, name: &Name, signature: &RRSIG) -> bool {
    let RData::DNSSEC(DNSSECRData::NSEC(nsec)) = &record.data else { return false };
    let input = signature.input();
    let (owner, next) = (&record.name, nsec.next_domain_name());
    let zone = &input.signer_name;
    // The nearest name that is there, as this record shows it: it has to be the one that the wildcard stands below.
    let encloser = common_labels(name, owner).max(common_labels(name, next));
    record.proof == Proof::Secure
        && zone.zone_of(owner)
        && zone.zone_of(next)
        && covers(owner, next, name)
        && encloser == input.num_labels
        && !is_cut_above(owner, nsec, name)
}

/// Whether a name lies in the gap; the last gap of a zone goes round to its start.
fn covers(owner: &Name, next: &Name, name: &Name) -> bool {
    if owner < next { owner < name && name < next } else { owner < name || name < next }
}

/// Whether the gap's owner is a delegation or a DNAME above the name: then it says nothing of what lies below.
fn is_cut_above(owner: &Name, nsec: &NSEC, name: &Name) -> bool {
    let types = nsec.type_set();
    let is_cut = types.contains(RecordType::NS) && !types.contains(RecordType::SOA);
    owner.zone_of(name) && (is_cut || types.contains(RecordType::Unknown(DNAME)))
}

fn common_labels(one: &Name, other: &Name) -> u8 {
    let mut common = one.clone();
    while !common.zone_of(other) {
        common = common.base_name();
    }
    common.num_labels()
}

/// The type DNAME, which hickory has no name for.
const DNAME: u16 = 39;

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::from_ascii(text).unwrap()
    }

    fn nsec(owner: &str, next: &str, types: &[RecordType]) -> Record {
        let data = NSEC::new(name(next), types.iter().copied());
        let mut record = Record::from_rdata(name(owner), 60, RData::DNSSEC(DNSSECRData::NSEC(data)));
        record.proof = Proof::Secure;
        record
    }

    /// Names are compared in the order of RFC 4034 section 6.1: from the right, label by label.
    #[test]
    fn gaps_are_those_of_the_canonical_order() {
        for (owner, next, inside, outside) in [
            ("*.w.example.", "b.example.", "a.w.example.", "c.example."),
            ("z.example.", "example.", "zz.example.", "y.example."),
            ("a.example.", "c.example.", "x.b.example.", "c.example."),
        ] {
            assert!(covers(&name(owner), &name(next), &name(inside)), "{owner} {next} {inside}");
            assert!(!covers(&name(owner), &name(next), &name(outside)), "{owner} {next} {outside}");
            assert!(!covers(&name(owner), &name(next), &name(owner)));
        }
        assert_eq!(common_labels(&name("a.b.example."), &name("*.b.example.")), 2);
        assert_eq!(common_labels(&name("a.b.example."), &name("b.test.")), 0);
    }

    #[test]
    fn a_delegation_says_nothing_of_what_lies_below() {
        let data = |record: &Record| match &record.data {
            RData::DNSSEC(DNSSECRData::NSEC(nsec)) => nsec.clone(),
            _ => unreachable!(),
        };
        let below = name("x.sub.example.");
        let cut = nsec("sub.example.", "t.example.", &[RecordType::NS]);
        assert!(is_cut_above(&cut.name, &data(&cut), &below));
        let apex = nsec("sub.example.", "t.example.", &[RecordType::NS, RecordType::SOA]);
        assert!(!is_cut_above(&apex.name, &data(&apex), &below));
        assert!(!is_cut_above(&name("r.example."), &data(&cut), &below), "beside it");
    }
}
