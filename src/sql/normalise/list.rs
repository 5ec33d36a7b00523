//! Brackets and the lists in them: how elements that read alike become one.

use super::{
    BeforeWord, MAX_DEPTH, Normaliser, PLACEHOLDER, Previous, TypeName,
    frame::{Frame, FrameKind, List},
};
use crate::sql::{keyword::Keyword, lexer::LIST_MARKER};

impl Normaliser {
    pub(super) fn open(&mut self, bracket: u8) {
        let kind = self.frame_kind(bracket);
        if kind != FrameKind::Row {
            self.finish_rows();
        }
        if self.sets_off(bracket) {
            self.space();
        }
        if kind == FrameKind::Row {
            self.start_row();
        }
        self.text.push(bracket);
        self.previous = Previous::Open;
        self.after_into = false;
        if self.frames.len() < MAX_DEPTH {
            let intro = match (kind, self.before_word) {
                (FrameKind::Any { .. }, _) | (_, BeforeWord::Not) => self.before_word_at,
                _ => self.word_at,
            };
            let frame = Frame::new(kind, intro, self.text.len(), self.operands.len());
            self.frames.push(frame);
        } else {
            self.n_too_deep += 1;
        }
    }

    fn frame_kind(&mut self, bracket: u8) -> FrameKind {
        let parent = *self.frame();
        match (bracket, self.previous) {
            (b'[', Previous::Word(Keyword::Array)) => FrameKind::Array,
            (b'[', Previous::Open | Previous::Comma) if parent.kind == FrameKind::Array => {
                FrameKind::Array
            }
            (b'[', _) => FrameKind::Plain,
            (_, _) if self.type_name == TypeName::Read => FrameKind::TypeModifier,
            (_, Previous::Word(Keyword::Values) | Previous::Comma) if parent.rows.is_some() => {
                FrameKind::Row
            }
            (_, Previous::Word(Keyword::In)) => FrameKind::In {
                negated: self.before_word == BeforeWord::Not,
            },
            (_, Previous::Word(Keyword::Any)) if self.before_word == BeforeWord::Equal => {
                FrameKind::Any { negated: false }
            }
            (_, Previous::Word(Keyword::All)) if self.before_word == BeforeWord::NotEqual => {
                FrameKind::Any { negated: true }
            }
            (_, Previous::Word(Keyword::Cast)) => FrameKind::Cast,
            _ => FrameKind::Plain,
        }
    }

    /// Whether a space goes before an opening bracket: not in a call or a subscript.
    fn sets_off(&self, bracket: u8) -> bool {
        match self.previous {
            Previous::Operator | Previous::Comma | Previous::Other => true,
            Previous::Word(_) | Previous::Operand if self.after_into => true,
            Previous::Word(keyword) => bracket == b'(' && keyword.awaits_operand(),
            _ => false,
        }
    }

    pub(super) fn close(&mut self, bracket: u8) {
        if self.n_too_deep > 0 {
            self.n_too_deep -= 1;
            self.text.push(bracket);
        } else if self.frames.len() > 1 {
            self.finish_element();
            let frame = self.frames.pop().expect("checked just above");
            self.close_frame(&frame, bracket);
        } else {
            self.text.push(bracket);
        }
        self.previous = Previous::Close;
    }

    fn close_frame(&mut self, frame: &Frame, bracket: u8) {
        if self.close_single(frame) {
            return;
        }
        if frame.list.collapsed && frame.has_list() {
            self.text.push(b' ');
            self.text.extend_from_slice(LIST_MARKER);
        }
        let end = self.text.len();
        self.text.push(bracket);
        if frame.kind == FrameKind::Row {
            self.finish_row();
        }
        let parent = self.frame();
        // an array of one element that is all its parent holds
        if frame.is_single() && parent.content + b"array[".len() == frame.content {
            parent.sole_array = Some((frame.content, end));
        }
    }

    /// Closes `IN (x)` and `ANY (ARRAY[x])` by rewriting them to `= x`, where they are that.
    fn close_single(&mut self, frame: &Frame) -> bool {
        let end = self.text.len();
        match (frame.kind, frame.sole_array) {
            (FrameKind::In { negated }, _) if frame.is_single() => {
                self.rewrite_to_equal(frame.intro, (frame.content, end), negated)
            }
            (FrameKind::Any { negated }, Some(array)) if array.1 + 1 == end => {
                self.rewrite_to_equal(frame.intro, array, negated)
            }
            _ => false,
        }
    }

    /// Writes `= x` in place of `IN (x)`, where `x` is a plain value that stands at `start..end` of the working text.
    fn rewrite_to_equal(
        &mut self,
        intro: usize,
        (start, end): (usize, usize),
        negated: bool,
    ) -> bool {
        if intro == 0 || !is_value(&self.text[start..end]) {
            return false;
        }
        let operator: &[u8] = if negated { b" <> " } else { b" = " };
        let len = end - start;
        self.text.copy_within(start..end, intro + operator.len());
        self.text[intro..intro + operator.len()].copy_from_slice(operator);
        self.text.truncate(intro + operator.len() + len);
        true
    }

    pub(super) fn comma(&mut self) {
        let in_rows = self.previous == Previous::Close && self.frame().rows.is_some();
        if !in_rows {
            self.finish_rows();
        }
        if self.frame().has_list() {
            self.finish_element();
            let (cut, n_operands) = (self.text.len(), self.operands.len());
            let list = &mut self.frame().list;
            list.cut = cut;
            list.current = cut + b", ".len();
            list.operands = n_operands;
        } else if in_rows {
            let (cut, n_operands) = (self.text.len(), self.operands.len());
            if let Some(rows) = &mut self.frame().rows {
                rows.cut = cut;
                rows.operands = n_operands;
            }
        }
        self.text.push(b',');
        self.previous = Previous::Comma;
    }

    fn finish_element(&mut self) {
        let len = self.text.len();
        let frame = self.frame();
        let mut list = frame.list;
        if !frame.has_list() || list.current >= len {
            return;
        }
        self.finish_list_element(&mut list);
        self.frame().list = list;
    }

    /// Ends the current element; takes it back when it reads like the first or the last one kept.
    fn finish_list_element(&mut self, list: &mut List) {
        let range = (list.current, self.text.len());
        let operands = (list.operands, self.operands.len());
        list.n += 1;
        if list.n == 1 {
            list.first = range;
            list.last = range;
            list.first_operands = operands;
            return;
        }
        let read = |(start, end): (usize, usize)| &self.text[start..end];
        let is_alike = read(range) == read(list.first) || read(range) == read(list.last);
        if !is_alike || operands.0 == operands.1 {
            list.last = range;
            return;
        }
        list.collapsed = true;
        let end = self.operands[operands.1 - 1].end;
        self.operands.truncate(operands.0);
        self.text.truncate(list.cut);
        let (first, first_end) = list.first_operands;
        let is_scalar = first_end == first + 1;
        for operand in &mut self.operands[first..first_end] {
            operand.list_len = list.n;
            if is_scalar {
                operand.end = end;
            }
        }
    }

    fn start_row(&mut self) {
        let current = self.text.len();
        if let Some(rows) = &mut self.frame().rows {
            rows.current = current;
        }
    }

    fn finish_row(&mut self) {
        if let Some(mut rows) = self.frame().rows {
            self.finish_list_element(&mut rows);
            self.frame().rows = Some(rows);
        }
    }

    /// Ends the rows of VALUES in this frame, when there are any.
    pub(super) fn finish_rows(&mut self) {
        if let Some(rows) = self.frame().rows.take()
            && rows.collapsed
        {
            self.text.push(b' ');
            self.text.extend_from_slice(LIST_MARKER);
        }
    }

    /// A list that Postgres 18, or this function, collapsed before.
    pub(super) fn marker(&mut self) {
        if self.pending_semicolon {
            return;
        }
        let n_operands = self.operands.len();
        let frame = self.frame();
        let is_list = frame.has_list();
        let list = match &mut frame.rows {
            Some(rows) if rows.n > 0 => rows,
            _ if is_list => &mut frame.list,
            _ => return,
        };
        list.collapsed = true;
        let (first, end) = match list.n {
            0 => (list.operands, n_operands),
            _ => list.first_operands,
        };
        for operand in &mut self.operands[first..end] {
            operand.list_len = 0;
        }
    }
}

/// A lone placeholder with or without a cast, or a row of placeholders.
fn is_value(text: &[u8]) -> bool {
    let is_row = || {
        text.iter()
            .all(|b| matches!(*b, PLACEHOLDER | b'(' | b')' | b',' | b' '))
    };
    match text.first() {
        Some(&PLACEHOLDER) => !text.contains(&b' '),
        Some(b'(') => text.len() > 2 && is_row(),
        _ => false,
    }
}
