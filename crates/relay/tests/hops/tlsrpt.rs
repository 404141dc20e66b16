//! Reports about TLS (RFC 8460), from what is seen on the wire to what the domains are told. Days pass as the test says.

/// What needs root, and ports 25 and 443 that nobody listens on.
mod with_web_on_port_443 {
    use std::net::{Ipv4Addr, SocketAddr};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU8, Ordering};
    use std::time::Duration;

    use sealpost_queue::MemorySpool;
    use sealpost_relay::config::TlsReports;
    use sealpost_report::EventKind;
    use sealpost_report::tlsrpt::{Book, DkimSigner, PolicyReport, PolicyType, TlsReport, read_report};
    use sealpost_transport::{ClientCertificate, TlsBackend as _};
    use sealpost_types::{DnssecStatus, Pin, TlsaRecord};
    use tempfile::TempDir;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tokio::sync::watch;
    use tokio::time::timeout;

    use crate::support::{
        Behaviour, Client, Clock, House, Kind, Mx, PATIENCE, Running, StartTls, backend, backend_and_pin, domain, letter,
    };

    use crate::numbers::{page, sum};

    const FROM: &str = "ann@shop.example";
    const DAY: Duration = Duration::from_secs(86_400);

    /// Where reports are handed in over HTTPS; a request is what stands before the body, and the report in it.
    struct Web {
        port: u16,
        taken: watch::Receiver<Vec<(String, TlsReport)>>,
    }

    impl Web {
        async fn start() -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let port = listener.local_addr().unwrap().port();
            let (sender, taken) = watch::channel(Vec::new());
            let tls = backend(Kind::Right, "reports.example");
            tokio::spawn(async move {
                while let Ok((tcp, _)) = listener.accept().await {
                    let Ok(shaken) = tls.accept(tcp, ClientCertificate::NotAsked).await else { continue };
                    let (mut stream, mut octets) = (shaken.stream, Vec::new());
                    let (head, length) = loop {
                        stream.read_buf(&mut octets).await.unwrap();
                        let Some(end) = octets.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
                        let head = String::from_utf8(octets.drain(..end + 4).collect()).unwrap().to_ascii_lowercase();
                        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap().parse().unwrap();
                        break (head, length);
                    };
                    while octets.len() < length {
                        stream.read_buf(&mut octets).await.unwrap();
                    }
                    assert_eq!(octets[..2], [0x1f, 0x8b], "it is packed");
                    sender.send_modify(|taken| taken.push((head, read_report(&octets).unwrap())));
                    stream.write_all(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await.unwrap();
                    let _ = stream.shutdown().await;
                }
            });
            Self { port, taken }
        }

        /// Waits for so many, and gives them by the domain that they are about.
        async fn reports(&self, count: usize) -> Vec<TlsReport> {
            let mut taken = self.taken.clone();
            let found = timeout(PATIENCE, taken.wait_for(|taken| taken.len() >= count)).await;
            let found = found.unwrap_or_else(|_| panic!("{count} reports expected: {:#?}", self.taken.borrow())).unwrap();
            let mut reports: Vec<_> = found.iter().map(|(_, report)| report.clone()).collect();
            reports.sort_by(|a, b| a.policies[0].policy.policy_domain.cmp(&b.policies[0].policy.policy_domain));
            reports
        }
    }

    /// A relay whose days pass as the test says, and that reports.
    struct Office {
        house: House,
        clock: Clock,
        folder: TempDir,
    }

    impl Office {
        fn new() -> Self {
            let clock = Clock::default();
            let house = House::new().clock(&clock).retry(Duration::from_millis(500));
            house.dns.set_addresses(&domain("reports.example"), vec![Ipv4Addr::LOCALHOST.into()]);
            Self { house, clock, folder: tempfile::tempdir().unwrap() }
        }

        /// Mail for `name` goes to this server, whose zone is signed; where reports about it go.
        fn publish(&self, name: &str, mx: &Mx, rua: &str) {
            let host = domain(&format!("mx.{name}"));
            self.house.dns.set_mx(&domain(name), vec![(10, host.to_string())]);
            self.house.dns.set_dnssec(&domain(name), DnssecStatus::Secure);
            self.house.dns.set_addresses(&host, vec![mx.address.ip()]);
            self.house.dns.set_dnssec(&host, DnssecStatus::Secure);
            if !rua.is_empty() {
                self.house.dns.set_txt(&domain(&format!("_smtp._tls.{name}")), vec![format!("v=TLSRPTv1; rua={rua}").into_bytes()]);
            }
        }

        async fn start(self) -> (Running, Clock, TempDir) {
            let mut settings = TlsReports::of_host(&domain("relay.example")).unwrap();
            settings.delay = Duration::ZERO;
            let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap().serialize_pem();
            let signer = DkimSigner::from_pem(key.as_bytes(), domain("relay.example"), domain("tlsrpt")).unwrap();
            let book = Book::open(&self.folder.path().join("counters.db")).unwrap();
            let builder = self.house.build(MemorySpool::new()).tls_reports(settings, book, Some(signer));
            (Running::start(builder).await, self.clock, self.folder)
        }
    }

    fn own_address() -> Ipv4Addr {
        static NEXT: AtomicU8 = AtomicU8::new(1);
        let [low, high, ..] = std::process::id().to_le_bytes();
        Ipv4Addr::new(127, low | 1, high.wrapping_add(31), NEXT.fetch_add(1, Ordering::SeqCst))
    }

    async fn exchanger(start_tls: StartTls) -> Mx {
        let address = SocketAddr::from((own_address(), 25));
        Mx::start_at(address, Behaviour::plain().with_start_tls(start_tls)).await
    }

    fn of_key(pin: Pin) -> TlsaRecord {
        TlsaRecord { usage: 3, selector: 1, matching: 1, data: pin.0.to_vec() }
    }

    async fn send(relay: &Running, to: &str) {
        Client::secure(relay.address).await.send(FROM, &[to], &letter("report")).await;
    }

    fn counts(report: &PolicyReport) -> (u64, u64) {
        (report.summary.total_successful_session_count, report.summary.total_failure_session_count)
    }

    /// What is seen of each domain is told to it when the day is over: what went well under which policy, and what did not, where and why.
    // req: E3
    #[tokio::test]
    #[ignore = "needs root and ports 25 and 443"]
    async fn what_is_seen_of_a_domain_is_told_to_it_the_next_day() {
        let web = Web::start().await;
        let (tls, pin) = backend_and_pin(Kind::SelfSigned, "elsewhere.example");
        let offered = StartTls::Offered(Arc::new(tls));
        let (bank, wrong) = (exchanger(offered.clone()).await, exchanger(offered.clone()).await);
        let (clear, routed, quiet) = (exchanger(StartTls::Absent).await, exchanger(offered.clone()).await, exchanger(offered).await);
        let rua = format!("https://reports.example:{}/in?from=relay", web.port);
        let mut office = Office::new();
        for (name, mx, rua) in [
            ("bank.example", &bank, rua.as_str()),
            ("clear.example", &clear, &rua),
            ("quiet.example", &quiet, ""),
            ("routed.example", &routed, &rua),
            ("wrong.example", &wrong, &rua),
        ] {
            office.publish(name, mx, rua);
        }
        office.house.dns.set_tlsa(&domain("mx.bank.example"), vec![of_key(pin)]);
        office.house.dns.set_tlsa(&domain("mx.wrong.example"), vec![of_key(backend_and_pin(Kind::Right, "x.example").1)]);
        office.house.config.routes.insert("routed.example", "mx.routed.example:25".parse().unwrap()).unwrap();
        let (relay, clock, _folder) = office.start().await;
        for to in ["a@bank.example", "a@clear.example", "a@quiet.example", "a@routed.example"] {
            send(&relay, to).await;
            relay.first(EventKind::Delivered, to).await;
        }
        send(&relay, "b@bank.example").await;
        relay.first(EventKind::Delivered, "b@bank.example").await;
        send(&relay, "a@wrong.example").await;
        relay.wait(EventKind::CheckTls, "a@wrong.example", 1).await;
        assert_eq!(sum(&page(&relay).await, "sealpost_tlsrpt_reports_total", ""), 0.0);
        clock.advance(DAY);
        let reports = web.reports(3).await;
        let head = web.taken.borrow()[0].0.clone();
        assert!(
            head.starts_with("post /in?from=relay http/1.1\r\n") && head.contains("content-type: application/tlsrpt+gzip\r\n"),
            "{head}"
        );
        let counted = async |series, labels| sum(&page(&relay).await, series, labels);
        while counted("sealpost_tlsrpt_reports_total", "result=\"sent\"").await < 3.0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(counted("sealpost_tlsrpt_reports_waiting", "").await, 0.0);
        let [told_clear, told_bank, told_wrong] = reports.as_slice() else { panic!("{reports:#?}") };
        assert_eq!((told_bank.organization_name.as_str(), told_bank.contact_info.as_str()), ("relay.example", "postmaster@relay.example"));
        let [policy] = told_bank.policies.as_slice() else { panic!("{told_bank:#?}") };
        assert_eq!((&policy.policy.policy_type, policy.policy.policy_domain.as_str()), (&PolicyType::Tlsa, "mx.bank.example"));
        assert_eq!(policy.policy.policy_string, [of_key(pin).to_string()]);
        // One connection was used for both: it is one session.
        assert_eq!((counts(policy), policy.failure_details.len()), ((1, 0), 0));

        let [policy] = told_clear.policies.as_slice() else { panic!("{told_clear:#?}") };
        assert_eq!((&policy.policy.policy_type, policy.policy.policy_domain.as_str()), (&PolicyType::NoPolicyFound, "clear.example"));
        let failure = &policy.failure_details[0];
        assert_eq!((counts(policy), failure.result_type.as_str(), failure.failed_session_count), ((0, 1), "starttls-not-supported", 1));
        assert_eq!(failure.receiving_mx_hostname.as_deref(), Some("mx.clear.example"));
        assert_eq!(failure.receiving_mx_helo.as_deref(), Some("mx.test"));
        assert_eq!(failure.receiving_ip, Some(clear.address.ip().to_string()));
        assert!(failure.sending_mta_ip.as_deref().is_some_and(|address| address.starts_with("127.")), "{failure:?}");

        let [policy] = told_wrong.policies.as_slice() else { panic!("{told_wrong:#?}") };
        assert_eq!((&policy.policy.policy_type, policy.policy.policy_domain.as_str()), (&PolicyType::Tlsa, "mx.wrong.example"));
        let failure = &policy.failure_details[0];
        assert_eq!((failure.result_type.as_str(), failure.failure_reason_code.as_deref()), ("tlsa-invalid", Some("tlsa-mismatch")));
        assert!(counts(policy).0 == 0 && counts(policy).1 > 0);

        // Of a day on which nothing was seen nothing is told; the mail that waits is tried again.
        relay.wait(EventKind::CheckTls, "a@wrong.example", 2).await;
        clock.advance(DAY);
        let reports = web.reports(4).await;
        assert_eq!(reports.iter().filter(|report| report.policies[0].policy.policy_domain == "mx.wrong.example").count(), 2);
        relay.shutdown().await;
    }

    /// RFC 8460 section 3: the report arrives even where TLS is what is wrong, and its delivery is in no report.
    // req: E3
    #[tokio::test]
    #[ignore = "needs root and ports 25 and 443"]
    async fn a_report_by_mail_arrives_where_tls_is_wrong_and_is_in_no_report() {
        let (tls, pin) = backend_and_pin(Kind::SelfSigned, "elsewhere.example");
        let bank = exchanger(StartTls::Offered(Arc::new(tls))).await;
        let office = Office::new();
        office.publish("bank.example", &bank, "mailto:reports@bank.example");
        let host = domain("mx.bank.example");
        office.house.dns.set_tlsa(&host, vec![of_key(backend_and_pin(Kind::Right, "x.example").1)]);
        let dns = office.house.dns.clone();
        let (relay, clock, _folder) = office.start().await;
        send(&relay, "a@bank.example").await;
        relay.wait(EventKind::CheckTls, "a@bank.example", 1).await;
        assert_eq!(bank.count(), 0, "the control: other mail waits");

        let mut told = Vec::new();
        for day in 1..=2 {
            clock.advance(DAY);
            let message = bank.messages(day).await.remove(day - 1);
            assert_eq!(
                (message.from.as_str(), message.to.as_slice()),
                ("tlsrpt@relay.example", ["reports@bank.example".to_owned()].as_slice())
            );
            let text = String::from_utf8(message.octets.clone()).unwrap();
            assert!(
                text.contains("DKIM-Signature: v=1; a=ed25519-sha256;") && text.contains("TLS-Report-Domain: bank.example\r\n"),
                "{text}"
            );
            told.push(read_report(&message.octets).unwrap());
            // The mail that waits is tried again, and that is counted.
            let tried = relay.count(EventKind::CheckTls);
            relay.when("another attempt", |events| events.iter().filter(|event| event.kind == EventKind::CheckTls).count() > tried).await;
        }
        for report in &told {
            let [policy] = report.policies.as_slice() else { panic!("{report:#?}") };
            assert_eq!(policy.summary.total_successful_session_count, 0, "the report of the day before went over TLS: {report:#?}");
            assert!(policy.summary.total_failure_session_count > 0);
            assert_eq!(policy.failure_details[0].result_type.as_str(), "tlsa-invalid");
        }
        assert_ne!(told[0].report_id, told[1].report_id);

        // The control: what is no report is counted when it arrives.
        dns.set_tlsa(&host, vec![of_key(pin)]);
        relay.first(EventKind::Delivered, "a@bank.example").await;
        clock.advance(DAY);
        let last = bank.messages(4).await.pop().unwrap();
        let successes: u64 = read_report(&last.octets).unwrap().policies.iter().map(|policy| counts(policy).0).sum();
        assert_eq!(successes, 1);
        relay.shutdown().await;
    }

    /// RFC 8460 section 4.3.2: what does not meet an MTA-STS policy in testing is told, though the mail goes; so is a policy that cannot be had.
    // req: E2 E3
    #[tokio::test]
    #[ignore = "needs root and ports 25 and 443"]
    async fn what_does_not_meet_an_mta_sts_policy_is_told() {
        let testing = "version: STSv1\r\nmode: testing\r\nmx: mx.NAME\r\nmax_age: 604800\r\n";
        let elsewhere = "version: STSv1\r\nmode: testing\r\nmx: *.elsewhere.example\r\nmax_age: 604800\r\n";
        // what the exchanger shows, the policy; what went well, and what did not, under which kind of policy
        for (number, (kind, policy, expected)) in [
            (Kind::Right, testing, vec!["sts 1 -"]),
            (Kind::SelfSigned, testing, vec!["sts 0 certificate-not-trusted"]),
            (Kind::Expired, testing, vec!["sts 0 certificate-expired"]),
            (Kind::WrongName, testing, vec!["sts 0 certificate-host-mismatch"]),
            (Kind::Right, elsewhere, vec!["sts 0 validation-failure"]),
            (Kind::Right, "no policy", vec!["no-policy-found 1 -", "sts 0 sts-policy-invalid"]),
            (Kind::Right, "", vec!["no-policy-found 1 -", "sts 0 sts-webpki-invalid"]),
        ]
        .into_iter()
        .enumerate()
        {
            let name = format!("d{number}.example");
            let mx = exchanger(StartTls::Offered(Arc::new(backend(kind, &format!("mx.{name}"))))).await;
            let certificate = if policy.is_empty() { "other.example".to_owned() } else { format!("mta-sts.{name}") };
            let host = serve_policy(backend(Kind::Right, &certificate), policy.replace("NAME", &name)).await;
            let web = Web::start().await;
            let office = Office::new();
            office.publish(&name, &mx, &format!("https://reports.example:{}/", web.port));
            office.house.dns.set_txt(&domain(&format!("_mta-sts.{name}")), vec![b"v=STSv1; id=1;".to_vec()]);
            office.house.dns.set_addresses(&domain(&format!("mta-sts.{name}")), vec![host.into()]);
            let (relay, clock, _folder) = office.start().await;
            let to = format!("a@{name}");
            send(&relay, &to).await;
            relay.first(EventKind::Delivered, &to).await;
            let counted = page(&relay).await;
            let kept = sum(&counted, "sealpost_mta_sts_policies", "mode=\"testing\"");
            let result = match policy {
                "" => "untrusted",
                "no policy" => "void",
                _ => "fetched",
            };
            assert_eq!(kept, if result == "fetched" { 1.0 } else { 0.0 }, "{counted}");
            assert_eq!(sum(&counted, "sealpost_mta_sts_fetches_total", &format!("result=\"{result}\"")), 1.0, "{counted}");
            assert_eq!(sum(&counted, "sealpost_mta_sts_fetches_total", ""), 1.0, "{counted}");
            assert_eq!(sum(&counted, "sealpost_mta_sts_cache_bytes", "") > 0.0, kept > 0.0, "{counted}");
            clock.advance(DAY);
            let report = web.reports(1).await.remove(0);
            let shown: Vec<_> = report
                .policies
                .iter()
                .map(|one| {
                    assert_eq!(one.policy.policy_domain, name);
                    let is_whole =
                        one.policy.policy_string.first().is_some_and(|line| line == "version: STSv1") && one.policy.mx_host.len() == 1;
                    assert_eq!(is_whole, expected.len() == 1, "{report:#?}");
                    let failed = one.failure_details.first().map(|failure| failure.result_type.as_str());
                    format!("{} {} {}", one.policy.policy_type.as_str(), counts(one).0, failed.unwrap_or("-"))
                })
                .collect();
            assert_eq!(shown, expected, "{kind:?} {policy:?}");
            relay.shutdown().await;
        }
    }

    /// Where a policy is served on port 443 of an address of its own.
    async fn serve_policy(tls: sealpost_transport::RustlsBackend, policy: String) -> Ipv4Addr {
        let address = own_address();
        let listener = TcpListener::bind(SocketAddr::from((address, 443))).await.unwrap();
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let Ok(shaken) = tls.accept(tcp, ClientCertificate::NotAsked).await else { continue };
                let (mut stream, mut octets) = (shaken.stream, Vec::new());
                while !octets.ends_with(b"\r\n\r\n") && stream.read_buf(&mut octets).await.is_ok_and(|count| count > 0) {}
                let head =
                    format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", policy.len());
                let _ = stream.write_all(format!("{head}{policy}").as_bytes()).await;
                let _ = stream.shutdown().await;
            }
        });
        address
    }
}
