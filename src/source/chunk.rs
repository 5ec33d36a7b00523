//! Cuts an input into chunks of whole records, in bounded memory.

use std::{
    io::Read,
    sync::{Arc, Mutex},
};

use super::{
    FORMATS, Format, Options, SourceError, WRAPPINGS,
    framing::{Framing, Head, MAX_RECORD_BYTES},
    input::{Compression, Input, decompressed, fill},
    refuse, sql_file,
    unwrap::{Foreign, Unwrapped, wrapping_of},
};

/// Bytes of a chunk: large enough that its overhead vanishes, small enough that it stays in a core's cache while it is read.
pub(super) const CHUNK_BYTES: usize = 1 << 20;
/// Bytes by which a format is recognised.
const SAMPLE_BYTES: usize = 1 << 20;
/// Bytes kept of a record beyond all bounds: more than the longest text used and all that stands around it, so that it is seen to be cut.
const KEPT_BYTES: usize = MAX_RECORD_BYTES + (64 << 10);
/// Largest input that is read as a whole.
const MAX_WHOLE_MIB: usize = 64;

/// Whole records of one input.
pub(super) struct Chunk {
    /// Position of the input among all.
    pub(super) file: u32,
    /// Line of its first byte, from 1.
    pub(super) first_line: u64,
    pub(super) framing: Arc<dyn Framing>,
    pub(super) buffer: Buffer,
}

impl Chunk {
    pub(super) fn bytes(&self) -> &[u8] {
        self.buffer.bytes()
    }
}

/// Bytes that were read. Their memory stays initialised from chunk to chunk, so that it need not be cleared before each read.
#[derive(Debug, Default)]
pub(super) struct Buffer {
    memory: Vec<u8>,
    /// Bytes of `memory` in use.
    len: usize,
}

impl Buffer {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.memory[..self.len]
    }

    fn holding(mut self, bytes: &[u8]) -> Self {
        self.len = 0;
        self.room(bytes.len()).copy_from_slice(bytes);
        self.len = bytes.len();
        self
    }

    /// Memory behind the bytes in use, until there are `wanted` in all.
    fn room(&mut self, wanted: usize) -> &mut [u8] {
        if self.memory.len() < wanted {
            self.memory.resize(wanted, 0);
        }
        &mut self.memory[self.len..wanted]
    }
}

/// One input being read.
pub(super) struct Reader {
    pub(super) file: u32,
    pub(super) name: String,
    pub(super) format: &'static Format,
    pub(super) framing: Arc<dyn Framing>,
    /// Names of the wrappings around it, the outermost first.
    pub(super) wrapping: Option<String>,
    /// Bytes read, decompressed and unwrapped.
    pub(super) n_bytes: u64,
    /// The input broke off: what was read so far counts.
    pub(super) broken_off: Option<std::io::Error>,
    /// What other programs wrote into each of its wrappings.
    pub(super) foreign: Vec<Arc<Mutex<Foreign>>>,
    bytes: Box<dyn Read + Send>,
    /// Bytes that were read but belong to the next chunk.
    pending: Vec<u8>,
    line: u64,
    ended: bool,
    chunk_bytes: usize,
}

impl Reader {
    /// Reads the input's start and finds its format.
    pub(super) fn open(file: u32, input: Input, options: &Options) -> Result<Self, SourceError> {
        let name = input.name;
        let opened = decompressed(input.reader).and_then(|(compression, mut reader)| {
            let mut sample = vec![0; SAMPLE_BYTES];
            match fill(&mut reader, &mut sample) {
                Ok(len) => {
                    sample.truncate(len);
                    Ok((compression, reader, sample))
                }
                Err(error) if compression == Compression::None => Err(error),
                // what is there of a damaged archive may be enough to go on; if not, it says so
                Err(error) => Err(std::io::Error::new(std::io::ErrorKind::InvalidData, error)),
            }
        });
        let (_, reader, mut sample) = match opened {
            Ok(opened) => opened,
            Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
                return Err(SourceError::Compressed { name, error });
            }
            Err(error) => return Err(SourceError::Io { name, error }),
        };
        let n_bytes = sample.len() as u64;
        if sample.starts_with(b"\xef\xbb\xbf") {
            sample.drain(..3);
        }
        let mut inside = Inside {
            bytes: reader,
            sample,
            wrapping: None,
            foreign: Vec::new(),
            prefix: options.log_line_prefix.clone(),
        };
        let is_plain = options.format.is_some();
        while !is_plain && inside.unwrap(&name, options)? {}
        let options = &Options {
            log_line_prefix: inside.prefix,
            ..options.clone()
        };
        let (reader, sample) = (inside.bytes, inside.sample);
        let ended = sample.len() < SAMPLE_BYTES;
        let (format, framing) = recognise(&name, &sample, options)?;
        Ok(Self {
            wrapping: inside.wrapping,
            foreign: inside.foreign,
            file,
            name,
            format,
            framing: framing.into(),
            n_bytes,
            broken_off: None,
            bytes: reader,
            pending: sample,
            line: 1,
            ended,
            chunk_bytes: options.chunk_bytes,
        })
    }

    /// The next chunk, in `buffer`; `None` at the end.
    pub(super) fn next_chunk(&mut self, buffer: Buffer) -> Result<Option<Chunk>, SourceError> {
        let mut buffer = buffer.holding(&self.pending);
        self.pending.clear();
        let mut wanted = self.chunk_bytes;
        loop {
            self.fill_up(&mut buffer, wanted);
            let window = &buffer.bytes()[..wanted.min(buffer.len)];
            if self.ended && window.len() == buffer.len {
                break;
            }
            if self.framing.reads_whole() {
                if buffer.len > MAX_WHOLE_MIB << 20 {
                    return Err(self.too_large());
                }
            } else if let Some(start) = self.framing.last_start(window) {
                self.pending.extend_from_slice(&buffer.bytes()[start..]);
                buffer.len = start;
                break;
            } else if window.len() > KEPT_BYTES {
                return Ok(Some(self.cut_record(buffer.bytes().to_vec())));
            }
            wanted += self.chunk_bytes;
        }
        if buffer.len == 0 {
            return Ok(None);
        }
        let n_lines = count_lines(buffer.bytes());
        Ok(Some(self.chunk(buffer, n_lines)))
    }

    fn too_large(&self) -> SourceError {
        SourceError::TooLarge {
            name: self.name.clone(),
            limit_mib: MAX_WHOLE_MIB,
        }
    }

    fn chunk(&mut self, buffer: Buffer, n_lines: u64) -> Chunk {
        let first_line = self.line;
        self.line += n_lines;
        Chunk {
            file: self.file,
            first_line,
            framing: Arc::clone(&self.framing),
            buffer,
        }
    }

    /// Reads until `buffer` has `wanted` bytes or the input ends.
    fn fill_up(&mut self, buffer: &mut Buffer, wanted: usize) {
        let start = buffer.len;
        if self.ended || start >= wanted {
            return;
        }
        let room = buffer.room(wanted);
        let mut len = 0;
        // what came before an error counts
        while len < room.len() {
            match self.bytes.read(&mut room[len..]) {
                Ok(0) => break,
                Ok(n) => len += n,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.broken_off = Some(error);
                    break;
                }
            }
        }
        buffer.len = start + len;
        self.n_bytes += len as u64;
        self.ended = start + len < wanted;
    }

    /// A record beyond all bounds: keeps a little more of it than is used, and reads on to where the next one starts.
    fn cut_record(&mut self, mut buffer: Vec<u8>) -> Chunk {
        let mut n_lines = 0;
        let mut block = buffer.split_off(KEPT_BYTES);
        loop {
            if let Some(start) = self.framing.first_start(&block) {
                n_lines += count_lines(&block[..start]);
                self.pending.extend_from_slice(&block[start..]);
                break;
            }
            // the last line may go on in the next block
            let keep = memchr::memrchr(b'\n', &block).map_or(block.len(), |newline| newline + 1);
            let keep = keep.max(block.len().saturating_sub(self.chunk_bytes));
            n_lines += count_lines(&block[..keep]);
            block.drain(..keep);
            if self.ended {
                break;
            }
            let wanted = block.len() + self.chunk_bytes;
            let mut more = Buffer::default().holding(&block);
            self.fill_up(&mut more, wanted);
            block = more.bytes().to_vec();
        }
        n_lines += count_lines(&buffer);
        buffer.push(b'\n');
        self.chunk(Buffer::default().holding(&buffer), n_lines)
    }
}

/// What is inside of an input, as far as it was unwrapped.
struct Inside {
    bytes: Box<dyn Read + Send>,
    sample: Vec<u8>,
    wrapping: Option<String>,
    foreign: Vec<Arc<Mutex<Foreign>>>,
    /// `log_line_prefix` of what is inside, when it was given.
    prefix: Option<String>,
}

/// Wrappings around each other: a container's log of an operator's log.
const MAX_WRAPPINGS: usize = 3;

impl Inside {
    /// Unwraps the input once, if it is wrapped.
    fn unwrap(&mut self, name: &str, options: &Options) -> Result<bool, SourceError> {
        let depth = self
            .wrapping
            .as_ref()
            .map_or(0, |names| names.split('/').count());
        let asked_for = options.wrapping.filter(|_| depth == 0);
        let Some(wrapping) = asked_for.or_else(|| wrapping_of(&self.sample, WRAPPINGS)) else {
            return Ok(false);
        };
        if depth >= MAX_WRAPPINGS {
            return Ok(false);
        }
        let read = std::io::Cursor::new(std::mem::take(&mut self.sample));
        let rest = std::mem::replace(&mut self.bytes, Box::new(std::io::empty()));
        let mut unwrapped = Unwrapped::new(Box::new(read.chain(rest)), wrapping, options);
        let mut sample = vec![0; SAMPLE_BYTES];
        let len = fill(&mut unwrapped, &mut sample).map_err(|error| SourceError::Io {
            name: name.to_owned(),
            error,
        })?;
        sample.truncate(len);
        if sample.is_empty() {
            return Err(SourceError::NotInFormat {
                name: name.to_owned(),
                format: wrapping.name,
            });
        }
        if let Some(prefix) = &mut self.prefix {
            prefix.insert_str(0, unwrapped.prefix());
        }
        self.sample = sample;
        self.foreign.push(unwrapped.foreign());
        self.bytes = Box::new(unwrapped);
        self.wrapping = Some(match self.wrapping.take() {
            Some(outer) => format!("{outer}/{}", wrapping.name),
            None => wrapping.name.to_owned(),
        });
        Ok(true)
    }
}

fn count_lines(bytes: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', bytes).count() as u64
}

fn recognise(
    name: &str,
    sample: &[u8],
    options: &Options,
) -> Result<(&'static Format, Box<dyn Framing>), SourceError> {
    let name = || name.to_owned();
    if let Some(prefix) = &options.log_line_prefix
        && super::prefix::Prefix::compile(prefix).is_none()
    {
        return Err(SourceError::BadPrefix {
            prefix: prefix.clone(),
        });
    }
    if sample.trim_ascii().is_empty() {
        return Err(SourceError::Empty { name: name() });
    }
    let head = Head { sample, options };
    if let Some(format) = options.format {
        let framing = (format.open)(&head).ok_or_else(|| SourceError::NotInFormat {
            name: name(),
            format: format.name,
        })?;
        return Ok((format, framing));
    }
    if let Some((what, hint)) = refuse::foreign(sample) {
        return Err(SourceError::Foreign {
            name: name(),
            what,
            hint,
        });
    }
    let open = |format: &&'static Format| Some((*format, (format.open)(&head)?));
    // nearly everything looks like SQL to whoever doesn't look closely
    let is_sql = |format: &&&'static Format| format.name == sql_file::FORMAT.name;
    let localised = || {
        let language = refuse::language(sample)?;
        let name = name();
        Some(SourceError::Localised { name, language })
    };
    if let Some(found) = FORMATS.iter().filter(|f| !is_sql(f)).find_map(open) {
        return localised().map_or(Ok(found), Err);
    }
    if let Some((what, hint)) = refuse::marked(sample) {
        return Err(SourceError::Foreign {
            name: name(),
            what,
            hint,
        });
    }
    let found = FORMATS.iter().filter(is_sql).find_map(open);
    let unrecognised = || SourceError::Unrecognised {
        name: name(),
        line: first_line(sample),
    };
    found.ok_or_else(|| localised().unwrap_or_else(unrecognised))
}

fn first_line(sample: &[u8]) -> String {
    const MAX_CHARS: usize = 80;
    let line = sample.trim_ascii_start();
    let line = &line[..memchr::memchr(b'\n', line).unwrap_or(line.len())];
    let text = String::from_utf8_lossy(line);
    text.chars()
        .filter(|char| !char.is_control())
        .take(MAX_CHARS)
        .collect()
}
