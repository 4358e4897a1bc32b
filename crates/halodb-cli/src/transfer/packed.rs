//! Compressed files of records: gzip is unpacked and packed on the way; of the others it is said which program unpacks them.
//!
//! What a file is, its first bytes say, not its name, so that standard input is recognised too. What an exported file
//! becomes, only its name can say. This file knows no records.

use flate2::Compression;
use flate2::bufread::MultiGzDecoder;
use flate2::write::GzEncoder;
use std::io::{self, BufRead, BufReader, Cursor, Read, Write};
use std::path::Path;

/// Unpacked bytes held at once.
const BUFFER: usize = 256 << 10;
/// A kind of compression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Gzip,
    Zstd,
    Xz,
    Bzip2,
    Lz4,
    Zip,
}

/// What is known of a kind.
struct Known {
    kind: Kind,
    /// The first bytes of such a file; `?` fits any byte.
    magic: &'static [u8],
    extension: &'static str,
    /// The program that writes what is in such a file to standard output.
    unpacker: &'static str,
}

const fn known(kind: Kind, magic: &'static [u8], extension: &'static str, unpacker: &'static str) -> Known {
    Known { kind, magic, extension, unpacker }
}

const KINDS: [Known; 6] = [
    known(Kind::Gzip, b"\x1f\x8b", "gz", "zcat"),
    known(Kind::Zstd, b"\x28\xb5\x2f\xfd", "zst", "zstdcat"),
    known(Kind::Xz, b"\xfd7zXZ\x00", "xz", "xzcat"),
    known(Kind::Bzip2, b"BZh?1AY&SY", "bz2", "bzcat"),
    known(Kind::Lz4, b"\x04\x22\x4d\x18", "lz4", "lz4cat"),
    known(Kind::Zip, b"PK\x03\x04", "zip", "unzip -p"),
];

impl Kind {
    /// What the extension says.
    pub(crate) fn of_name(path: &Path) -> Option<Self> {
        let extension = path.extension()?;
        KINDS.iter().find(|known| extension.eq_ignore_ascii_case(known.extension)).map(|known| known.kind)
    }

    /// The program that unpacks such a file to standard output.
    pub(crate) fn unpacker(self) -> &'static str {
        KINDS.iter().find(|known| known.kind == self).map_or("cat", |known| known.unpacker)
    }
}

/// Reads as many bytes as it takes to tell, and no more: who writes a short line and waits for what comes of it would wait
/// for ever.
fn head(reader: &mut impl BufRead) -> io::Result<(Vec<u8>, Option<Kind>)> {
    let mut head = Vec::new();
    loop {
        let fits = |known: &&Known| known.magic.iter().zip(&head).all(|(m, byte)| *m == b'?' || m == byte);
        let Some(known) = KINDS.iter().find(fits) else { return Ok((head, None)) };
        if head.len() == known.magic.len() {
            return Ok((head, Some(known.kind)));
        }
        if reader.by_ref().take(1).read_to_end(&mut head)? == 0 {
            return Ok((head, None));
        }
    }
}

/// What a reader gives.
pub(crate) enum Content<'r> {
    /// Plain bytes, unpacked if they were gzip.
    Plain(Box<dyn BufRead + 'r>),
    /// Something compressed that is not unpacked here.
    Packed(Kind),
}

/// Looks at the first bytes and unpacks gzip, also of several parts.
///
/// # Errors
/// What the reader says. Later reads fail with `InvalidData` where gzip is damaged or cut off.
pub(crate) fn unpack<'r>(mut reader: impl BufRead + 'r) -> io::Result<Content<'r>> {
    let (head, kind) = head(&mut reader)?;
    let whole = Cursor::new(head).chain(reader);
    Ok(match kind {
        None => Content::Plain(Box::new(whole)),
        Some(Kind::Gzip) => {
            let unpacked = Gzip(MultiGzDecoder::new(whole));
            Content::Plain(Box::new(BufReader::with_capacity(BUFFER, unpacked)))
        }
        Some(other) => Content::Packed(other),
    })
}

/// A decoder whose errors say what they are about.
struct Gzip<R>(MultiGzDecoder<R>);

impl<R: BufRead> Read for Gzip<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer).map_err(|error| match error.kind() {
            io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => {
                let message = format!("the gzip data is damaged or cut off: {error}");
                io::Error::new(io::ErrorKind::InvalidData, message)
            }
            _ => error,
        })
    }
}

/// Packs what is written as gzip. A flush is the end: nothing may be written behind it.
pub(crate) struct Packer<W: Write>(GzEncoder<W>);

impl<W: Write> Packer<W> {
    /// A packer that writes to `to`.
    pub(crate) fn new(to: W) -> Self {
        Packer(GzEncoder::new(to, Compression::default()))
    }
}

impl<W: Write> Write for Packer<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.try_finish()?;
        self.0.get_mut().flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pack(bytes: &[u8]) -> Vec<u8> {
        let mut packed = Vec::new();
        let mut packer = Packer::new(&mut packed);
        packer.write_all(bytes).unwrap();
        packer.flush().unwrap();
        drop(packer);
        packed
    }

    fn read(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let Content::Plain(mut plain) = unpack(bytes)? else { panic!("not unpacked") };
        let mut all = Vec::new();
        plain.read_to_end(&mut all)?;
        Ok(all)
    }

    #[test]
    fn gzip_is_unpacked_whole_and_in_parts_and_the_rest_is_as_it_is() {
        let long = b"0123456789".repeat(100_000);
        for bytes in [&b""[..], b"a", b"{\"key\"", &long] {
            assert_eq!(read(bytes).unwrap(), bytes);
            assert_eq!(read(&pack(bytes)).unwrap(), bytes);
        }
        let parts = [pack(b"first "), pack(b"second")].concat();
        assert_eq!(read(&parts).unwrap(), b"first second");
    }

    #[test]
    fn damaged_and_cut_gzip_is_an_error_and_never_less_data() {
        let whole = pack(&b"some text ".repeat(1000));
        for length in 2..whole.len() {
            let error = read(&whole[..length]).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{length}: {error}");
        }
        let mut damaged = whole;
        let last = damaged.len() - 6;
        damaged[last] ^= 1;
        assert_eq!(read(&damaged).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn other_kinds_are_known_by_their_first_bytes() {
        let check = |bytes: &[u8], expected: Kind, program: &str| {
            let Content::Packed(kind) = unpack(bytes).unwrap() else { panic!("{bytes:?}") };
            assert_eq!((kind, kind.unpacker()), (expected, program));
        };
        check(b"\x28\xb5\x2f\xfd\x04", Kind::Zstd, "zstdcat");
        check(b"\xfd7zXZ\x00\x00\x04", Kind::Xz, "xzcat");
        check(b"BZh91AY&SY\x00", Kind::Bzip2, "bzcat");
        check(b"\x04\x22\x4d\x18\x64", Kind::Lz4, "lz4cat");
        check(b"PK\x03\x04\x14", Kind::Zip, "unzip -p");
        for plain in [&b"BZh9\tvalue"[..], b"BZh", b"P", b"PK\x03"] {
            assert_eq!(read(plain).unwrap(), plain);
        }
    }

    #[test]
    fn names_say_what_a_file_is_to_become() {
        assert_eq!(Kind::of_name(Path::new("a.jsonl.GZ")), Some(Kind::Gzip));
        assert_eq!(Kind::of_name(Path::new("a.zst")), Some(Kind::Zstd));
        assert_eq!(Kind::of_name(Path::new("gz")), None);
        assert_eq!(Kind::of_name(Path::new("a.jsonl")), None);
    }
}
