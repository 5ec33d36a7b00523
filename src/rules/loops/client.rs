//! Which library wrote a statement, told by how it writes SQL; nothing is said when two could have.

/// A library that builds SQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Client {
    ActiveRecord,
    Django,
    Doctrine,
    Drizzle,
    Ecto,
    EntityFramework,
    Gorm,
    Hibernate,
    Peewee,
    Prisma,
    Sequel,
    Sequelize,
    SqlAlchemy,
    TypeOrm,
}

impl Client {
    /// The library's name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::ActiveRecord => "ActiveRecord",
            Self::Django => "Django",
            Self::Doctrine => "Doctrine",
            Self::Drizzle => "Drizzle",
            Self::Ecto => "Ecto",
            Self::EntityFramework => "Entity Framework",
            Self::Gorm => "GORM",
            Self::Hibernate => "Hibernate",
            Self::Peewee => "Peewee",
            Self::Prisma => "Prisma",
            Self::Sequel => "Sequel",
            Self::Sequelize => "Sequelize",
            Self::SqlAlchemy => "SQLAlchemy",
            Self::TypeOrm => "TypeORM",
        }
    }
}

/// The library that wrote this text, when only one writes so.
pub(super) fn recognise(text: &str) -> Option<Client> {
    let mut matching = MARKS.iter().filter(|(_, marks)| marks(text));
    match (matching.next(), matching.next()) {
        (Some((client, _)), None) => Some(*client),
        _ => None,
    }
}

type Marks = fn(&str) -> bool;

static MARKS: &[(Client, Marks)] = &[];
