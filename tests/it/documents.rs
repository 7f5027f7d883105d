//! The documents say what the program does: what they print is compared with what it is.

use std::{collections::BTreeSet, fs, path::PathBuf};

use roomcast::{error::Code, metrics::TABLE};

use crate::harness::Cli;

/// Every close code of `src/protocol/close.rs`.
const CLOSE_CODES: [u16; 12] = [
    1000, 1002, 1003, 1007, 1009, 1011, 1012, 4400, 4401, 4408, 4429, 4490,
];

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn read(name: &str) -> String {
    fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The names of the files in a folder that end in `.{extension}`.
fn files(folder: &str, extension: &str) -> Vec<String> {
    let entries = fs::read_dir(path(folder)).expect("the folder is there");
    let paths = entries.map(|entry| entry.expect("readable").path());
    let wanted = paths.filter(|path| path.extension().is_some_and(|found| found == extension));
    wanted
        .filter_map(|path| Some(path.file_name()?.to_str()?.to_owned()))
        .collect()
}

/// The lines between fences, of every language.
fn fenced(page: &str) -> Vec<&str> {
    let blocks = page.split("\n```").skip(1).step_by(2);
    blocks.flat_map(|block| block.lines().skip(1)).collect()
}

/// The word behind each call of the program in a line of shell.
fn subcommands(line: &str) -> impl Iterator<Item = &str> {
    let words = line.split(|c: char| c.is_whitespace() || "()$`".contains(c));
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    let pairs: Vec<(&str, &str)> = words.windows(2).map(|pair| (pair[0], pair[1])).collect();
    pairs
        .into_iter()
        .filter(|(program, _)| program.rsplit('/').next() == Some("roomcast"))
        .map(|(_, subcommand)| subcommand)
        .filter(|word| word.starts_with(|c: char| c.is_ascii_lowercase()))
}

/// The lines of a page from a heading to the next of its level.
fn section<'a>(page: &'a str, heading: &str) -> Vec<&'a str> {
    let lines = page.lines().skip_while(|line| *line != heading).skip(1);
    lines.take_while(|line| !line.starts_with("## ")).collect()
}

#[test]
fn the_examples_of_the_protocol_are_the_transcripts() {
    let page = read("docs/PROTOCOL.md");
    let transcripts = files("tests/it/transcripts", "txt");
    assert!(!transcripts.is_empty());
    for name in transcripts {
        let text = read(&format!("tests/it/transcripts/{name}"));
        let example = format!("`{name}`\n\n```text\n{text}```\n");
        assert!(
            page.contains(&example),
            "docs/PROTOCOL.md does not hold {name} as it is"
        );
    }
}

#[test]
fn every_error_code_is_in_the_protocol_with_its_status() {
    let page = read("docs/PROTOCOL.md");
    for code in Code::ALL {
        let row = format!("| `{}` | {} |", code.as_str(), code.status());
        assert!(page.contains(&row), "docs/PROTOCOL.md has no row {row}");
    }
}

#[test]
fn every_close_code_is_in_the_protocol() {
    let page = read("docs/PROTOCOL.md");
    for code in CLOSE_CODES {
        let row = format!("| {code} |");
        assert!(page.contains(&row), "docs/PROTOCOL.md has no row {row}");
    }
}

#[test]
fn the_operators_page_has_the_table_of_metrics() {
    let page = read("docs/OPERATIONS.md");
    let lines = section(&page, "## Metrics");
    let rows = lines.iter().filter(|line| line.starts_with("| `roomcast_"));
    let described: Vec<String> = rows
        .map(|row| row.split(" | ").take(3).collect::<Vec<_>>().join(" | "))
        .collect();
    let exported: Vec<String> = TABLE
        .iter()
        .map(|row| {
            let labels: Vec<_> = row.labels.iter().map(|it| format!("`{it}`")).collect();
            let labels = match labels.is_empty() {
                true => "–".to_owned(),
                false => labels.join(", "),
            };
            format!("| `{}` | {} | {labels}", row.name, row.kind.name())
        })
        .collect();
    assert_eq!(described, exported);
}

#[test]
fn the_operators_page_says_what_to_do_about_every_alert() {
    let page = read("docs/OPERATIONS.md");
    let lines = section(&page, "## Alerts");
    let rows = lines
        .iter()
        .filter_map(|line| line.strip_prefix("| `Roomcast"));
    let described: BTreeSet<&str> = rows.filter_map(|row| row.split('`').next()).collect();
    let rules = read("deploy/observability/alerts.yml");
    let alerts = rules
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: Roomcast"));
    assert_eq!(described, alerts.collect::<BTreeSet<&str>>());
    assert!(!described.is_empty());
}

#[test]
fn the_operators_page_has_every_error_and_close_code() {
    let page = read("docs/OPERATIONS.md");
    let cells = |heading: &str| -> Vec<String> {
        let rows = section(&page, heading).into_iter();
        let rows = rows.filter_map(|line| line.strip_prefix("| "));
        let firsts = rows.filter_map(|row| row.split(" | ").next());
        firsts.skip(1).map(|cell| cell.replace('`', "")).collect()
    };
    let codes: Vec<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
    assert_eq!(cells("## Error codes"), codes);
    let closes: Vec<_> = CLOSE_CODES.iter().map(u16::to_string).collect();
    assert_eq!(cells("## Close codes"), closes);
}

#[test]
fn every_command_of_the_readme_exists() {
    let page = read("README.md");
    let output = Cli::new().run(&["--help"]);
    let help = String::from_utf8(output.stdout).expect("text");
    let called: BTreeSet<&str> = fenced(&page).into_iter().flat_map(subcommands).collect();
    assert!(called.contains("token"), "nothing was found: {called:?}");
    for subcommand in called {
        let is_listed = help
            .lines()
            .any(|line| line.split_whitespace().next() == Some(subcommand));
        assert!(is_listed, "README.md calls `roomcast {subcommand}`");
    }
}

#[test]
fn every_test_that_the_architecture_names_exists() {
    let page = read("ARCHITECTURE.md");
    let guards = page.lines().filter(|line| line.contains("Guarded by"));
    assert_tests_exist("ARCHITECTURE.md", guards);
}

#[test]
fn every_test_that_the_attacks_name_exists() {
    let page = read("docs/ATTACKS.md");
    assert_tests_exist("docs/ATTACKS.md", page.lines());
    let is_header = |line: &str| line.starts_with("| input |") || line.starts_with("|---");
    let rows = page.lines().filter(|line| line.starts_with("| "));
    for row in rows.filter(|line| !is_header(line)) {
        let shown_by = row.trim_end_matches(" |").rsplit(" | ").next();
        let shown_by = shown_by.expect("a last cell");
        let is_shown = shown_by.contains("::") || shown_by.contains(".test.js");
        assert!(is_shown, "no test shows this: {row}");
    }
    let scripts = quoted(page.lines()).filter(|name| name.ends_with(".test.js"));
    for script in scripts {
        assert!(path(script).is_file(), "docs/ATTACKS.md names {script}");
    }
}

/// What stands between back-quotes.
fn quoted<'a>(lines: impl Iterator<Item = &'a str>) -> impl Iterator<Item = &'a str> {
    lines.flat_map(|line| line.split('`').skip(1).step_by(2))
}

/// Asserts that each `folder/module::test` that lines name is there.
fn assert_tests_exist<'a>(page: &str, lines: impl Iterator<Item = &'a str>) {
    let is_test = |name: &&str| ["tests/it/", "src/"].iter().any(|it| name.starts_with(it));
    let names: Vec<&str> = quoted(lines)
        .filter(|name| name.contains("::"))
        .filter(is_test)
        .collect();
    assert!(!names.is_empty(), "{page} names no test");
    for name in names {
        let (module, test) = name.rsplit_once("::").expect("it has a module");
        let source = read(&format!("{}.rs", module.replace("::", "/")));
        assert!(
            source.contains(&format!("fn {test}(")) || source.contains(&format!("    {test}:")),
            "{page} names {name}, which is not there"
        );
    }
}
