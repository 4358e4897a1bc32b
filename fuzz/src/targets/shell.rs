//! What people type: the words of a line of the shell.
//!
//! `shell-words`: a line, and after its last newline what is typed next (nothing, if there is no newline).

use crate::{Target, Verdict};
use halodb_cli::words::{Problem, SplitError, Word, quote, split};

pub(crate) const WORDS: Target = Target { name: "shell-words", max_len: 512, run: words, seeds: words_seeds };

fn words(data: &[u8]) -> Verdict {
    let (line, next) = match data.iter().rposition(|byte| *byte == b'\n') {
        Some(at) => (&data[..at], &data[at + 1..]),
        None => (data, &[][..]),
    };
    let answer = split(line);
    match &answer {
        Ok(words) => {
            check_words(line, words);
            check_quoting(words);
            check_blank_separates(line, words, next);
        }
        Err(error) => {
            check_error(line, error);
            check_continuation(line, error, next);
        }
    }
    Verdict::of(&answer)
}

/// Words lie in the line in order, and hold no more than it does.
fn check_words(line: &[u8], words: &[Word]) {
    let begins = |word: &Word| line.get(word.start).is_some_and(|byte| !matches!(byte, b' ' | b'\t'));
    assert!(words.iter().all(begins), "a word begins in the line and not with a blank");
    assert!(words.windows(2).all(|pair| pair[0].start < pair[1].start), "words follow each other");
    assert!(words.iter().map(|word| word.bytes.len()).sum::<usize>() <= line.len(), "words are made of the line");
    assert!(words.iter().all(|word| word.quoted || !word.bytes.is_empty()), "only quotes make an empty word");
    let has_quote = line.iter().any(|byte| matches!(byte, b'"' | b'\''));
    assert!(has_quote || words.iter().all(|word| !word.quoted), "no quotes, nothing quoted");
}

/// What `quote` writes is one word again, the same.
fn check_quoting(words: &[Word]) {
    let quoted: Vec<String> = words.iter().map(|word| quote(&word.bytes)).collect();
    let again = split(quoted.join(" ").as_bytes()).expect("what was quoted can be split");
    assert_eq!(again.len(), words.len());
    for ((word, again), text) in words.iter().zip(&again).zip(&quoted) {
        assert_eq!(again.bytes, word.bytes);
        assert_eq!(again.quoted, text.starts_with('"'), "bytes are quoted whole or not at all");
        assert!(!text.contains(['\n', '\r', '\0']), "a quoted word stays on its line");
    }
}

/// After a blank comes the same as if it stood alone.
fn check_blank_separates(line: &[u8], words: &[Word], next: &[u8]) {
    let shift = line.len() + 1;
    let moved = |word: Word| Word { start: word.start + shift, ..word };
    let both = [line, b" ", next].concat();
    let expected = match split(next) {
        Ok(rest) => Ok(words.iter().cloned().chain(rest.into_iter().map(moved)).collect()),
        Err(error) => Err(SplitError {
            offset: error.offset + shift,
            start: error.start + shift,
            before: words.iter().cloned().chain(error.before.into_iter().map(moved)).collect(),
            ..error
        }),
    };
    assert_eq!(split(&both), expected);
}

/// A mistake lies in the line, in the word that it names, and the words before it are those of the line up to there.
fn check_error(line: &[u8], error: &SplitError) {
    assert!(error.start <= error.offset && error.offset < line.len());
    let mark = line[error.offset];
    match error.problem {
        Problem::UnclosedQuote => assert!(matches!(mark, b'"' | b'\'')),
        Problem::UnknownEscape | Problem::BadHex => assert_eq!(mark, b'\\'),
    }
    assert_eq!(split(&line[..error.start]).as_ref(), Ok(&error.before));
    assert_eq!(error.goes_on(), error.problem == Problem::UnclosedQuote && !error.before.is_empty());
    let caret = error.caret(line);
    let (text, under) = caret.split_once('\n').expect("two lines");
    assert!(text.len() < 80 && text.bytes().all(|byte| matches!(byte, b' '..=b'~')));
    assert!(under.ends_with('^') && under.trim() == "^" && under.len() <= text.len());
    let shown = if matches!(mark, b' '..=b'~') { mark } else { b'?' };
    assert_eq!(text.as_bytes()[under.len() - 1], shown, "the caret points to the mistake");
    assert!(!error.message().is_empty());
}

/// An open quote can be closed, and then makes one more word; no other line mends any other mistake.
fn check_continuation(line: &[u8], error: &SplitError, next: &[u8]) {
    if error.problem == Problem::UnclosedQuote {
        let mark = &line[error.offset..=error.offset];
        // A backslash at the very end wants its second half first.
        let closed = [[line, mark].concat(), [line, &b"\\"[..], mark].concat()];
        let words = closed.iter().find_map(|line| split(line).ok()).expect("an open quote can be closed");
        assert_eq!(words.split_last().map(|(_, before)| before), Some(&error.before[..]));
    } else {
        let more = split(&[line, b"\n", next].concat()).expect_err("a mistake stays one");
        assert_eq!((more.problem, more.offset), (error.problem, error.offset));
    }
}

fn words_seeds() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("command", b"put user/1 \"Ada \\\"the first\\\"\"\nget user/1".to_vec()),
        ("parts", b"scan --prefix=\"a b\"'c d'\\e\t--limit 3\n\"\" ''".to_vec()),
        ("bytes", b"put k \"\\x00\\xFF\\n\\t\\\\\" \x00\xff \xc3\xa4 '\xe2\x82'\n'".to_vec()),
        ("open-double", b"put k \"first\nsecond\n\"".to_vec()),
        ("open-single", b"put k 'first \\\n'".to_vec()),
        ("open-backslash", b"put k \"a\\".to_vec()),
        ("open-first", b"'put k v".to_vec()),
        ("unknown-escape", b"put k \"a\\qb\"\n\"".to_vec()),
        ("bad-hex", b"put k \"\\x4\n1\"".to_vec()),
    ]
}
