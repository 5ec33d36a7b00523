//! What an application sends for one request: statements, and the loops around them.

/// One kind of request.
#[derive(Debug)]
pub struct Request {
    /// As the application would tag it.
    pub name: &'static str,
    /// How often it comes in one drive.
    pub n: u32,
    /// How its statements are sent.
    pub protocol: Protocol,
    /// In this order, on one connection.
    pub steps: &'static [Step],
}

/// How statements are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// Prepared once a request, executed with parameters.
    Prepared,
    /// Literals in the text, simple query protocol.
    Simple,
}

/// One step of a request.
#[derive(Debug)]
pub enum Step {
    /// A statement. Its rows are what the steps below run over.
    Query(&'static str, &'static [Arg]),
    /// A statement for each row of the last [`Step::Query`], with that column (a bigint) as `$1`: the loop that this is all about.
    ForEach(&'static str, usize),
    /// One statement for all rows of the last [`Step::Query`], with that column's values as the array `$1`: how it should be done.
    ForAll(&'static str, usize),
    /// A statement so many times, each with arguments of its own.
    Repeat(u32, &'static str, &'static [Arg]),
    /// `BEGIN`
    Begin,
    /// `COMMIT`
    Commit,
}

/// What a parameter is drawn from.
#[derive(Debug, Clone, Copy)]
pub enum Arg {
    /// An id of the table whose size has that name, each equally likely.
    Id(&'static str),
    /// An id of that table, low ones far more often: half of all draws fall into the first eighth.
    Popular(&'static str),
    /// One of these, each equally likely.
    OneOf(&'static [&'static str]),
    /// A number below this.
    Below(u64),
}
