//! Container logs of Kubernetes (CRI: containerd, CRI-O): `2026-11-22T20:36:03.041Z stderr F text`, long lines in parts.

use super::{
    time::looks_like_time,
    unwrap::{Pieces, Unwrap, Wrapping},
};

pub(super) static WRAPPING: Wrapping = Wrapping {
    name: "kubernetes",
    summary: "container logs of Kubernetes (CRI)",
    pieces: Pieces::Lines,
    is_one: |line| part(line).is_some(),
    unwrap: |_| Box::new(Cri::default()),
};

/// Lines whose end is not there yet, of stdout and stderr.
#[derive(Default)]
struct Cri {
    open: [Vec<u8>; 2],
}

struct Part<'a> {
    stream: usize,
    ends: bool,
    text: &'a [u8],
}

fn part(line: &[u8]) -> Option<Part<'_>> {
    if !looks_like_time(line) || line.get(10) != Some(&b'T') {
        return None;
    }
    let mut words = line.splitn(4, |byte| *byte == b' ').skip(1);
    let stream = match words.next()? {
        b"stdout" => 0,
        b"stderr" => 1,
        _ => return None,
    };
    // the tags may be followed by others, behind colons
    let ends = match words.next()?.first()? {
        b'F' => true,
        b'P' => false,
        _ => return None,
    };
    let text = words.next().unwrap_or_default();
    Some(Part { stream, ends, text })
}

impl Unwrap for Cri {
    fn piece(&mut self, piece: &[u8], out: &mut Vec<u8>) -> bool {
        let Some(part) = part(piece) else {
            out.extend_from_slice(piece);
            out.push(b'\n');
            return true;
        };
        let open = &mut self.open[part.stream];
        if part.ends {
            out.append(open);
            out.extend_from_slice(part.text);
            out.push(b'\n');
        } else {
            open.extend_from_slice(part.text);
        }
        true
    }

    fn finish(&mut self, out: &mut Vec<u8>) {
        for open in &mut self.open {
            out.append(open);
        }
    }
}
