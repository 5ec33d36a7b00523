//! The values of one execution's placeholders: literals of its text, and the parameters that were bound.

use super::{
    statistics::{Filled, QueryStatistics},
    template::{Operand, Template},
    value::{self, Value},
};

/// Parameters of one execution that are looked at.
const MAX_PARAMETERS: usize = 1024;

/// One bound parameter: its number, and where its value stands in the list as logged.
pub(super) type Sent = (u16, u32, u32);

/// Reads the operands' values in placeholder order into `values`, and counts them in the statistics.
pub(super) fn operand_values(
    template: &Template,
    parameters: &[u8],
    statistics: &mut QueryStatistics,
    sent: &mut Vec<Sent>,
    values: &mut Vec<Value>,
) {
    values.clear();
    sent.clear();
    let mut reader = value::parameters(parameters);
    while sent.len() < MAX_PARAMETERS
        && let Some((number, start, end)) = reader.next_place()
    {
        sent.push((number, start as u32, end as u32));
    }
    let parameters = Parameters {
        text: parameters,
        sent,
    };
    statistics.cover_placeholders(template.operands.len());
    for (at, operand) in template.operands.iter().enumerate() {
        match *operand {
            Operand::Literal { value, start, end } => {
                let text = template.literal(start, end);
                statistics.operand(at, Filled::Literal, Some((value, text)));
                values.push(value);
            }
            Operand::Parameter { number, list_len } => {
                let (value, text) = parameters.value(number, list_len);
                statistics.operand(at, Filled::Parameter, text.map(|text| (value, text)));
                values.push(value);
            }
        }
    }
}

/// The bound parameters of one execution.
struct Parameters<'a> {
    text: &'a [u8],
    sent: &'a [Sent],
}

impl<'a> Parameters<'a> {
    fn text(&self, (_, start, end): Sent) -> &'a [u8] {
        &self.text[start as usize..end as usize]
    }

    /// The value of parameter `$number`, or of the list that starts with it.
    fn value(&self, number: u16, list_len: u32) -> (Value, Option<&'a [u8]>) {
        let at = usize::from(number).wrapping_sub(1);
        // parameters stand in order, so $n is the nth, unless the list was cut
        let found = match self.sent.get(at) {
            Some(sent) if sent.0 == number => Some(*sent),
            _ => self.sent.iter().find(|sent| sent.0 == number).copied(),
        };
        let Some(found) = found else {
            return (Value::default(), None);
        };
        let text = self.text(found);
        if list_len == 1 {
            return (Value::of(text), Some(text));
        }
        let end = at.saturating_add(list_len as usize).min(self.sent.len());
        let elements: Vec<Value> = self.sent[at.min(end)..end]
            .iter()
            .map(|sent| Value::of(self.text(*sent)))
            .collect();
        let mut value = Value::list(&elements);
        value.width = list_len.max(2);
        (value, Some(text))
    }
}
