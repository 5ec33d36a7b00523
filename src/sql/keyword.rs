//! The keywords that the normaliser treats specially, found without allocation.

/// A keyword by what it means to the normaliser; every other word is [`Keyword::Identifier`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keyword {
    /// A name, or a keyword that nothing depends on; what follows may be its operator or call.
    Identifier,
    /// A keyword after which an expression or a list starts: `(` is set off by a space and `-` is a sign.
    Clause,
    In,
    Not,
    Is,
    Any,
    All,
    Array,
    Values,
    As,
    By,
    Set,
    Into,
    /// Ends a list of ORDER BY or GROUP BY keys, or of assignments.
    EndsList,
    Null,
    Boolean,
    Cast,
    Default,
    /// SELECT, WITH, TABLE: opens a subquery after `(`.
    Query,
    On,
    Password,
}

/// Longest word in the table.
const LONGEST: usize = 9;

/// Looks up a word that is already in lower case.
pub(super) fn keyword(word: &[u8]) -> Keyword {
    if word.len() > LONGEST || word.len() < 2 {
        return Keyword::Identifier;
    }
    match word {
        b"in" => Keyword::In,
        b"not" => Keyword::Not,
        b"is" => Keyword::Is,
        b"any" | b"some" => Keyword::Any,
        b"all" => Keyword::All,
        b"array" => Keyword::Array,
        b"values" => Keyword::Values,
        b"as" => Keyword::As,
        b"by" => Keyword::By,
        b"set" => Keyword::Set,
        b"into" => Keyword::Into,
        b"null" => Keyword::Null,
        b"true" | b"false" => Keyword::Boolean,
        b"cast" => Keyword::Cast,
        b"default" => Keyword::Default,
        b"select" | b"with" | b"table" => Keyword::Query,
        b"on" => Keyword::On,
        b"password" => Keyword::Password,
        b"limit" | b"offset" | b"having" | b"where" | b"from" | b"returning" | b"union"
        | b"except" | b"intersect" | b"fetch" | b"rows" | b"range" | b"groups" | b"window"
        | b"when" | b"for" => Keyword::EndsList,
        b"and" | b"or" | b"between" | b"then" | b"else" | b"like" | b"ilike" | b"similar"
        | b"case" | b"using" | b"over" | b"filter" | b"exists" | b"distinct" | b"to" | b"join"
        | b"lateral" | b"only" | b"conflict" | b"symmetric" | b"escape" => Keyword::Clause,
        _ => Keyword::Identifier,
    }
}

impl Keyword {
    /// Whether an operand may follow directly, so that `-` is a sign and `(` no call.
    pub(super) fn awaits_operand(self) -> bool {
        !matches!(
            self,
            Self::Identifier
                | Self::Null
                | Self::Boolean
                | Self::Any
                | Self::All
                | Self::Array
                | Self::Cast
                | Self::Password
                | Self::Default
        )
    }
}
