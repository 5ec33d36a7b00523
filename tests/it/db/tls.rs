//! `sslmode`, one by one, against a server with a certificate for `db.test`.

use pgassay::db::{Audited, AuditedOptions, DbErrorKind};

use super::{conninfo, net};

async fn connects(text: &str) -> Result<(), (DbErrorKind, String)> {
    let info = conninfo(text).unwrap_or_else(|error| panic!("{error}"));
    Audited::connect(&info, AuditedOptions::default())
        .await
        .map(drop)
        .map_err(|error| (error.kind(), format!("{error} {:?}", error.hints())))
}

#[tokio::test]
async fn encrypted_or_not_as_the_mode_says() {
    let at = net::server().await.at();
    let login = |user: &str, mode: &str| {
        format!("{at} user={user} password=right dbname=postgres sslmode={mode}")
    };
    for (user, mode, works) in [
        ("tlsonly", "disable", false),
        ("tlsonly", "allow", true),
        ("tlsonly", "prefer", true),
        ("tlsonly", "require", true),
        ("plainonly", "disable", true),
        ("plainonly", "allow", true),
        ("plainonly", "prefer", true),
        ("plainonly", "require", false),
    ] {
        let result = connects(&login(user, mode)).await;
        assert_eq!(result.is_ok(), works, "{user} {mode}: {result:?}");
    }
}

#[tokio::test]
async fn certificates_are_checked_as_the_mode_says() {
    let server = net::server().await;
    let login = "user=alice password=right dbname=postgres";
    let ca = server.file("ca.crt").display().to_string();
    let other = server.file("other.crt").display().to_string();
    let own = server.file("server.crt").display().to_string();
    let (by_name, by_address) = (server.by_name(), server.at());
    for (place, mode, root, works) in [
        (&by_name, "verify-full", &ca, true),
        (&by_address, "verify-full", &ca, false),
        (&by_name, "verify-full", &other, false),
        (&by_address, "verify-ca", &ca, true),
        (&by_address, "verify-ca", &other, false),
        // a certificate given as its own root is trusted as itself, for its own name
        (&by_name, "verify-full", &own, true),
        (&by_address, "verify-full", &own, false),
        // a root file turns require into verify-ca
        (&by_address, "require", &ca, true),
        (&by_address, "require", &other, false),
    ] {
        let result = connects(&format!(
            "{place} {login} sslmode={mode} sslrootcert={root}"
        ))
        .await;
        assert_eq!(result.is_ok(), works, "{place} {mode} {root}: {result:?}");
        if let Err((kind, _)) = result {
            assert_eq!(kind, DbErrorKind::Tls);
        }
    }
    // nobody public signed it
    let result = connects(&format!("{by_name} {login} sslrootcert=system")).await;
    assert_eq!(result.unwrap_err().0, DbErrorKind::Tls);
    let (_, said) = connects(&format!(
        "{by_address} {login} sslmode=verify-full sslrootcert={ca}"
    ))
    .await
    .unwrap_err();
    assert!(said.contains("names another host"), "{said}");
}

#[tokio::test]
async fn client_certificates_log_in() {
    let server = net::server().await;
    let place = format!(
        "{} user=certonly dbname=postgres sslmode=require",
        server.at()
    );
    let (cert, key) = (server.file("client.crt"), server.file("client.key"));
    connects(&format!(
        "{place} sslcert={} sslkey={}",
        cert.display(),
        key.display()
    ))
    .await
    .unwrap();
    assert!(connects(&place).await.is_err());
}

#[tokio::test]
async fn channel_binding_is_used_where_asked_for() {
    let server = net::server().await;
    let login = "user=alice password=right dbname=postgres channel_binding=require";
    connects(&format!("{} {login} sslmode=require", server.at()))
        .await
        .unwrap();
    let result = connects(&format!("{} {login} sslmode=disable", server.at())).await;
    assert_eq!(result.unwrap_err().0, DbErrorKind::Authentication);
}
