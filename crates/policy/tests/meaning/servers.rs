//! A hosted domain's own servers, `submit`, and clients of partners.

use sealpost_policy::{ClientCertificate, ClientFacts, ReceiveFacts};

use crate::support::{at, domain, from, in_clear, policy, received, stranger, to};

const ACME: &str = r#"
[[domain]]
name = "acme.example"
servers = ["192.0.2.0/28", "2001:db8::/32", "cert:out.acme.example", "auth:acme-out"]
submit = "require"
"#;

fn holder(is_trusted: bool, name: &str) -> ClientCertificate {
    ClientCertificate::new(is_trusted, vec![domain(name)], None)
}

// req: B5
#[test]
fn a_hosted_domains_own_servers_hand_mail_over_by_tls_or_not_at_all() {
    let policy = policy(ACME);
    let refusal = "530 5.7.0 Mail from acme.example is accepted over TLS only, use STARTTLS (domain \"acme.example\")";
    for address in ["192.0.2.1", "192.0.2.15", "::ffff:192.0.2.7", "2001:db8:1::1"] {
        assert_eq!(in_clear(&policy, at(address), "ann@acme.example", None), refusal, "{address}");
        assert!(in_clear(&policy, at(address), "ann@acme.example", Some("bob@shop.example")).starts_with("550 5.7.10 "));
    }
    for address in ["192.0.2.16", "203.0.113.9", "2001:db9::1"] {
        assert_eq!(in_clear(&policy, at(address), "ann@acme.example", None), "accept", "{address} is no server of theirs");
    }
}

// req: B5
#[test]
fn they_are_known_by_certificate_and_login_too() {
    let policy = policy(ACME);
    let (good, self_signed, other) =
        (holder(true, "out.acme.example"), holder(false, "out.acme.example"), holder(true, "out.evil.example"));
    let refused = |change: &dyn Fn(&mut ClientFacts<'_>)| {
        let mut client = stranger();
        change(&mut client);
        in_clear(&policy, client, "ann@acme.example", None) != "accept"
    };
    let showing = |certificate: &'static ClientCertificate| move |client: &mut ClientFacts<'_>| client.certificate = Some(certificate);
    assert!(refused(&showing(Box::leak(Box::new(good)))));
    assert!(!refused(&showing(Box::leak(Box::new(self_signed)))), "anybody can write that name into a certificate");
    assert!(!refused(&showing(Box::leak(Box::new(other)))));
    assert!(refused(&|client| client.login = Some("acme-out")));
    assert!(!refused(&|client| client.login = Some("ACME-OUT")));
}

// req: B5
#[test]
fn it_holds_whatever_reverse_path_they_use() {
    let policy = policy(&format!("{ACME}[[partner]]\ndomains='bank.example'\nreceive='opportunistic'"));
    for sender in ["ann@acme.example", "bob@bank.example", "cat@[192.0.2.1]", ""] {
        assert!(in_clear(&policy, at("192.0.2.1"), sender, None).starts_with("530 "), "<{sender}>");
    }
}

// req: B5 B4
#[test]
fn submit_falls_through_to_the_entries_around_and_the_defaults() {
    let submit = |text: &str| in_clear(&policy(text), at("192.0.2.1"), "ann@mail.acme.example", None);
    let own = "[[domain]]\nname='mail.acme.example'\nservers='192.0.2.1'\n";
    assert_eq!(submit(own), "accept");
    assert!(submit(&format!("{own}[[domain]]\nname='*.acme.example'\nsubmit='require'")).contains("(domain \"*.acme.example\")"));
    assert!(submit(&format!("{own}[defaults.hosted]\nsubmit='require'")).contains("([defaults.hosted])"));
    assert_eq!(submit(&format!("{own}[defaults.hosted]\nreceive='require'")), "accept", "that is for mail to hosted domains");
    assert_eq!(submit(&format!("{own}submit='opportunistic'\n[defaults.hosted]\nsubmit='require'")), "accept");
    // The servers of a wildcard, and a wildcard around it.
    let wild = "[[domain]]\nname='*.mail.acme.example'\nservers='192.0.2.1'\n[[domain]]\nname='*.acme.example'\nsubmit='require'";
    assert!(submit(wild).contains("(domain \"*.acme.example\")"));
    let inner = "[[domain]]\nname='m*.acme.example'\nservers='192.0.2.1'\nsubmit='require'";
    assert!(submit(inner).contains("(domain \"m*.acme.example\")"));
}

// req: B5
#[test]
fn both_ends_ask_and_the_stricter_holds() {
    let policy = policy(&format!(
        "{ACME}[[domain]]\nname='other.example'\nreceive={{ level='require', min_version='1.3' }}\n[[domain]]\nname='lax.example'\nservers='192.0.2.200'"
    ));
    let strict = in_clear(&policy, at("192.0.2.200"), "ann@lax.example", Some("bob@other.example"));
    assert!(strict.contains("(domain \"other.example\")"), "{strict}");
    assert!(in_clear(&policy, at("192.0.2.1"), "ann@acme.example", Some("bob@lax.example")).contains("(domain \"acme.example\")"));
}

const CLOUD: &str = r#"
[[domain]]
name = "acme.example"
servers = "shared:198.51.100.0/24"
submit = "require"
[[domain]]
name = "zeta.example"
servers = "shared:198.51.100.0/24"
"#;

// req: B5
#[test]
fn a_shared_network_counts_together_with_the_senders_domain() {
    let policy = policy(CLOUD);
    assert!(in_clear(&policy, at("198.51.100.7"), "ann@acme.example", None).starts_with("530 "));
    assert_eq!(in_clear(&policy, at("198.51.100.7"), "ann@zeta.example", None), "accept");
    assert_eq!(in_clear(&policy, at("198.51.100.7"), "", None), "accept", "whose bounce it is nobody knows");
    assert_eq!(in_clear(&policy, at("203.0.113.9"), "ann@acme.example", None), "accept");
}

// req: B5
#[test]
fn a_shared_network_displaces_nobody_who_owns_a_part_of_it() {
    // The sender chooses the reverse-path: it must not choose a weaker entry with it.
    let policy = policy(
        "[[domain]]\nname='acme.example'\nservers='198.51.100.7'\nsubmit='require'\n[[domain]]\nname='zeta.example'\nservers='shared:198.51.100.0/24'",
    );
    assert!(in_clear(&policy, at("198.51.100.7"), "ann@zeta.example", None).starts_with("530 "));
    assert_eq!(in_clear(&policy, at("198.51.100.8"), "ann@zeta.example", None), "accept");
}

// req: B5
#[test]
fn of_several_domains_on_one_server_the_senders_counts_and_all_where_it_is_none_of_them() {
    let policy =
        policy("[[domain]]\nname='a.example'\nservers='192.0.2.1'\nsubmit='require'\n[[domain]]\nname='b.example'\nservers='192.0.2.0/24'");
    let reply = |sender: &str| in_clear(&policy, at("192.0.2.1"), sender, None);
    assert!(reply("ann@a.example").starts_with("530 "));
    assert_eq!(reply("bob@b.example"), "accept");
    for sender in ["cat@c.example", ""] {
        assert!(reply(sender).contains("(domain \"a.example\")"), "{sender}");
    }
}

// req: B5 F1
#[test]
fn a_server_that_is_named_twice_is_asked_for_once() {
    let policy = policy("[[domain]]\nname='acme.example'\nservers='192.0.2.1 192.0.2.0/24 auth:acme'\nsubmit='require'");
    let sender = from("ann@acme.example");
    let mut client = at("192.0.2.1");
    client.login = Some("acme");
    let (_, trace) = received(&policy, &ReceiveFacts::new(client.address, &sender).with_client(client));
    let asked = trace.steps.iter().filter(|step| step.source.name().as_deref() == Some("acme.example")).count();
    assert_eq!(asked, 1, "{trace}");
}

#[test]
fn who_may_relay_is_one_of_the_servers_and_no_sender_alone() {
    let policy = policy(&format!("{ACME}[[domain]]\nname='zeta.example'\nservers='shared:198.51.100.0/24'"));
    let may = |address: &str, sender: &str| policy.may_relay(&ReceiveFacts::new(address.parse().unwrap(), &from(sender)));
    assert!(may("192.0.2.1", "x@y.example") && may("192.0.2.1", ""));
    assert!(!may("203.0.113.9", "ann@acme.example"));
    assert!(may("198.51.100.7", "ann@zeta.example") && !may("198.51.100.7", "x@y.example") && !may("198.51.100.7", ""));
}

const BANK: &str = r#"
[[partner]]
name = "Bank"
domains = "bank.example"
clients = ["192.0.2.64/26", "cert:mail.bank.example"]
receive = "require"
"#;

// req: B10 A5
#[test]
fn a_partners_bounce_is_known_by_its_client() {
    let policy = policy(BANK);
    assert_eq!(in_clear(&policy, stranger(), "", None), "accept");
    assert_eq!(
        in_clear(&policy, at("192.0.2.65"), "", None),
        "530 5.7.0 This mail is accepted over TLS only, use STARTTLS (partner \"Bank\")"
    );
    assert_eq!(in_clear(&policy, at("192.0.2.65"), "cat@shop.example", None), "accept", "its clients are asked of for <> only");
    let mut named = stranger();
    let (own, below, other) = (domain("bank.example"), domain("mx.bank.example"), domain("shop.example"));
    for (name, expected) in [(&own, "530"), (&below, "530"), (&other, "acc")] {
        named.host_name = Some(name);
        assert_eq!(in_clear(&policy, named, "", None)[..3], *expected, "{name} by reverse DNS that leads back");
    }
    let certificate = holder(true, "mail.bank.example");
    let mut showing = stranger();
    showing.certificate = Some(&certificate);
    assert!(in_clear(&policy, showing, "", None).starts_with("530 "));
}

#[test]
fn everybody_else_is_covered_by_the_partner_of_all() {
    let policy = policy(&format!("{BANK}[[partner]]\ndomains='*'\nreceive='require'"));
    assert!(in_clear(&policy, stranger(), "", None).contains("(partner \"*\")"));
    let name = domain("shop.example");
    let mut named = at("192.0.2.65");
    named.host_name = Some(&name);
    assert!(in_clear(&policy, named, "", Some("ann@acme.example")).starts_with("550 "));
}

// req: D4 B10
#[test]
fn what_a_recipient_settles_is_not_refused_at_mail() {
    // At MAIL nobody knows whom the mail is for: only what holds for every recipient may refuse it.
    let policy = policy(
        r#"
[defaults.external]
receive = "require"
[[domain]]
name = "acme.example"
[[domain]]
name = "zeta.example"
[[partner]]
name = "Bank"
domains = "bank.example"
for = "acme.example"
receive = { level = "opportunistic", min_version = "1.3" }
[[partner]]
name = "Shop"
domains = "shop.example"
receive = { level = "opportunistic", recipients = "postmaster", else = "require" }
"#,
    );
    assert!(in_clear(&policy, stranger(), "a@x.example", None).starts_with("530 "));
    for (sender, lax, strict) in
        [("bob@bank.example", "ann@acme.example", "ann@zeta.example"), ("bob@shop.example", "postmaster@acme.example", "ann@acme.example")]
    {
        assert_eq!(in_clear(&policy, stranger(), sender, None), "accept");
        assert_eq!(in_clear(&policy, stranger(), sender, Some(lax)), "accept");
        assert!(in_clear(&policy, stranger(), sender, Some(strict)).starts_with("550 5.7.10 "));
    }
    let (sender, recipient) = (from("bob@bank.example"), to("ann@acme.example"));
    let at_mail = ReceiveFacts::new(stranger().address, &sender);
    assert_eq!(crate::support::notes(&received(&policy, &at_mail).1), [("Bank".to_owned(), "at-recipient")]);
    assert_eq!(crate::support::notes(&received(&policy, &at_mail.with_recipient(&recipient)).1), []);
}

// req: D4
#[test]
fn what_holds_for_every_recipient_is_refused_at_mail() {
    // The name of the certificate hangs on the recipient, TLS does not.
    let policy = policy(
        "[[partner]]\nname='Exact'\ndomains='bank.example'\nfor='acme.example'\nreceive={ names='special.example', level='verify' }\n\
         [[partner]]\nname='Around'\ndomains='*.example'\nreceive='require'\n\
         [[partner]]\nname='Soft'\ndomains='soft.example'\nreceive={ recipients='ceo', level='require', else='chain' }\n[defaults.external]\nreceive='require'",
    );
    assert_eq!(in_clear(&policy, stranger(), "bob@bank.example", None), "accept");
    assert!(in_clear(&policy, stranger(), "bob@bank.example", Some("x@zeta.example")).contains("(partner \"Around\")"));
    assert!(in_clear(&policy, stranger(), "bob@x.example", None).contains("(partner \"Around\")"));
}
