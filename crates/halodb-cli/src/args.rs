//! The one definition of every command. The program's arguments, the shell's lines and the pipe's lines are all parsed by
//! it, and `help` is written from it; what a command does is in `commands`.

use crate::durations;
use crate::output::Format;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// Heading of the options that may stand anywhere.
const GLOBAL: &str = "Global options";

/// Program arguments: global options and perhaps a command.
#[derive(Debug, Parser)]
#[command(
    name = "halodb",
    version,
    about = "A durable, ordered key-value database: shell, pipe and one-shot commands",
    disable_help_subcommand = true,
    after_help = "Without a COMMAND: the shell on a terminal; otherwise commands from standard input, one a line.\n\
                  `halodb help COMMAND` explains one command."
)]
pub(crate) struct Program {
    /// Directory of the database [default: database.path of the configuration, else ./data]
    #[arg(long, value_name = "DIR", global = true, help_heading = GLOBAL)]
    pub(crate) db: Option<PathBuf>,
    /// Configuration file [default: halodb.toml in the database's directory]
    #[arg(long, value_name = "FILE", global = true, help_heading = GLOBAL)]
    pub(crate) config: Option<PathBuf>,
    /// Keyspace that keys are looked up in [default: default]; writes create it
    #[arg(long, value_name = "NAME", global = true, help_heading = GLOBAL)]
    pub(crate) keyspace: Option<String>,
    /// Form of the results, of errors (json) and of files (import, export)
    #[arg(long, value_enum, global = true, help_heading = GLOBAL)]
    pub(crate) format: Option<Format>,
    /// Stop a pipe of commands at the first one that fails
    #[arg(long)]
    pub(crate) bail: bool,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// A line of the shell or the pipe: the database is open already, so only the keyspace and the form of the answer can be
/// chosen.
#[derive(Debug, Parser)]
#[command(name = "halodb", no_binary_name = true, disable_help_subcommand = true, disable_help_flag = true)]
pub(crate) struct Line {
    /// Keyspace of this command, instead of that of `use`
    #[arg(long, value_name = "NAME", global = true, help_heading = GLOBAL)]
    pub(crate) keyspace: Option<String>,
    /// Form of the answer, or of the file (import, export)
    #[arg(long, value_enum, global = true, help_heading = GLOBAL)]
    pub(crate) format: Option<Format>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Store a value under a key
    #[command(
        visible_alias = "set",
        allow_negative_numbers = true,
        after_help = "Example: put user/1 '{\"name\": \"Ada\"}'"
    )]
    Put(Put),
    /// Show the value of a key
    #[command(allow_negative_numbers = true, after_help = "Example: get user/1")]
    Get(Get),
    /// Delete keys and say how many were there
    #[command(visible_alias = "del", allow_negative_numbers = true, after_help = "Example: delete user/1 user/2")]
    Delete(Delete),
    /// Say whether a key is there: true or false
    #[command(allow_negative_numbers = true, after_help = "Example: exists user/1")]
    Exists(Exists),
    /// Let a key live for a time from now on
    #[command(allow_negative_numbers = true, after_help = "Example: expire session/7 30m")]
    Expire(Expire),
    /// Show how long a key will live
    #[command(
        allow_negative_numbers = true,
        after_help = "Example: ttl session/7\nWrites a duration as put --ttl takes it, or never."
    )]
    Ttl(TtlOf),
    /// Let a key live for ever
    #[command(allow_negative_numbers = true, after_help = "Example: persist session/7")]
    Persist(Persist),
    /// List keys in order, all or those with a prefix
    #[command(
        visible_alias = "ls",
        visible_alias = "keys",
        allow_negative_numbers = true,
        after_help = "Example: list user/ --limit 20 --values\n\
                      On a terminal the list stops at 100 rows, unless --limit says otherwise, and tells how many remain."
    )]
    List(List),
    /// Show keys and values of a range in order
    #[command(after_help = "Example: scan --from user/1 --to user/5 --limit 10")]
    Scan(Scan),
    /// Count the keys, all or those of a range
    #[command(after_help = "Example: count --prefix user/")]
    Count(Count),
    /// Number of keys, exactly
    #[command(after_help = "Example: len")]
    Len,
    /// Show the values of several keys, all of one moment
    #[command(
        allow_negative_numbers = true,
        after_help = "Example: mget user/1 user/2\nExit code 1 if one of them is missing."
    )]
    Mget(Mget),
    /// Add to a number, and show the sum; a missing key counts as 0
    #[command(allow_negative_numbers = true, after_help = "Example: incr visits\n         incr stock -3")]
    Incr(Incr),
    /// Replace a value if it is the expected one
    #[command(
        allow_negative_numbers = true,
        after_help = "Example: cas owner --absent alice\n         cas owner alice bob\n         cas owner bob --delete\n\
                      Exit code 1 if the value is another one; nothing is changed then."
    )]
    Cas(Cas),
    /// Show the key that has exactly N keys below it
    #[command(after_help = "Example: nth 0")]
    Nth(Nth),
    /// Count the keys below a key, whether or not it is there
    #[command(allow_negative_numbers = true, after_help = "Example: rank user/5")]
    Rank(Rank),
    /// Delete the keys of a range and say how many there were
    #[command(after_help = "Example: delete-range --from user/1 --to user/5")]
    DeleteRange(DeleteRange),
    /// Delete the keys that begin with a prefix and say how many there were
    #[command(allow_negative_numbers = true, after_help = "Example: delete-prefix session/")]
    DeletePrefix(DeletePrefix),
    /// Go to another keyspace, in shell and pipe; it is created if there is none
    #[command(after_help = "Example: use users\n         use\nWithout a name: back to the default keyspace.")]
    Use(Use),
    /// List the keyspaces
    #[command(after_help = "Example: keyspaces --format json")]
    Keyspaces,
    /// Delete a keyspace with everything in it
    #[command(after_help = "Example: drop sessions --yes")]
    Drop(DropKeyspace),
    /// Delete everything in the keyspace
    #[command(after_help = "Example: clear --yes")]
    Clear(Clear),
    /// Begin a transaction: the commands that follow read and write it, until `commit` or `rollback`
    #[command(after_help = "Example: begin")]
    Begin,
    /// Make what was done since `begin` visible and durable, all of it or nothing
    #[command(
        after_help = "Example: commit\nExit code 6 if what it read was changed meanwhile; nothing was done then."
    )]
    Commit,
    /// Take back what was done since `begin`
    #[command(after_help = "Example: rollback")]
    Rollback,
    /// Read keys and values from a file (jsonl, csv or text)
    #[command(after_help = "Example: import users.jsonl\n         import users.csv.gz --skip-bad\n         \
                      cat users-*.jsonl | halodb import -\n\
                      The form is that of --format (jsonl, csv or text), else of the file's extension (.jsonl, .csv,\n\
                      .tsv), else jsonl. Gzip is unpacked.")]
    Import(Import),
    /// Write all keys and values to a file, sorted (jsonl, csv or text)
    #[command(after_help = "Example: export users.jsonl\n         export users.csv.gz\n         \
                      export --format text | grep ^user/\n\
                      The form is that of --format (jsonl, csv or text), else of the file's extension (.jsonl, .csv,\n\
                      .tsv), else jsonl. A name that ends in .gz is packed.")]
    Export(Export),
    /// Copy the whole database, as it is now, into a new directory; reads and writes go on
    #[command(after_help = "Example: backup backup-of-today\n\
                      The directory must not exist, or be empty. `restore` makes a database of it again.")]
    Backup(Backup),
    /// Verify a backup and make a database of it
    #[command(after_help = "Example: restore backup-of-monday restored\n         restore backup-of-monday --verify\n\
                      A database that is there already is replaced only if you say so; a power cut leaves the old one or\n\
                      the new one.")]
    Restore(Restore),
    /// Sizes and counters of the database
    #[command(after_help = "Example: stats --format json")]
    Stats,
    /// Shape of the trees: levels, pages, fill
    #[command(after_help = "Example: tree --depth 2")]
    Tree(Tree),
    /// Where every byte of the files is, and who holds back what could be used again
    #[command(after_help = "Example: space --format json")]
    Space,
    /// Make the files as small as what lives in them
    #[command(
        after_help = "Example: compact\nReads and writes go on meanwhile. Ctrl-C ends it early; what was won stays."
    )]
    Compact,
    /// Read the whole database and report what is damaged
    #[command(after_help = "Example: check --deep\nExit code 4 if anything is found; nothing is changed.")]
    Check(Check),
    /// Say what is wrong with a database, even if it does not open, and save what is left
    #[command(after_help = "Example: doctor\n         doctor --salvage DIR\n\
                      Exit code 0 sound, 1 repairable, 4 data lost; the database itself is never changed.")]
    Doctor(Doctor),
    /// Look at the configuration
    #[command(subcommand, disable_help_subcommand = true, after_help = "Example: config show --origin")]
    Config(Config),
    /// List the commands, or explain one
    #[command(after_help = "Example: help put")]
    Help(Help),
    /// Version of this program
    #[command(after_help = "Example: version")]
    Version,
    /// Leave the shell or end the pipe
    #[command(visible_alias = "exit", after_help = "Example: quit")]
    Quit,
}

/// Arguments of `put`.
#[derive(Debug, Args)]
pub(crate) struct Put {
    /// 1 byte to a quarter of a page (4,096 bytes with 16 KiB pages)
    pub(crate) key: OsString,
    /// The value itself, @FILE for the content of a file, or - for standard input up to its end
    pub(crate) value: OsString,
    /// Only if the key is not there yet (else exit code 1)
    #[arg(long, conflicts_with = "if_present")]
    pub(crate) if_absent: bool,
    /// Only if the key is there already (else exit code 1)
    #[arg(long)]
    pub(crate) if_present: bool,
    /// Let the key live for a time only: 500ms, 10m, 1h30m, 7d
    #[arg(long, value_name = "DURATION", value_parser = durations::parse)]
    pub(crate) ttl: Option<Duration>,
    /// Store VALUE as it is, even if it is - or begins with @ (in shell and pipe quotes do the same)
    #[arg(long)]
    pub(crate) literal: bool,
}

/// Arguments of `get`.
#[derive(Debug, Args)]
pub(crate) struct Get {
    /// The key: any bytes
    pub(crate) key: OsString,
    /// Write exactly the bytes of the value, without a newline
    #[arg(long)]
    pub(crate) raw: bool,
}

/// Arguments of `delete`.
#[derive(Debug, Args)]
pub(crate) struct Delete {
    /// Several keys are deleted together: all or none
    #[arg(required = true, value_name = "KEY")]
    pub(crate) keys: Vec<OsString>,
}

/// Arguments of `exists`.
#[derive(Debug, Args)]
pub(crate) struct Exists {
    /// The key: any bytes
    pub(crate) key: OsString,
}

/// Arguments of `expire`.
#[derive(Debug, Args)]
pub(crate) struct Expire {
    /// The key: any bytes
    pub(crate) key: OsString,
    /// How long from now on: 500ms, 10m, 1h30m, 7d
    #[arg(value_name = "DURATION", value_parser = durations::parse)]
    pub(crate) after: Duration,
}

/// Arguments of `ttl`.
#[derive(Debug, Args)]
pub(crate) struct TtlOf {
    /// The key: any bytes
    pub(crate) key: OsString,
}

/// Arguments of `persist`.
#[derive(Debug, Args)]
pub(crate) struct Persist {
    /// The key: any bytes
    pub(crate) key: OsString,
}

/// Arguments of `mget`.
#[derive(Debug, Args)]
pub(crate) struct Mget {
    /// The keys, in the order in which they are to be shown
    #[arg(required = true, value_name = "KEY")]
    pub(crate) keys: Vec<OsString>,
}

/// Arguments of `incr`.
#[derive(Debug, Args)]
pub(crate) struct Incr {
    /// The key: any bytes
    pub(crate) key: OsString,
    /// What is added; may be negative
    #[arg(default_value_t = 1)]
    pub(crate) by: i64,
}

/// Arguments of `cas`.
#[derive(Debug, Args)]
pub(crate) struct Cas {
    /// The key: any bytes
    pub(crate) key: OsString,
    /// EXPECTED, then NEW; with --absent only NEW, with --delete only EXPECTED
    #[arg(value_name = "VALUE", num_args = 0..=2)]
    pub(crate) values: Vec<OsString>,
    /// Expect that the key is not there
    #[arg(long)]
    pub(crate) absent: bool,
    /// Delete the key instead of giving it a new value
    #[arg(long, conflicts_with = "absent")]
    pub(crate) delete: bool,
}

/// Arguments of `nth`.
#[derive(Debug, Args)]
pub(crate) struct Nth {
    /// Counted from 0
    #[arg(value_name = "N")]
    pub(crate) number: u64,
}

/// Arguments of `rank`.
#[derive(Debug, Args)]
pub(crate) struct Rank {
    /// The key: any bytes
    pub(crate) key: OsString,
}

/// Arguments of `delete-range`.
#[derive(Debug, Args)]
pub(crate) struct DeleteRange {
    #[command(flatten)]
    pub(crate) range: Range,
}

/// Arguments of `delete-prefix`.
#[derive(Debug, Args)]
pub(crate) struct DeletePrefix {
    /// How the keys begin; not empty
    pub(crate) prefix: OsString,
}

/// Arguments of `use`.
#[derive(Debug, Args)]
pub(crate) struct Use {
    /// The keyspace; without it the default one
    pub(crate) name: Option<String>,
}

/// Arguments of `drop`.
#[derive(Debug, Args)]
pub(crate) struct DropKeyspace {
    /// The keyspace, which is not the default one
    pub(crate) name: String,
    /// Do not ask
    #[arg(long)]
    pub(crate) yes: bool,
}

/// Arguments of `list`.
#[derive(Debug, Args)]
pub(crate) struct List {
    /// Only keys that begin with this
    pub(crate) prefix: Option<OsString>,
    /// At most N rows
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<u64>,
    /// From the last key to the first
    #[arg(long)]
    pub(crate) reverse: bool,
    /// Show the values too
    #[arg(long)]
    pub(crate) values: bool,
}

/// A range of keys: all three limits may be combined.
#[derive(Debug, Default, Args)]
pub(crate) struct Range {
    /// First key, inclusive
    #[arg(long, value_name = "KEY", allow_hyphen_values = true)]
    pub(crate) from: Option<OsString>,
    /// End of the range, exclusive
    #[arg(long, value_name = "KEY", allow_hyphen_values = true)]
    pub(crate) to: Option<OsString>,
    /// Only keys that begin with this
    #[arg(long, value_name = "PREFIX", allow_hyphen_values = true)]
    pub(crate) prefix: Option<OsString>,
}

/// Arguments of `scan`.
#[derive(Debug, Args)]
pub(crate) struct Scan {
    #[command(flatten)]
    pub(crate) range: Range,
    /// At most N rows
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<u64>,
    /// From the last key to the first
    #[arg(long)]
    pub(crate) reverse: bool,
}

/// Arguments of `count`.
#[derive(Debug, Args)]
pub(crate) struct Count {
    #[command(flatten)]
    pub(crate) range: Range,
}

/// Arguments of `clear`.
#[derive(Debug, Args)]
pub(crate) struct Clear {
    /// Do not ask
    #[arg(long)]
    pub(crate) yes: bool,
}

/// Arguments of `import`.
#[derive(Debug, Args)]
pub(crate) struct Import {
    /// The file, or - for standard input
    #[arg(default_value = "-")]
    pub(crate) path: PathBuf,
    /// Records per commit; each commit is synced once
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) batch: u32,
    /// Leave out lines that are no record, and count them, instead of stopping
    #[arg(long)]
    pub(crate) skip_bad: bool,
    /// A CSV file without the header key,value: its columns are key, value and perhaps expires_at_ms
    #[arg(long)]
    pub(crate) no_header: bool,
}

/// Arguments of `export`.
#[derive(Debug, Args)]
pub(crate) struct Export {
    /// The file, or - for standard output
    #[arg(default_value = "-")]
    pub(crate) path: PathBuf,
    /// CSV without the header key,value
    #[arg(long)]
    pub(crate) no_header: bool,
    /// CSV with keys and values in base64, for programs that read only text
    #[arg(long, conflicts_with = "no_header")]
    pub(crate) base64: bool,
}

/// Arguments of `backup`.
#[derive(Debug, Args)]
pub(crate) struct Backup {
    /// The directory to make; its parent must exist
    pub(crate) dir: PathBuf,
}

/// Arguments of `restore`.
#[derive(Debug, Args)]
pub(crate) struct Restore {
    /// Directory of the backup; it is only read
    pub(crate) backup: PathBuf,
    /// Directory of the database to make; its parent must exist
    #[arg(required_unless_present = "verify")]
    pub(crate) dir: Option<PathBuf>,
    /// Do not ask before a database is replaced
    #[arg(long)]
    pub(crate) yes: bool,
    /// Only compare every byte with the checksums
    #[arg(long, conflicts_with_all = ["dir", "yes"])]
    pub(crate) verify: bool,
}

/// Arguments of `tree`.
#[derive(Debug, Args)]
pub(crate) struct Tree {
    /// Show N levels from the root
    #[arg(long, value_name = "N")]
    pub(crate) depth: Option<usize>,
}

/// Arguments of `check`.
#[derive(Debug, Args)]
pub(crate) struct Check {
    /// Read the contents of large values too
    #[arg(long)]
    pub(crate) deep: bool,
}

/// Arguments of `doctor`.
#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// Copy everything readable into a new database in DIR
    #[arg(long, value_name = "DIR")]
    pub(crate) salvage: Option<PathBuf>,
    /// Of a log with holes, use only what comes before the first one
    #[arg(long, requires = "salvage")]
    pub(crate) stop_at_gap: bool,
}

/// The commands under `config`.
#[derive(Debug, Subcommand)]
pub(crate) enum Config {
    /// Report every mistake in the configuration file
    #[command(after_help = "Example: halodb --config halodb.toml config check")]
    Check,
    /// Show the values in force
    #[command(after_help = "Example: config show --origin")]
    Show {
        /// Say where each value comes from
        #[arg(long)]
        origin: bool,
    },
    /// Explain one key: meaning, default, unit, cost
    #[command(after_help = "Example: config explain wal.durability")]
    Explain {
        /// SECTION.KEY
        key: String,
    },
    /// Write the annotated example file
    #[command(after_help = "Example: config init halodb.toml")]
    Init {
        /// A file that does not exist yet, or - for standard output
        #[arg(default_value = "-")]
        path: PathBuf,
    },
}

/// Arguments of `help`.
#[derive(Debug, Args)]
pub(crate) struct Help {
    /// The command to explain
    pub(crate) command: Vec<String>,
}

/// What a command wants to find in the directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Needs {
    /// No database at all.
    Nothing,
    /// A database that is there.
    Existing,
    /// A database, created if it is not there.
    Created,
}

impl Command {
    /// What the command wants to find in the directory.
    pub(crate) fn needs(&self) -> Needs {
        match self {
            Command::Put(_)
            | Command::Delete(_)
            | Command::Incr(_)
            | Command::Cas(_)
            | Command::DeleteRange(_)
            | Command::DeletePrefix(_)
            | Command::Clear(_)
            | Command::Import(_) => Needs::Created,
            Command::Restore(_)
            | Command::Begin
            | Command::Commit
            | Command::Rollback
            | Command::Doctor(_)
            | Command::Config(_)
            | Command::Help(_)
            | Command::Version
            | Command::Quit => Needs::Nothing,
            _ => Needs::Existing,
        }
    }
}

/// Parser of lines, built once: building it takes longer than parsing a line.
#[derive(Debug)]
pub(crate) struct LineParser(clap::Command);

impl LineParser {
    /// Builds the parser.
    pub(crate) fn new() -> Self {
        let mut command = Line::command();
        command.build();
        LineParser(command)
    }

    /// Parses the words of a line.
    pub(crate) fn parse(&mut self, words: Vec<OsString>) -> Result<Line, clap::Error> {
        let mut matches = self.0.try_get_matches_from_mut(words)?;
        Line::from_arg_matches_mut(&mut matches).map_err(|error| error.format(&mut self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::error::ErrorKind;

    fn line(words: &[&str]) -> Result<Line, clap::Error> {
        LineParser::new().parse(words.iter().map(OsString::from).collect())
    }

    fn check_error(words: &[&str], expected: ErrorKind) {
        assert_eq!(line(words).expect_err("a mistake").kind(), expected, "{words:?}");
    }

    #[test]
    fn the_definition_is_consistent() {
        Program::command().debug_assert();
        Line::command().debug_assert();
    }

    #[test]
    fn global_options_stand_anywhere() {
        for words in [
            ["halodb", "--db", "d", "--format", "json", "get", "k"],
            ["halodb", "get", "--db", "d", "k", "--format", "json"],
            ["halodb", "get", "k", "--format", "json", "--db", "d"],
        ] {
            let program = Program::try_parse_from(words).unwrap();
            assert_eq!(program.db, Some(PathBuf::from("d")));
            assert_eq!(program.format, Some(Format::Json));
        }
    }

    #[test]
    fn two_dashes_end_the_options() {
        let Command::Get(get) = line(&["get", "--", "-x"]).unwrap().command else {
            panic!("get expected");
        };
        assert_eq!(get.key, "-x");
        check_error(&["get", "-x"], ErrorKind::UnknownArgument);
    }

    #[test]
    fn negative_numbers_and_empty_words_are_data() {
        let Command::Put(put) = line(&["set", "-5", ""]).unwrap().command else {
            panic!("put expected");
        };
        assert_eq!((put.key, put.value), ("-5".into(), "".into()));
    }

    #[test]
    fn mistakes_are_reported() {
        check_error(&["put", "k"], ErrorKind::MissingRequiredArgument);
        check_error(&["gte", "k"], ErrorKind::InvalidSubcommand);
        check_error(&["get", "k", "x"], ErrorKind::UnknownArgument);
        check_error(&["get", "k", "--db", "d"], ErrorKind::UnknownArgument);
        check_error(&["put", "k", "v", "--if-absent", "--if-present"], ErrorKind::ArgumentConflict);
        check_error(&["list", "--limit", "many"], ErrorKind::ValueValidation);
        assert!(line(&["lst"]).unwrap_err().to_string().contains("'list'"));
    }
}
