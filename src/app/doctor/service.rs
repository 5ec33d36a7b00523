//! Who runs the server, and how a setting is changed there.

use crate::catalog::ServerFacts;

/// The hosts that are told apart, by settings that only they have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Service {
    SelfManaged,
    Rds,
    Aurora,
    CloudSql,
    AlloyDb,
    Azure,
    Supabase,
    Neon,
}

/// When a setting takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    /// `context` sighup or weaker.
    Reload,
    /// `context` postmaster.
    Restart,
}

/// What to do, and how to take it back.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) fix: Vec<String>,
    pub(super) undo: Vec<String>,
}

impl Service {
    /// By prefixes of setting names: each service has its own, and no role is needed to see them.
    pub(super) fn of(server: &ServerFacts) -> Self {
        let has = |prefix: &str| server.settings.iter().any(|s| s.name.starts_with(prefix));
        let candidates = [
            (has("aurora"), Self::Aurora),
            (has("rds."), Self::Rds),
            (has("alloydb."), Self::AlloyDb),
            (has("cloudsql."), Self::CloudSql),
            (has("azure."), Self::Azure),
            (has("neon."), Self::Neon),
            (has("supautils."), Self::Supabase),
        ];
        let found = candidates.into_iter().find(|(is_it, _)| *is_it);
        found.map_or(Self::SelfManaged, |(_, service)| service)
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::SelfManaged => "self-managed",
            Self::Rds => "Amazon RDS",
            Self::Aurora => "Amazon Aurora",
            Self::CloudSql => "Cloud SQL",
            Self::AlloyDb => "AlloyDB",
            Self::Azure => "Azure Database for PostgreSQL",
            Self::Supabase => "Supabase",
            Self::Neon => "Neon",
        }
    }

    /// Changes a setting from `old` (`None`: the service's default) to `new`.
    pub(super) fn set(self, name: &str, new: &str, old: Option<&str>, effect: Effect) -> Change {
        match self {
            Self::SelfManaged => self_managed(name, new, old, effect),
            Self::Rds => aws("db-parameter-group", name, new, effect),
            Self::Aurora => aws("db-cluster-parameter-group", name, new, effect),
            Self::CloudSql => Change {
                fix: vec![
                    format!("gcloud sql instances patch INSTANCE --database-flags={name}={new}"),
                    "(--database-flags replaces all flags: name those that are set already, too)"
                        .to_owned(),
                ],
                undo: vec!["the same command without this flag".to_owned()],
            },
            Self::AlloyDb => Change {
                fix: vec![
                    format!(
                        "gcloud alloydb instances update INSTANCE --cluster=CLUSTER --region=REGION --database-flags={name}={new}"
                    ),
                    "(--database-flags replaces all flags: name those that are set already, too)"
                        .to_owned(),
                ],
                undo: vec!["the same command without this flag".to_owned()],
            },
            Self::Azure => azure(name, new, old, effect),
            Self::Supabase => Change {
                fix: vec![format!(
                    "in the project's custom Postgres configuration: {name} = {new}"
                )],
                undo: vec![format!("remove {name} from that configuration")],
            },
            Self::Neon => Change {
                fix: vec![format!(
                    "{name} is set by the service; ask its support for {new}"
                )],
                undo: vec!["nothing was changed".to_owned()],
            },
        }
    }
}

fn self_managed(name: &str, new: &str, old: Option<&str>, effect: Effect) -> Change {
    let then = match effect {
        Effect::Reload => "SELECT pg_reload_conf();",
        Effect::Restart => "-- then restart the server",
    };
    let back = match old {
        Some(old) => format!(
            "ALTER SYSTEM SET {name} = {};",
            crate::sql::quote_literal(old)
        ),
        None => format!("ALTER SYSTEM RESET {name};"),
    };
    let set = format!(
        "ALTER SYSTEM SET {name} = {};",
        crate::sql::quote_literal(new)
    );
    Change {
        fix: vec![set, then.to_owned()],
        undo: vec![back, then.to_owned()],
    }
}

fn aws(group: &str, name: &str, new: &str, effect: Effect) -> Change {
    let method = match effect {
        Effect::Reload => "immediate",
        Effect::Restart => "pending-reboot",
    };
    let mut fix = vec![format!(
        "aws rds modify-{group} --{group}-name GROUP --parameters \"ParameterName={name},ParameterValue={new},ApplyMethod={method}\""
    )];
    if effect == Effect::Restart {
        fix.push("then reboot the instance".to_owned());
    }
    Change {
        fix,
        undo: vec![format!(
            "aws rds reset-{group} --{group}-name GROUP --parameters \"ParameterName={name},ApplyMethod={method}\""
        )],
    }
}

fn azure(name: &str, new: &str, old: Option<&str>, effect: Effect) -> Change {
    let set = |value: &str| {
        format!(
            "az postgres flexible-server parameter set --resource-group GROUP --server-name SERVER --name {name} --value \"{value}\""
        )
    };
    let mut fix = vec![set(new)];
    if effect == Effect::Restart {
        fix.push("then restart the server".to_owned());
    }
    Change {
        fix,
        undo: vec![set(old.unwrap_or("DEFAULT"))],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Setting;

    #[test]
    fn services_are_known_by_their_settings() {
        let of = |name: &str| {
            Service::of(&ServerFacts {
                settings: vec![Setting {
                    name: name.into(),
                    ..Setting::default()
                }],
                ..ServerFacts::default()
            })
        };
        assert_eq!(of("work_mem"), Service::SelfManaged);
        assert_eq!(of("rds.force_ssl"), Service::Rds);
        assert_eq!(of("cloudsql.logical_decoding"), Service::CloudSql);
        assert_eq!(of("azure.extensions"), Service::Azure);
        assert_eq!(of("supautils.reserved_roles"), Service::Supabase);
        assert_eq!(of("neon.tenant_id"), Service::Neon);
    }

    #[test]
    fn values_cannot_break_out_of_the_sql() {
        let change = Service::SelfManaged.set("x", "it's", Some("'"), Effect::Restart);
        assert_eq!(change.fix[0], "ALTER SYSTEM SET x = 'it''s';");
        assert_eq!(change.undo[0], "ALTER SYSTEM SET x = '''';");
    }
}
