//! The examples of `help COMMAND` run, each for each command: what is shown works as it stands.

mod common;

use common::Place;
use common::script::Sh;

/// Commands of shell and pipe, and what has to be said before their examples.
const IN_A_PIPE: [(&str, &str); 5] =
    [("use", ""), ("begin", ""), ("commit", "begin\nput k v\n"), ("rollback", "begin\nput k v\n"), ("quit", "")];

/// Commands whose examples write to other places or measure for a while: they have tests of their own.
const ELSEWHERE: [&str; 3] = ["inspect", "bench", "completions"];

/// A directory with all that the examples speak of.
fn furnished(sh: &Sh) -> Place {
    let place = Place::new();
    place.pipe(
        "put user/1 Ada\nput user/2 Grace\nput session/7 x\nput 1 x --keyspace sessions\nput 2 x --keyspace users\n",
    );
    place.write("users.jsonl", "{\"key\":\"user/3\",\"value\":\"Edsger\"}\n");
    place.write("users-1.jsonl", "{\"key\":\"user/4\",\"value\":\"Barbara\"}\n");
    place.write("users.csv", "key,value\nuser/5,Niklaus\n");
    for line in ["gzip users.csv", "halodb backup backup-of-monday", "halodb config init halodb.toml"] {
        assert_eq!(sh.run(&place, line).code, 0, "{line}");
    }
    place
}

/// The lines of `Example: …` and those below it that are indented.
fn examples(help: &str) -> Vec<String> {
    let Some((_, text)) = help.split_once("Example: ") else { return Vec::new() };
    let mut lines = text.lines();
    let first = lines.next().map(str::to_owned);
    let rest = lines.map_while(|line| line.strip_prefix("         ")).map(str::to_owned);
    first.into_iter().chain(rest).collect()
}

#[test]
fn every_example_works() {
    let sh = Sh::new();
    let names = common::command_names(&Place::new());
    let under_config = ["check", "show", "explain", "init"].map(|name| format!("config {name}"));
    let mut ran = 0;
    for name in names.iter().chain(&under_config).filter(|name| !ELSEWHERE.contains(&name.as_str())) {
        let place = furnished(&sh);
        if name == "config init" {
            std::fs::remove_file(place.path("halodb.toml")).expect("removed");
        }
        let words: Vec<&str> = std::iter::once("help").chain(name.split(' ')).collect();
        let help = place.run(&words).out();
        let examples = examples(&help);
        assert!(!examples.is_empty(), "{name} has no example: {help}");
        if let Some((_, before)) = IN_A_PIPE.iter().find(|(known, _)| known == name) {
            for example in &examples {
                let run = place.pipe(format!("{before}{example}\n"));
                assert_eq!((run.code, run.stderr.contains("error")), (0, false), "{example}: {run:?}");
            }
        } else {
            for example in &examples {
                let line = if example.contains("halodb ") { example.clone() } else { format!("halodb {example}") };
                let run = sh.run(&place, &line);
                assert_eq!((run.code, run.stderr.contains("error")), (0, false), "{line}: {run:?}");
            }
        }
        ran += examples.len();
    }
    assert!(ran >= names.len() - ELSEWHERE.len(), "{ran}");
}
