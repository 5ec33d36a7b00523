//! Connecting: what fails, how it is said, and that no secret is in it.

use std::time::Duration;

use pgassay::db::{Audited, AuditedOptions, DbErrorKind};
use tokio::{io::AsyncWriteExt, net::TcpListener};

use super::{conninfo, net};

async fn failure(text: &str) -> (DbErrorKind, String, Vec<String>) {
    let result = match conninfo(text) {
        Ok(info) => Audited::connect(&info, AuditedOptions::default())
            .await
            .map(drop),
        Err(error) => Err(error),
    };
    let error = result.expect_err(text);
    let shown = format!("{error} {error:?}");
    assert!(!shown.contains("s3cr3t"), "{shown}");
    (error.kind(), error.to_string(), error.hints().to_vec())
}

#[tokio::test]
async fn each_failure_has_its_kind_and_hint() {
    let at = net::server().await.at();
    let check = async |text: String, kind: DbErrorKind, message: &str, hint: &str| {
        let (found, said, hints) = failure(&text).await;
        assert_eq!(found, kind, "{text}: {said}");
        assert!(said.contains(message), "{said}");
        assert!(hints.iter().any(|h| h.contains(hint)), "{hints:?}");
    };
    let auth = DbErrorKind::Authentication;
    check(
        format!("{at} user=alice password=s3cr3t-wrong dbname=postgres"),
        auth,
        "wrong password",
        "PGPASSWORD",
    )
    .await;
    check(
        format!("{at} user=nosuchrole password=s3cr3t dbname=postgres"),
        auth,
        "wrong password, or no such role",
        "",
    )
    .await;
    check(
        format!("{at} user=alice dbname=postgres"),
        auth,
        "asks for a password",
        ".pgpass",
    )
    .await;
    check(
        format!("{at} user=refused password=s3cr3t dbname=postgres"),
        auth,
        "pg_hba.conf",
        "",
    )
    .await;
    check(
        format!("{at} user=alice password=right dbname=nosuchdb"),
        DbErrorKind::UnknownDatabase,
        "database \"nosuchdb\" does not exist",
        "--list",
    )
    .await;
    check(
        format!("{at} user=alice password=right dbname=closed"),
        DbErrorKind::NoPrivilege,
        "may not connect",
        "GRANT CONNECT",
    )
    .await;
    let nowhere = DbErrorKind::Unreachable;
    check(
        "postgres://u:s3cr3t@127.0.0.1:1/x".into(),
        nowhere,
        "127.0.0.1:1: connection refused",
        "firewall",
    )
    .await;
    check(
        "postgres://u:s3cr3t@no-such-host.invalid/x".into(),
        nowhere,
        "cannot be resolved",
        "",
    )
    .await;
    check(
        "host=/nonexistent password=s3cr3t".into(),
        nowhere,
        "no such socket",
        "",
    )
    .await;
    check(
        "mysql://u:s3cr3t@h/x".into(),
        DbErrorKind::Conninfo,
        "unknown URL scheme",
        "postgres://",
    )
    .await;
}

#[tokio::test]
async fn passwords_and_files_log_in() {
    let server = net::server().await;
    let at = server.at();
    let info = conninfo(&format!("{at} user=alice password=right dbname=postgres")).unwrap();
    Audited::connect(&info, AuditedOptions::default())
        .await
        .unwrap();
    let passfile = server.folder().join("passfile");
    std::fs::write(&passfile, "*:*:postgres:alice:right\n").unwrap();
    let info = conninfo(&format!(
        "{at} user=alice dbname=postgres passfile={}",
        passfile.display()
    ))
    .unwrap();
    Audited::connect(&info, AuditedOptions::default())
        .await
        .unwrap();
    let services = server.folder().join("services");
    std::fs::write(
        &services,
        format!(
            "[mine]\n{}\nuser=alice\npassword=right\ndbname=postgres\n",
            at.replace(' ', "\n")
        ),
    )
    .unwrap();
    let info = conninfo(&format!("service=mine servicefile={}", services.display())).unwrap();
    Audited::connect(&info, AuditedOptions::default())
        .await
        .unwrap();
}

#[tokio::test]
async fn the_first_server_that_answers_and_fits_is_taken() {
    let server = net::server().await;
    let (address, port) = (server.address(), server.port());
    let login = "user=alice password=right dbname=postgres";
    let info = conninfo(&format!("host=127.0.0.1,{address} port=1,{port} {login}")).unwrap();
    Audited::connect(&info, AuditedOptions::default())
        .await
        .unwrap();
    for (attrs, fits) in [
        ("read-write", true),
        ("primary", true),
        ("prefer-standby", true),
        ("standby", false),
        ("read-only", false),
    ] {
        let info = conninfo(&format!(
            "{} {login} target_session_attrs={attrs}",
            server.at()
        ))
        .unwrap();
        let result = Audited::connect(&info, AuditedOptions::default()).await;
        assert_eq!(result.is_ok(), fits, "{attrs}: {result:?}");
    }
}

/// Answers every connection with these bytes, then keeps it open.
async fn answering(bytes: &'static [u8]) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let mut open = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            stream.write_all(bytes).await.ok();
            open.push(stream);
        }
    });
    port
}

#[tokio::test]
async fn what_is_no_postgres_is_said_to_be_none() {
    // how MySQL greets, an HTTP answer, and a server that says nothing
    for greeting in [
        &b"J\0\0\0\n8.0.36\0"[..],
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
    ] {
        let port = answering(greeting).await;
        let (kind, said, _) = failure(&format!(
            "postgres://u:s3cr3t@127.0.0.1:{port}/x?connect_timeout=2"
        ))
        .await;
        assert_eq!(kind, DbErrorKind::Unreachable, "{said}");
    }
    let port = answering(b"").await;
    let started = std::time::Instant::now();
    let (kind, said, _) = failure(&format!(
        "postgres://u:s3cr3t@127.0.0.1:{port}/x?connect_timeout=2"
    ))
    .await;
    assert_eq!(kind, DbErrorKind::Unreachable);
    assert!(said.contains("no answer in time"), "{said}");
    assert!(started.elapsed() < Duration::from_secs(60));
}

#[tokio::test]
async fn require_sends_nothing_more_to_a_server_without_tls() {
    let port = answering(b"N").await;
    let (kind, said, _) = failure(&format!(
        "postgres://u:s3cr3t@127.0.0.1:{port}/x?sslmode=require&connect_timeout=2"
    ))
    .await;
    assert_eq!(kind, DbErrorKind::Tls, "{said}");
    assert!(said.contains("does not support TLS"), "{said}");
}

#[tokio::test]
async fn bytes_behind_the_answer_to_sslrequest_are_refused() {
    // 'S', and an AuthenticationOk in clear behind it (CVE-2021-23222)
    let port = answering(b"SR\0\0\0\x08\0\0\0\0Z\0\0\0\x05I").await;
    let (kind, said, _) = failure(&format!(
        "postgres://u:s3cr3t@127.0.0.1:{port}/x?sslmode=require&connect_timeout=2"
    ))
    .await;
    assert_eq!(kind, DbErrorKind::Tls, "{said}");
}
