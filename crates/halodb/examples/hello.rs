//! Opens a database, writes, reads, closes. `cargo run -p halodb --example hello [DIRECTORY]`

use halodb::Db;

fn main() -> halodb::Result<()> {
    let path = std::env::args_os().nth(1).unwrap_or_else(|| "hello-data".into());
    let db = Db::open(&path)?;
    let report = db.open_report();
    println!("{} {} with {} keys", if report.created { "created" } else { "opened" }, db.path().display(), db.len()?);

    let visits: u64 =
        db.get_with("visits", |bytes| std::str::from_utf8(bytes).ok()?.parse().ok())?.flatten().unwrap_or(0);
    // One batch: both keys change, or neither, whatever happens.
    let commit = db.batch().put("visits", (visits + 1).to_string()).put("greeting", "hello, world").commit()?;
    println!("visit {} is durable under number {}", visits + 1, commit.seq);

    for pair in db.iter() {
        let (key, value) = pair?;
        println!("  {} = {}", key.escape_ascii(), value.escape_ascii());
    }
    db.close()
}
