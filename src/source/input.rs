//! An input as a stream of plain bytes: compressed ones are decompressed, by content.

use std::io::{self, BufReader, Cursor, Read};

/// Something to read: a name for people, and its bytes.
pub struct Input {
    /// As the user gave it; goes into messages.
    pub name: String,
    /// Its bytes, compressed or not.
    pub reader: Box<dyn Read + Send>,
}

impl std::fmt::Debug for Input {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Input")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// Bytes that tell a compression.
const MAGIC_BYTES: usize = 6;
/// Compressed bytes read at once.
const BUFFER_BYTES: usize = 256 << 10;

/// How an input is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compression {
    None,
    Gzip,
    Zstd,
    Bzip2,
    Xz,
}

impl Compression {
    fn of(magic: &[u8]) -> Self {
        match magic {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            [b'B', b'Z', b'h', ..] => Self::Bzip2,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Self::Xz,
            _ => Self::None,
        }
    }
}

/// Opens the stream of plain bytes. Several members or frames in one file follow each other.
pub(super) fn decompressed(
    mut reader: Box<dyn Read + Send>,
) -> io::Result<(Compression, Box<dyn Read + Send>)> {
    let mut magic = [0; MAGIC_BYTES];
    let len = fill(&mut reader, &mut magic)?;
    let compression = Compression::of(&magic[..len]);
    let whole = Cursor::new(magic[..len].to_vec()).chain(reader);
    if compression == Compression::None {
        return Ok((compression, Box::new(whole)));
    }
    let buffered = BufReader::with_capacity(BUFFER_BYTES, whole);
    let plain: Box<dyn Read + Send> = match compression {
        Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(buffered)),
        Compression::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(buffered)?),
        Compression::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(buffered)),
        Compression::Xz | Compression::None => {
            Box::new(liblzma::bufread::XzDecoder::new_multi_decoder(buffered))
        }
    };
    Ok((compression, plain))
}

/// Reads until `buffer` is full or the input ends; gives how much was read.
pub(super) fn fill(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut len = 0;
    while len < buffer.len() {
        match reader.read(&mut buffer[len..]) {
            Ok(0) => break,
            Ok(n) => len += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(len)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn plain(bytes: Vec<u8>) -> String {
        let (_, mut reader) = decompressed(Box::new(Cursor::new(bytes))).unwrap();
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn every_compression_by_content() {
        let text = "2026-11-22 LOG:  x\n".repeat(100);
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(text.as_bytes()).unwrap();
        let gzip = gzip.finish().unwrap();
        assert_eq!(plain(gzip.clone()), text);
        assert_eq!(plain([gzip.clone(), gzip].concat()), text.repeat(2));
        assert_eq!(plain(zstd::encode_all(text.as_bytes(), 1).unwrap()), text);
        let mut bzip2 = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
        bzip2.write_all(text.as_bytes()).unwrap();
        assert_eq!(plain(bzip2.finish().unwrap()), text);
        let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 1);
        xz.write_all(text.as_bytes()).unwrap();
        assert_eq!(plain(xz.finish().unwrap()), text);
        assert_eq!(plain(text.clone().into_bytes()), text);
        assert_eq!(plain(b"x".to_vec()), "x");
    }
}
