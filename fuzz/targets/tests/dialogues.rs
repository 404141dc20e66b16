//! Dialogues by chance: words that mean something in SMTP, in any order, and octets that mean nothing.

use proptest::collection::vec;
use proptest::prelude::*;
use sealpost_fuzz::{pair, smtp as targets};

/// Octets made of words that mean something, and of some that do not.
fn talk(words: &'static [&'static [u8]]) -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof![
        8 => proptest::sample::select(words).prop_map(<[u8]>::to_vec),
        1 => vec(any::<u8>(), 0..8),
    ];
    (vec(any::<u8>(), 3), vec(word, 0..40)).prop_map(|(head, words)| [head, words.concat()].concat())
}

const CLIENT: &[&[u8]] = &[
    b"EHLO a\r\n",
    b"HELO a\r\n",
    b"MAIL FROM:<a@a.example>\r\n",
    b"MAIL FROM:<> SIZE=9 SMTPUTF8\r\n",
    b"RCPT TO:<b@b.example>\r\n",
    b"DATA\r\n",
    b"text\r\n",
    b".\r\n",
    b"..x\r\n",
    b"BDAT 6\r\n",
    b"BDAT 12 LAST\r\n",
    b"BDAT 0 LAST\r\n",
    b"RSET\r\n",
    b"NOOP\r\n",
    b"STARTTLS\r\n",
    b"AUTH PLAIN\r\n",
    b"AUTH LOGIN dGlt\r\n",
    b"AHRpbQB4\r\n",
    b"*\r\n",
    b"QUIT\r\n",
    b"\r",
    b"\n",
    b"\0",
    b".",
];

const SERVER: &[&[u8]] = &[
    b"220 mx\r\n",
    b"250 ok\r\n",
    b"250-mx\r\n250-PIPELINING\r\n250 CHUNKING\r\n",
    b"250-mx\r\n250 PIPELINING\r\n",
    b"250-mx\r\n250 STARTTLS\r\n",
    b"354 go\r\n",
    b"550 5.1.1 no\r\n",
    b"450-4.2.0 not\r\n450 now\r\n",
    b"421 bye\r\n",
    b"250-",
    b"\r",
    b"\n",
];

const DATA: &[&[u8]] = &[b"\r\n", b".", b"\r", b"\n", b"a", b"\r\n.", b"..", b"\r\n.\r\n", b"line\r\n", b"\0"];

const COMMANDS: &[&[u8]] = &[
    b"MAIL FROM:",
    b"RCPT TO:",
    b"<",
    b">",
    b"a",
    b"\"",
    b"\\",
    b"@",
    b"b.example",
    b" SIZE=1",
    b" BODY=8BITMIME",
    b" SMTPUTF8",
    b" ORCPT=",
    b"utf-8;",
    b"rfc822;",
    b" ENVID=",
    b" RET=FULL",
    b" NOTIFY=SUCCESS",
    b",DELAY",
    b" AUTH=",
    b"+2B",
    b"\\x{F6}",
    "ö".as_bytes(),
    b"[1.2.3.4]",
    b" ",
    b"=",
    b"EHLO ",
    b"AUTH PLAIN ",
    b"BDAT 1 ",
    b"LAST",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn commands_by_chance(input in talk(COMMANDS)) {
        targets::commands(&input[3..]);
    }

    #[test]
    fn replies_by_chance(input in talk(SERVER)) {
        targets::replies(&input);
    }

    #[test]
    fn ehlo_by_chance(input in vec(any::<char>(), 0..60)) {
        targets::ehlo(input.into_iter().collect::<String>().as_bytes());
    }

    #[test]
    fn data_by_chance(input in talk(DATA)) {
        targets::data_scanner(&input[2..]);
    }

    #[test]
    fn servers_by_chance(input in talk(CLIENT)) {
        targets::server_session(&input);
    }

    #[test]
    fn clients_by_chance(input in talk(SERVER)) {
        targets::client_session(&input);
    }

    #[test]
    fn pairs_by_chance(input in vec(any::<u8>(), 0..400)) {
        pair::session_pair(&input);
    }

    #[test]
    fn anything_at_all(input in vec(any::<u8>(), 0..300)) {
        targets::commands(&input);
        targets::replies(&input);
        targets::ehlo(&input);
        targets::data_scanner(&input);
        targets::server_session(&input);
        targets::client_session(&input);
    }
}
