//! What the normaliser knows of an open bracket and of the list in it.

/// What an open bracket belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FrameKind {
    Plain,
    /// `IN (…)`; negated by NOT.
    In {
        negated: bool,
    },
    /// `ARRAY[…]`
    Array,
    /// `= ANY (…)`, or `<> ALL (…)`, which is negated.
    Any {
        negated: bool,
    },
    /// A row of VALUES.
    Row,
    /// `numeric(10, 2)` in a cast.
    TypeModifier,
    /// `CAST (… AS …)`
    Cast,
}

/// Elements of a list that is being read, as ranges of the working text.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct List {
    /// Where the first element stands.
    pub(super) first: (usize, usize),
    /// Where the last element that was kept stands.
    pub(super) last: (usize, usize),
    /// Where the current element starts.
    pub(super) current: usize,
    /// Working text and operands are cut back to here when the current element reads like an earlier one.
    pub(super) cut: usize,
    pub(super) operands: usize,
    /// Operands of the first element: the whole list's when there is exactly one.
    pub(super) first_operands: (usize, usize),
    /// Elements read.
    pub(super) n: u32,
    /// An element was cut, or the text held the marker.
    pub(super) collapsed: bool,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Frame {
    pub(super) kind: FrameKind,
    /// Working text's length where a rewrite to `=` would start: before `IN`, `NOT IN` or `ANY`.
    pub(super) intro: usize,
    /// Working text's length behind the bracket.
    pub(super) content: usize,
    pub(super) list: List,
    /// Rows of VALUES are being read in this frame.
    pub(super) rows: Option<List>,
    /// In a list of ORDER BY or GROUP BY keys.
    pub(super) in_keys: bool,
    /// In a list of assignments.
    pub(super) in_set: bool,
    /// Where the content of an only child `ARRAY[x]` stands.
    pub(super) sole_array: Option<(usize, usize)>,
}

impl List {
    pub(super) fn starting_at(content: usize, n_operands: usize) -> Self {
        Self {
            current: content,
            cut: content,
            operands: n_operands,
            ..Self::default()
        }
    }
}

impl Frame {
    pub(super) fn new(kind: FrameKind, intro: usize, content: usize, n_operands: usize) -> Self {
        Self {
            kind,
            intro,
            content,
            list: List::starting_at(content, n_operands),
            rows: None,
            in_keys: false,
            in_set: false,
            sole_array: None,
        }
    }

    pub(super) fn has_list(&self) -> bool {
        matches!(self.kind, FrameKind::In { .. } | FrameKind::Array)
    }

    /// Whether its list had exactly one element.
    pub(super) fn is_single(&self) -> bool {
        self.has_list() && self.list.n == 1 && !self.list.collapsed
    }
}
