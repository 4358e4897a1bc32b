//! [`patch`]: changes a set of valid files as an input says, so that a fuzzer begins where everything still verifies.
//!
//! ```text
//! input  := patch*
//! patch  := kind u8, file u8, at u32, then
//!     kind 0, 1: len u8, bytes                 these bytes instead (nothing beyond the end)
//!     kind 2:    mask u8                       bits of one byte turn
//!     kind 3:    number u64                    a little-endian number instead
//!     kind 4:    file u8, from u32, count u8   512-byte sectors of a file, put at the sector of `at`
//!     kind 5:    -                             the file ends at `at`
//!     kind 6:    -                             the file is gone, if `at` is a multiple of 8
//! ```
//!
//! Kinds, files and places are taken modulo what there is. Nothing here knows a format.

use crate::input::Input;

/// Patches beyond these are not applied: one damage is interesting, a hundred are one.
const MOST: usize = 64;
const SECTOR: usize = 512;

/// Files by number; `None`: gone.
pub type Files = Vec<Option<Vec<u8>>>;

/// Applies all patches of an input.
pub fn patch(files: &mut Files, input: &mut Input<'_>) {
    let mut left = MOST;
    while left > 0 && !input.is_empty() && !files.is_empty() {
        apply(files, input);
        left -= 1;
    }
}

fn apply(files: &mut Files, input: &mut Input<'_>) {
    let kind = input.u8() % 7;
    let number = usize::from(input.u8()) % files.len();
    let at = input.u32() as usize;
    let Some(file) = files[number].as_mut().filter(|file| !file.is_empty()) else { return };
    let place = at % file.len();
    match kind {
        0 | 1 => {
            let len = usize::from(input.u8());
            overwrite(file, place, input.bytes(len));
        }
        2 => file[place] ^= input.u8(),
        3 => overwrite(file, place, &input.u64().to_le_bytes()),
        4 => {
            let source = usize::from(input.u8()) % files.len();
            let from = input.u32() as usize;
            let count = 1 + usize::from(input.u8()) % 16;
            let sectors = match &files[source] {
                Some(source) if !source.is_empty() => {
                    let from = from % source.len() / SECTOR * SECTOR;
                    source[from..source.len().min(from + count * SECTOR)].to_vec()
                }
                _ => vec![0; count * SECTOR],
            };
            if let Some(file) = files[number].as_mut() {
                overwrite(file, place / SECTOR * SECTOR, &sectors);
            }
        }
        5 => file.truncate(place),
        _ if at.is_multiple_of(8) => files[number] = None,
        _ => {}
    }
}

fn overwrite(file: &mut [u8], at: usize, bytes: &[u8]) {
    let len = bytes.len().min(file.len() - at);
    file[at..at + len].copy_from_slice(&bytes[..len]);
}

/// The input that makes one overwriting patch, for seeds.
pub fn overwriting(file: u8, at: u32, bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![0, file];
    out.extend_from_slice(&at.to_le_bytes());
    out.push(bytes.len() as u8);
    out.extend_from_slice(bytes);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patches_change_what_they_say() {
        let check = |input: &[u8], expected: Option<&[u8]>| {
            let mut files = vec![Some(b"abcdefgh".to_vec())];
            patch(&mut files, &mut Input::new(input));
            assert_eq!(files[0].as_deref(), expected, "{input:?}");
        };
        check(&[], Some(b"abcdefgh"));
        check(&overwriting(0, 2, b"XY"), Some(b"abXYefgh"));
        check(&overwriting(0, 7, b"XY"), Some(b"abcdefgX"));
        check(&[2, 0, 1, 0, 0, 0, 3], Some(b"aacdefgh"));
        check(&[3, 0, 6, 0, 0, 0, 0x41], Some(b"abcdefA\0"));
        check(&[5, 0, 3, 0, 0, 0], Some(b"abc"));
        check(&[6, 0, 8, 0, 0, 0], None);
        check(&[6, 0, 7, 0, 0, 0], Some(b"abcdefgh"));
    }
}
