//! Both sessions against each other.

use sealpost_smtp::{Reply, ServerConfig, ServerEvent, Transaction};
use sealpost_types::{Mailbox, Octets, Recipient, ReversePath};

use crate::pair::{Pair, Received};
use crate::script::server_config;

fn message(recipients: &[&str], body: &[u8], inline: bool) -> (Transaction, Vec<u8>) {
    let recipients = recipients.iter().map(|r| Recipient::new(Mailbox::parse(r).unwrap().into())).collect();
    let length = Octets(u64::try_from(body.len()).unwrap());
    let mut transaction = Transaction::new(ReversePath::Null, recipients, length);
    transaction.inline_body = inline;
    (transaction, body.to_vec())
}

const BODY: &[u8] = b"Subject: dots\r\n\r\n.\r\n..\r\n.x\r\nend\r\n";

fn run(change: impl Fn(&mut ServerConfig), set: impl Fn(&mut Pair)) -> Pair {
    let mut pair = Pair::new(server_config(change));
    pair.messages.push_back(message(&["bob@b.example"], BODY, true));
    pair.messages.push_back(message(&["bob@b.example", "eve@b.example"], BODY, false));
    set(&mut pair);
    pair.run();
    assert_eq!(pair.failures, Vec::<String>::new());
    pair
}

// req: E5
#[test]
fn every_mix_of_extensions_moves_the_same_mail_however_it_is_cut() {
    for chunking in [false, true] {
        for pipelining in [false, true] {
            for starttls in [false, true] {
                for cut in [1, 2, 7, 64, usize::MAX] {
                    let pair = run(
                        |config| {
                            config.offer.chunking = chunking;
                            config.offer.pipelining = pipelining;
                            config.offer.starttls = starttls;
                        },
                        |pair| (pair.use_tls, pair.cut) = (true, cut),
                    );
                    assert!(pair.client.is_closed() && pair.server.is_closed());
                    assert!(pair.outcomes.iter().all(Reply::is_success));
                    let path = |text: &str| Mailbox::parse(text).unwrap().into();
                    let first = Received { recipients: vec![path("bob@b.example")], body: BODY.to_vec(), under_tls: starttls };
                    let second = Received { recipients: vec![path("bob@b.example"), path("eve@b.example")], ..first.clone() };
                    assert_eq!(pair.received, [first, second]);
                }
            }
        }
    }
}

#[test]
fn rfc2920_1_pipelining_saves_turns() {
    let turns = |pipelining, chunking| {
        let change = move |config: &mut ServerConfig| (config.offer.pipelining, config.offer.chunking) = (pipelining, chunking);
        run(change, |_| {}).turns
    };
    // Greeting, EHLO, QUIT, and then: MAIL RCPT DATA body and MAIL RCPT RCPT DATA body, one by one or together.
    assert_eq!(turns(false, false), 3 + 4 + 5);
    assert_eq!(turns(true, false), 3 + 2 + 2);
    assert_eq!(turns(true, true), 3 + 1 + 2);
}

#[test]
fn refusals_are_told_and_the_next_message_goes_out() {
    let no = |event: &ServerEvent| match event {
        ServerEvent::Rcpt(rcpt) if rcpt.forward_path.to_string().starts_with("eve") => Some(Reply::fixed::<550, 1, 1>("no")),
        _ => None,
    };
    for chunking in [false, true] {
        for pipelining in [false, true] {
            for inline in [false, true] {
                let config = server_config(|config| (config.offer.chunking, config.offer.pipelining) = (chunking, pipelining));
                let mut pair = Pair::new(config);
                pair.refuse = no;
                for recipients in [&["eve@b.example"][..], &["eve@b.example", "bob@b.example"], &["eve@b.example"], &["bob@b.example"]] {
                    pair.messages.push_back(message(recipients, BODY, inline));
                }
                pair.run();
                assert_eq!(pair.failures, Vec::<String>::new());
                let outcomes: Vec<u16> = pair.outcomes.iter().map(|reply| reply.code().value()).collect();
                assert_eq!(outcomes, [550, 250, 550, 250], "chunking {chunking}, pipelining {pipelining}, inline {inline}");
                assert!(pair.received.iter().all(|received| received.recipients.len() == 1 && received.body == BODY));
                assert_eq!(pair.received.len(), 2);
            }
        }
    }
}

#[test]
fn every_event_that_can_be_refused_leaves_both_in_step() {
    let refusals: [fn(&ServerEvent) -> Option<Reply>; 3] = [
        |event| matches!(event, ServerEvent::Mail(_)).then(|| Reply::fixed::<451, 3, 0>("no")),
        |event| matches!(event, ServerEvent::BodyStart).then(|| Reply::fixed::<451, 3, 0>("no")),
        |event| matches!(event, ServerEvent::BodyEnd { .. }).then(|| Reply::fixed::<451, 3, 0>("no")),
    ];
    for refuse in refusals {
        for (chunking, pipelining) in [(false, false), (false, true), (true, false), (true, true)] {
            let pair = run(|config| (config.offer.chunking, config.offer.pipelining) = (chunking, pipelining), |pair| pair.refuse = refuse);
            assert_eq!(pair.outcomes, [Reply::fixed::<451, 3, 0>("no"), Reply::fixed::<451, 3, 0>("no")]);
            assert!(pair.client.is_closed() && pair.server.is_closed());
        }
    }
}

#[test]
fn a_faulty_body_is_refused_and_the_next_one_is_not() {
    for chunking in [false, true] {
        let mut pair = Pair::new(server_config(|config| config.offer.chunking = chunking));
        pair.messages.push_back(message(&["bob@b.example"], b"one\ntwo\r\n", true));
        pair.messages.push_back(message(&["bob@b.example"], BODY, true));
        pair.run();
        assert_eq!(pair.outcomes[0].to_string(), "554 5.6.0 message refused: bare LF at octet 3");
        assert!(pair.outcomes[1].is_success());
        assert_eq!(pair.received.len(), 1);
    }
}
