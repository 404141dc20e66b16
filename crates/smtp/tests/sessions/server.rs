//! What a server session answers, section by section.

use crate::script::{server, server_config};

#[test]
fn rfc5321_d_1_a_typical_transaction() {
    server(
        server_config(|_| {}),
        false,
        r"
        S: 220 mx.example ESMTP
        C: EHLO bar.com
        S: 250-mx.example
        S: 250-PIPELINING
        S: 250-SIZE 67108864
        S: 250-8BITMIME
        S: 250-CHUNKING
        S: 250 ENHANCEDSTATUSCODES
        E: hello bar.com extended
        C: MAIL FROM:<Smith@bar.com>
        S: 250 2.1.0 sender ok
        E: MAIL FROM:<Smith@bar.com>
        C: RCPT TO:<Jones@foo.com>
        S: 250 2.1.5 recipient ok
        E: RCPT TO:<Jones@foo.com>
        C: RCPT TO:<Green@foo.com>
        ! refuse 550 5.1.1 no such user here
        S: 550 5.1.1 no such user here
        E: RCPT TO:<Green@foo.com>
        C: RCPT TO:<Brown@foo.com>
        S: 250 2.1.5 recipient ok
        E: RCPT TO:<Brown@foo.com>
        C: DATA
        S: 354 end with CRLF.CRLF
        E: start
        C: Blah blah blah...
        C: ..etc. etc. etc.
        C: .
        ! accept
        S: 250 2.0.0 message accepted
        E: body Blah blah blah...\r\n.etc. etc. etc.\r\n
        E: end 36
        C: QUIT
        S: 221 2.0.0 mx.example bye
        E: close
        ",
    );
}

#[test]
fn rfc2920_3_2_a_batch_of_commands_gets_its_replies_in_order() {
    server(
        server_config(|_| {}),
        false,
        r"
        S: 220 mx.example ESMTP
        C: HELO a.example
        C: MAIL FROM:<>
        C: RCPT TO:<bob@b.example>
        C: RCPT TO:<eve@b.example>
        C: DATA
        C: body
        C: .
        C: RSET
        C: QUIT
        ! accept
        ! accept
        ! refuse 451 4.3.0 not now
        ! accept
        ! queued 250 2.6.0 stored as 1
        S: 250 mx.example
        S: 250 2.1.0 sender ok
        S: 250 2.1.5 recipient ok
        S: 451 4.3.0 not now
        S: 354 end with CRLF.CRLF
        S: 250 2.6.0 stored as 1
        S: 250 2.0.0 ok
        S: 221 2.0.0 mx.example bye
        E: hello a.example plain
        E: MAIL FROM:<>
        E: RCPT TO:<bob@b.example>
        E: RCPT TO:<eve@b.example>
        E: start
        E: body body\r\n
        E: end 6
        E: close
        ",
    );
}

#[test]
fn rfc5321_4_1_4_commands_out_of_order_are_503() {
    server(
        server_config(|_| {}),
        false,
        r"
        S: 220 mx.example ESMTP
        C: MAIL FROM:<ann@a.example>
        S: 503 5.5.1 say EHLO first
        C: RCPT TO:<bob@b.example>
        S: 503 5.5.1 say MAIL first
        C: DATA
        S: 503 5.5.1 say MAIL first
        C: EHLO a.example
        S: 250-mx.example
        S: 250-PIPELINING
        S: 250-SIZE 67108864
        S: 250-8BITMIME
        S: 250-CHUNKING
        S: 250 ENHANCEDSTATUSCODES
        E: hello a.example extended
        C: MAIL FROM:<ann@a.example>
        S: 250 2.1.0 sender ok
        E: MAIL FROM:<ann@a.example>
        C: MAIL FROM:<ann@a.example>
        S: 503 5.5.1 a transaction is open already
        C: DATA
        S: 554 5.5.1 no valid recipients
        C: BDAT 2 LAST
        C: xy\
        S: 554 5.5.1 no valid recipients
        C: RCPT TO:<bob@b.example>
        S: 250 2.1.5 recipient ok
        E: RCPT TO:<bob@b.example>
        C: HELO a.example
        S: 250 mx.example
        E: aborted Hello
        E: hello a.example plain
        C: RCPT TO:<bob@b.example>
        S: 503 5.5.1 say MAIL first
        C: MAIL FROM:<ann@a.example>
        S: 250 2.1.0 sender ok
        E: MAIL FROM:<ann@a.example>
        C: RSET
        S: 250 2.0.0 ok
        E: aborted Reset
        C: RSET
        S: 250 2.0.0 ok
        C: MAIL FROM:<ann@a.example>
        ! refuse 421 4.3.2 going down
        S: 421 4.3.2 going down
        E: MAIL FROM:<ann@a.example>
        E: close
        ",
    );
}

#[test]
fn rfc5321_4_1_1_1_odd_names_are_taken_and_controls_are_not() {
    server(
        server_config(|_| {}),
        false,
        r"
        S: 220 mx.example ESMTP
        C: HELO
        S: 501 5.5.4 HELO needs an argument
        C: EHLO [192.0.2.1]
        S: 250-mx.example
        S: 250-PIPELINING
        S: 250-SIZE 67108864
        S: 250-8BITMIME
        S: 250-CHUNKING
        S: 250 ENHANCEDSTATUSCODES
        E: hello [192.0.2.1] extended
        C: hElO My_PC (ann's)  \x20\x09
        S: 250 mx.example
        E: hello My_PC (ann's) plain
        C: HELO B\xFCro
        S: 250 mx.example
        E: hello B�ro plain
        C: HELO a\x1b[2J
        S: 501 5.5.4 the argument of HELO is malformed
        C: HELO a\0b
        S: 500 5.5.2 NUL at octet 6 of the line
        ",
    );
}

#[test]
fn rfc5321_4_2_4_unknown_commands_and_those_not_implemented() {
    server(
        server_config(|_| {}),
        false,
        r#"
        S: 220 mx.example ESMTP
        C: XYZZY now
        S: 500 5.5.2 unknown command "XYZZY"
        C:
        S: 500 5.5.2 unknown command ""
        C: MAILFROM:<a@a.example>
        S: 500 5.5.2 unknown command "MAILFROM:<a@a.example>"
        C: TURN
        S: 502 5.5.1 command TURN is not implemented
        C: EXPN list
        S: 502 5.5.1 EXPN is not available
        C: STARTTLS
        S: 502 5.5.1 STARTTLS is not available
        C: AUTH PLAIN =
        S: 502 5.5.1 AUTH is not available
        C: VRFY bob
        S: 252 2.5.0 send a message to find out
        C: HELP MAIL
        S: 214 2.0.0 see RFC 5321
        C: NOOP with words
        S: 250 2.0.0 ok
        C: RSET now
        S: 501 5.5.4 RSET takes no argument
        C: VRFY
        S: 501 5.5.4 VRFY needs an argument
        "#,
    );
}

#[test]
fn rfc5321_2_3_8_a_line_with_bare_cr_lf_or_nul_is_500_and_the_next_one_is_found() {
    server(
        server_config(|_| {}),
        false,
        r"
        S: 220 mx.example ESMTP
        C: NOOP\nQUIT
        S: 500 5.5.2 bare LF at octet 4 of the line
        C: NOOP\rQUIT
        S: 500 5.5.2 bare CR at octet 4 of the line
        C: NOOP\r
        S: 500 5.5.2 bare CR at octet 4 of the line
        C: NOOP \0
        S: 500 5.5.2 NUL at octet 5 of the line
        C: NOOP \xff
        S: 500 5.5.2 octet 5 of the line is not UTF-8
        C: NOOP
        S: 250 2.0.0 ok
        ",
    );
}

#[test]
fn rfc5321_4_1_1_2_parameters_of_what_is_not_offered_are_555() {
    server(
        server_config(|_| {}),
        false,
        r"
        S: 220 mx.example ESMTP
        C: EHLO a.example
        S: 250-mx.example
        S: 250-PIPELINING
        S: 250-SIZE 67108864
        S: 250-8BITMIME
        S: 250-CHUNKING
        S: 250 ENHANCEDSTATUSCODES
        E: hello a.example extended
        C: MAIL FROM:<ann@a.example> SMTPUTF8
        S: 555 5.5.4 parameter SMTPUTF8 is not known here
        C: MAIL FROM:<ann@a.example> REQUIRETLS
        S: 555 5.5.4 parameter REQUIRETLS is not known here
        C: MAIL FROM:<ann@a.example> RET=HDRS
        S: 555 5.5.4 parameter RET is not known here
        C: MAIL FROM:<ann@a.example> AUTH=<>
        S: 555 5.5.4 parameter AUTH is not known here
        C: MAIL FROM:<ann@a.example> BODY=BINARYMIME
        S: 555 5.5.4 parameter BODY=BINARYMIME is not known here
        C: MAIL FROM:<ann@a.example> X=1
        S: 555 5.5.4 parameter X is not known here
        C: MAIL FROM:<ann@a.example> SIZE=1 size=2
        S: 501 5.5.4 parameter SIZE is given twice
        C: MAIL FROM:<ann@a.example> SIZE=
        S: 501 5.5.2 the parameters are malformed
        C: MAIL FROM:<ann@a.example> SIZE=99999999
        S: 552 5.3.4 message too large, 67108864 octets are allowed
        C: MAIL FROM:<ann@a.example> SIZE=4 BODY=8BITMIME
        S: 250 2.1.0 sender ok
        E: MAIL FROM:<ann@a.example> SIZE=4 BODY=8BITMIME
        C: RCPT TO:<bob@b.example> NOTIFY=NEVER
        S: 555 5.5.4 parameter NOTIFY is not known here
        C: RCPT TO:<bob@b.example> SIZE=1
        S: 555 5.5.4 parameter SIZE is not known here
        C: HELO a.example
        S: 250 mx.example
        E: aborted Hello
        E: hello a.example plain
        C: MAIL FROM:<ann@a.example> SIZE=1
        S: 555 5.5.4 parameter SIZE is not known here
        ",
    );
}

#[test]
fn rfc3461_4_rfc6531_3_rfc8689_3_parameters_of_what_is_offered_are_taken() {
    server(
        server_config(|config| {
            config.offer.dsn = true;
            config.offer.smtputf8 = true;
            config.offer.require_tls = true;
            config.offer.chunking = false;
            config.offer.pipelining = false;
            config.offer.eight_bit_mime = false;
        }),
        true,
        r"
        S: 220 mx.example ESMTP
        C: EHLO a.example
        S: 250-mx.example
        S: 250-SIZE 67108864
        S: 250-SMTPUTF8
        S: 250-DSN
        S: 250-ENHANCEDSTATUSCODES
        S: 250 REQUIRETLS
        E: hello a.example extended
        C: MAIL FROM:<j\xc3\xb6rg@b\xc3\xbccher.example> smtputf8 RET=FULL ENVID=a+2Bb REQUIRETLS
        S: 250 2.1.0 sender ok
        E: MAIL FROM:<jörg@xn--bcher-kva.example> SMTPUTF8 REQUIRETLS RET=FULL ENVID=a+2Bb
        C: RCPT TO:<\xc3\xbc@b.example> NOTIFY=SUCCESS,delay ORCPT=utf-8;\xc3\xbc@c
        S: 250 2.1.5 recipient ok
        E: RCPT TO:<ü@b.example> NOTIFY=SUCCESS,DELAY ORCPT=utf-8;\x{FC}@c
        C: RCPT TO:<@x,@y:bob@b.example> ORCPT=rfc822;bob+40c
        S: 250 2.1.5 recipient ok
        E: RCPT TO:<bob@b.example> ORCPT=rfc822;bob@c
        C: RCPT TO:<bob@b.example> NOTIFY=NEVER,DELAY
        S: 501 5.5.4 parameter NOTIFY has a missing or malformed value
        C: BDAT 4 LAST
        C: QUIT\
        S: 502 5.5.1 BDAT is not available
        C: RSET
        S: 250 2.0.0 ok
        E: aborted Reset
        C: MAIL FROM:<ann@a.example> BODY=8BITMIME
        S: 555 5.5.4 parameter BODY is not known here
        ",
    );
}

#[test]
fn rfc6531_3_5_addresses_beyond_ascii_need_smtputf8() {
    server(
        server_config(|config| config.offer.smtputf8 = true),
        false,
        r"
        S: 220 mx.example ESMTP
        C: EHLO a.example
        S: 250-mx.example
        S: 250-PIPELINING
        S: 250-SIZE 67108864
        S: 250-8BITMIME
        S: 250-SMTPUTF8
        S: 250-CHUNKING
        S: 250 ENHANCEDSTATUSCODES
        E: hello a.example extended
        C: MAIL FROM:<j\xc3\xb6rg@a.example>
        S: 553 5.6.7 the reverse path is not ASCII and SMTPUTF8 was not asked for
        C: MAIL FROM:<ann@b\xc3\xbccher.example>
        S: 553 5.6.7 the reverse path is not ASCII and SMTPUTF8 was not asked for
        C: MAIL FROM:<ann@a.example>
        S: 250 2.1.0 sender ok
        E: MAIL FROM:<ann@a.example>
        C: RCPT TO:<j\xc3\xb6rg@b.example>
        S: 553 5.6.7 the forward path is not ASCII and SMTPUTF8 was not asked for
        C: RCPT TO:<bob@b\xc3\xbccher.example>
        S: 553 5.6.7 the forward path is not ASCII and SMTPUTF8 was not asked for
        C: RCPT TO:<bob@xn--bcher-kva.example>
        S: 250 2.1.5 recipient ok
        E: RCPT TO:<bob@xn--bcher-kva.example>
        ",
    );
}

#[test]
fn rfc5321_4_1_2_addresses_that_are_none() {
    server(
        server_config(|_| {}),
        false,
        r#"
        S: 220 mx.example ESMTP
        C: HELO a.example
        S: 250 mx.example
        E: hello a.example plain
        C: MAIL FROM ann@a.example
        S: 501 5.5.2 the reverse path is not an address in angle brackets
        C: MAIL FROM:ann@a.example
        S: 501 5.5.2 the reverse path is not an address in angle brackets
        C: MAIL FROM:<ann>
        S: 501 5.1.7 the reverse path is no mailbox: the address has no '@'
        C: MAIL FROM:<an n@a.example>
        S: 501 5.1.7 the reverse path is no mailbox: the local part has ' ' at octet 2, which is not allowed there
        C: MAIL FROM:<ann@xn--a.example>
        S: 553 5.1.7 the reverse path is no mailbox: the domain "xn--a.example" is not a valid internationalised name
        C: MAIL FROM: <ann@[192.0.2.1]>
        S: 250 2.1.0 sender ok
        E: MAIL FROM:<ann@[192.0.2.1]>
        C: RCPT TO:<>
        S: 501 5.5.2 the forward path is not an address in angle brackets
        C: RCPT TO:<bob@>
        S: 553 5.1.2 the forward path is no mailbox: the domain is empty
        C: RCPT TO:<bob@-b.example>
        S: 553 5.1.2 the forward path is no mailbox: the label "-b" starts or ends with a hyphen
        C: RCPT TO:<bob..bob@b.example>
        S: 501 5.1.3 the forward path is no mailbox: the local part has '.' at octet 4, which is not allowed there
        C: RCPT TO:<bob@[IPv6:::1]>
        S: 250 2.1.5 recipient ok
        E: RCPT TO:<bob@[IPv6:::1]>
        C: RCPT TO:<postmaster>
        S: 250 2.1.5 recipient ok
        E: RCPT TO:<Postmaster>
        "#,
    );
}

#[test]
fn rfc3030_2_chunks_are_taken_as_they_are() {
    server(
        server_config(|_| {}),
        false,
        r"
        S: 220 mx.example ESMTP
        C: EHLO a.example
        S: 250-mx.example
        S: 250-PIPELINING
        S: 250-SIZE 67108864
        S: 250-8BITMIME
        S: 250-CHUNKING
        S: 250 ENHANCEDSTATUSCODES
        E: hello a.example extended
        C: MAIL FROM:<ann@a.example>
        C: RCPT TO:<bob@b.example>
        C: BDAT 7
        C: one\r\n.\r\
        C: bdat 7 last
        C: \n.\r\nx\r\n\
        C: MAIL FROM:<ann@a.example>
        C: RCPT TO:<bob@b.example>
        C: BDAT 0 LAST
        ! accept
        ! accept
        ! accept
        ! queued 250 2.6.0 first
        S: 250 2.1.0 sender ok
        S: 250 2.1.5 recipient ok
        S: 250 2.0.0 7 octets received
        S: 250 2.6.0 first
        S: 250 2.1.0 sender ok
        S: 250 2.1.5 recipient ok
        S: 250 2.0.0 message accepted
        E: MAIL FROM:<ann@a.example>
        E: RCPT TO:<bob@b.example>
        E: start
        E: body one\r\n.\r\n.\r\nx\r\n
        E: end 14
        E: MAIL FROM:<ann@a.example>
        E: RCPT TO:<bob@b.example>
        E: start
        E: end 0
        C: MAIL FROM:<ann@a.example>
        S: 250 2.1.0 sender ok
        E: MAIL FROM:<ann@a.example>
        C: RCPT TO:<bob@b.example>
        S: 250 2.1.5 recipient ok
        E: RCPT TO:<bob@b.example>
        C: BDAT 3
        C: abc\
        S: 250 2.0.0 3 octets received
        E: start
        E: body abc
        C: RCPT TO:<eve@b.example>
        S: 503 5.5.1 the content has begun with BDAT
        C: DATA
        S: 503 5.5.1 the content has begun with BDAT
        C: MAIL FROM:<eve@b.example>
        S: 503 5.5.1 a transaction is open already
        C: RSET
        S: 250 2.0.0 ok
        E: aborted Reset
        C: BDAT 6 LAST
        C: QUIT\r\n\
        S: 503 5.5.1 say MAIL first
        C: BDAT six
        S: 501 5.5.4 the argument of BDAT is malformed
        E: close
        ",
    );
}

#[test]
fn rfc3030_2_a_chunk_that_is_refused_is_passed_over() {
    server(
        server_config(|config| config.limits.message.0 = 10),
        false,
        r"
        S: 220 mx.example ESMTP
        C: EHLO a.example
        S: 250-mx.example
        S: 250-PIPELINING
        S: 250-SIZE 10
        S: 250-8BITMIME
        S: 250-CHUNKING
        S: 250 ENHANCEDSTATUSCODES
        E: hello a.example extended
        C: MAIL FROM:<ann@a.example>
        C: RCPT TO:<bob@b.example>
        C: BDAT 6
        C: QUIT\r\n\
        C: BDAT 6 LAST
        C: QUIT\r\n\
        ! accept
        ! accept
        ! refuse 452 4.3.1 no room
        S: 250 2.1.0 sender ok
        S: 250 2.1.5 recipient ok
        S: 452 4.3.1 no room
        S: 503 5.5.1 say MAIL first
        E: MAIL FROM:<ann@a.example>
        E: RCPT TO:<bob@b.example>
        E: start
        C: MAIL FROM:<ann@a.example>
        C: RCPT TO:<bob@b.example>
        C: BDAT 6
        C: QUIT\r\n\
        C: BDAT 6 LAST
        C: QUIT\r\n\
        S: 250 2.1.0 sender ok
        S: 250 2.1.5 recipient ok
        S: 250 2.0.0 6 octets received
        S: 552 5.3.4 message too large, 10 octets are allowed
        E: MAIL FROM:<ann@a.example>
        E: RCPT TO:<bob@b.example>
        E: start
        E: aborted TooLarge
        C: MAIL FROM:<ann@a.example>
        C: RCPT TO:<bob@b.example>
        C: BDAT 6
        C: QUIT\n\n\
        C: BDAT 6 LAST
        C: QUIT\r\n\
        S: 250 2.1.0 sender ok
        S: 250 2.1.5 recipient ok
        S: 554 5.6.0 message refused: bare LF at octet 4
        S: 503 5.5.1 say MAIL first
        E: MAIL FROM:<ann@a.example>
        E: RCPT TO:<bob@b.example>
        E: start
        E: aborted Fault(BareLineFeed { offset: 4 })
        C: MAIL FROM:<ann@a.example>
        C: RCPT TO:<bob@b.example>
        C: BDAT 5 LAST
        C: QUIT\r\
        S: 250 2.1.0 sender ok
        S: 250 2.1.5 recipient ok
        S: 554 5.6.0 message refused: bare CR at octet 4
        E: MAIL FROM:<ann@a.example>
        E: RCPT TO:<bob@b.example>
        E: start
        E: aborted Fault(BareCarriageReturn { offset: 4 })
        ",
    );
}

#[test]
fn rfc5321_4_1_1_4_data_that_is_refused_or_too_large() {
    server(
        server_config(|config| config.limits.message.0 = 10),
        false,
        r"
        S: 220 mx.example ESMTP
        C: HELO a.example
        S: 250 mx.example
        E: hello a.example plain
        C: MAIL FROM:<ann@a.example>
        C: RCPT TO:<bob@b.example>
        C: DATA
        ! accept
        ! accept
        ! refuse 452 4.3.1 no room
        S: 250 2.1.0 sender ok
        S: 250 2.1.5 recipient ok
        S: 452 4.3.1 no room
        E: MAIL FROM:<ann@a.example>
        E: RCPT TO:<bob@b.example>
        E: start
        C: MAIL FROM:<ann@a.example>
        C: RCPT TO:<bob@b.example>
        C: DATA
        C: 12345678
        C: .
        C: MAIL FROM:<ann@a.example>
        ! accept
        ! accept
        ! accept
        ! refuse 451 4.3.0 disk
        S: 250 2.1.0 sender ok
        S: 250 2.1.5 recipient ok
        S: 354 end with CRLF.CRLF
        S: 451 4.3.0 disk
        S: 250 2.1.0 sender ok
        E: MAIL FROM:<ann@a.example>
        E: RCPT TO:<bob@b.example>
        E: start
        E: body 12345678\r\n
        E: end 10
        E: MAIL FROM:<ann@a.example>
        C: RCPT TO:<bob@b.example>
        C: DATA
        S: 250 2.1.5 recipient ok
        S: 354 end with CRLF.CRLF
        E: RCPT TO:<bob@b.example>
        E: start
        ",
    );
}
