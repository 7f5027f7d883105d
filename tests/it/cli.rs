//! The command line: what it lists, how it ends, and the tools that talk to a running server.

mod tail;

use std::{
    fs,
    io::{self, BufRead, BufReader},
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, Command, Output, Stdio},
};

use diesel::{Connection, RunQueryDsl, SqliteConnection};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use self::tail::Tail;
use crate::{
    config::least,
    harness::{Cli, PATIENCE, ReservedPort, ServerOptions, TestServer, await_until, uuid},
};

const COMMANDS: [&str; 12] = [
    "dev",
    "serve",
    "migrate",
    "check-config",
    "token",
    "tail",
    "top",
    "healthcheck",
    "dlq",
    "bench",
    "openapi",
    "asyncapi",
];

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("UTF-8")
}

/// Asserts that a call failed with one line that has all of `expected` in it.
#[track_caller]
fn assert_refused(output: &Output, status: i32, expected: &[&str]) {
    let text = stderr(output);
    assert_eq!(output.status.code(), Some(status), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(output.stdout.is_empty());
    for part in expected {
        assert!(text.contains(part), "{part} in {text}");
    }
}

fn path(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

/// Calls the program with a standard output that nobody reads any more.
fn run_unread(cli: &Cli, args: &[&str]) -> Output {
    let (reader, writer) = io::pipe().expect("a pipe");
    drop(reader);
    let output = cli.command(args).stdout(writer).output();
    output.expect("the binary starts")
}

/// Starts a `dev` server by hand on any port; returns it once it serves, with its page's address.
fn start_dev(cli: &Cli, args: &[&str]) -> (Process, String) {
    let all = [&["dev", "--port", "0", "--metrics-addr", "off"], args].concat();
    let mut server = Process::start(cli.command(&all).stderr(Stdio::piped()));
    let mut lines = BufReader::new(server.0.stderr.take().expect("piped")).lines();
    let page = lines.by_ref().map_while(Result::ok).find_map(|line| {
        let line = line.trim().strip_prefix("page ")?.trim().to_owned();
        Some(line.trim_end_matches('/').to_owned())
    });
    // The rest is read so that the server never waits for a full pipe.
    std::thread::spawn(move || lines.for_each(drop));
    (server, page.expect("the banner says where the page is"))
}

/// Waits until the banner is there as a whole; returns what the server has said.
async fn banner(server: &TestServer) -> String {
    await_until("the end of the banner", || async {
        let said = server.log().join("\n");
        said.contains("Ctrl-C").then_some(said)
    })
    .await
}

/// A process that does not outlive its test.
struct Process(Child);

impl Process {
    fn start(command: &mut Command) -> Self {
        Self(command.spawn().expect("the binary starts"))
    }

    /// Sends a signal and waits for a clean end.
    fn end(&mut self, signal: Signal) {
        let pid = Pid::from_raw(self.0.id().cast_signed());
        kill(pid, signal).expect("the process runs");
        let status = self.0.wait().expect("a child can be waited for");
        assert!(status.success(), "{status}");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It has ended already where the test went well.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn help_lists_every_command() {
    let output = Cli::new().run(&["--help"]);
    assert_eq!(output.status.code(), Some(0));
    let help = stdout(&output);
    for command in COMMANDS {
        let is_listed = help
            .lines()
            .any(|line| line.trim_start().starts_with(&format!("{command} ")));
        assert!(is_listed, "{command} in {help}");
        let own = Cli::new().run(&[command, "--help"]);
        assert_eq!(own.status.code(), Some(0), "{command}");
        assert!(stdout(&own).contains("Usage: roomcast"), "{command}");
    }
    assert!(
        !help.lines().any(|line| line.chars().count() > 100),
        "{help}"
    );
}

#[test]
fn usage_is_told_with_status_2() {
    let check = |args: &[&str], expected: &str| {
        let output = Cli::new().run(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(stderr(&output).contains(expected), "{}", stderr(&output));
    };
    check(&["fly"], "fly");
    check(&["dev", "--fly"], "--fly");
    check(&["serve", "--role", "king"], "gateway");
    check(&["token"], "EMAIL|USER_ID");
    check(&["tail"], "ROOM");
    check(&["dlq"], "replay");
    check(&["dev", "--ephemeral", "--data-dir", "x"], "--ephemeral");
    check(
        &["token", "nobody"],
        "must be an e-mail address or the id of a user",
    );
    check(
        &["token", "a@example.com", "--expires-in", "2d"],
        "must be at most JWT_EXPIRES_IN (86400 s)",
    );
    check(
        &["token", "a@example.com", "--expires-in", "soon"],
        "--expires-in",
    );
    check(&["tail", "lobby", "-n", "101", "--as", "nobody"], "--last");
    check(&["tail", "lobby", "-n", "101", "--as", "nobody"], "ROOM");
    check(&["tail", "lobby", "-n", "101", "--as", "nobody"], "--as");
    check(
        &["healthcheck", "--url", "https://chat.example.com"],
        "--url",
    );
}

#[test]
fn flags_may_stand_without_a_command() {
    let output = Cli::new().run(&["--port", "x"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("--port"), "{}", stderr(&output));
}

#[test]
fn a_closed_output_is_no_panic() {
    let check = |args: &[&str]| {
        let output = run_unread(&least(), args);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        assert!(output.stderr.is_empty(), "{}", stderr(&output));
    };
    check(&["--help"]);
    check(&["check-config"]);
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let cli = Cli::new().file("file", "");
    let output = cli.run(&["dev", "--data-dir", "file/below"]);
    assert_refused(&output, 1, &["file/below", "--data-dir"]);
    let output = cli.run(&["--data-dir", "file"]);
    assert_refused(&output, 1, &["file", "--data-dir"]);
}

#[test]
fn tools_tell_when_a_folder_has_no_data() {
    let cli = Cli::new();
    let output = cli.run(&["token", "a@example.com"]);
    assert_refused(&output, 1, &["./data", "--data-dir"]);
    assert!(!cli.folder().join("data").exists(), "a look makes nothing");
}

#[test]
fn tools_tell_when_no_server_answers() {
    let reserved = ReservedPort::any();
    let port = reserved.addr().port().to_string();
    let cli = Cli::new().env("PORT", &port);
    let expected: &[&str] = &[&port, "does not answer", "start a server", "--url"];
    assert_refused(&cli.run(&["healthcheck"]), 1, expected);
    let room = uuid();
    let output = Cli::new().run(&[
        "tail",
        &room,
        "--token",
        "x",
        "--url",
        &format!("http://127.0.0.1:{port}"),
    ]);
    assert_refused(&output, 1, expected);
    let output = Cli::new().run(&["healthcheck", "--url", "127.0.0.1:3000"]);
    assert_eq!(output.status.code(), Some(2));
    let text = stderr(&output);
    assert!(text.contains("--url  must begin with http://"), "{text}");
}

#[actix_web::test]
async fn a_port_that_is_taken_is_named_with_its_setting() {
    let server = TestServer::start().await;
    let port = server.host().rsplit(':').next().expect("a port").to_owned();
    let output = Cli::new().run(&[
        "--port",
        &port,
        "--metrics-addr",
        "off",
        "--rust-log",
        "warn",
    ]);
    assert_refused(&output, 1, &[&port, "PORT", "--port"]);
    let addr = server.host().to_owned();
    let output = Cli::new().run(&["--port", "0", "--metrics-addr", &addr, "--rust-log", "warn"]);
    assert_refused(&output, 1, &[&addr, "METRICS_ADDR", "--metrics-addr"]);
    // An address of documentation, which no machine has.
    let output = Cli::new().run(&[
        "--bind-addr",
        "192.0.2.1",
        "--port",
        "0",
        "--metrics-addr",
        "off",
        "--rust-log",
        "warn",
    ]);
    assert_refused(&output, 1, &["192.0.2.1", "BIND_ADDR"]);
}

#[test]
fn metrics_move_when_another_server_has_their_usual_port() {
    // Where this fails, something else has the port, which is what the test needs.
    let usual = TcpListener::bind("127.0.0.1:9464");
    let cli = Cli::new();
    let mut command = cli.command(&["dev", "--port", "0", "--rust-log", "warn"]);
    let mut server = Process::start(command.stderr(Stdio::piped()));
    let lines = BufReader::new(server.0.stderr.take().expect("piped")).lines();
    let lines: Vec<String> = lines
        .map_while(Result::ok)
        .take_while(|line| !line.contains("Ctrl-C"))
        .collect();
    let metrics = lines.iter().find(|line| line.contains("/metrics"));
    let metrics = metrics.unwrap_or_else(|| panic!("{lines:?}"));
    assert!(!metrics.contains(":9464/"), "{metrics}");
    assert!(lines[0].contains("they get a free port"), "{lines:?}");
    server.end(Signal::SIGTERM);
    drop(usual);
}

#[actix_web::test]
async fn what_lies_in_the_way_of_a_file_is_named() {
    let mut server = TestServer::start().await;
    server.signal(Signal::SIGTERM);
    server.ended(PATIENCE).await;
    let folder = server.data_dir();
    for (name, expected) in [
        ("jwt.secret", "put the right one back"),
        ("log.mark", "log.mark"),
        ("log.sqlite3", "log.sqlite3"),
    ] {
        let (file, aside) = (folder.join(name), folder.join("aside"));
        fs::rename(&file, &aside).expect("ours");
        fs::create_dir(&file).expect("ours");
        let output = Cli::new().run(&["--data-dir", path(&folder), "--port", "0"]);
        assert_refused(&output, 1, &["it is a folder, not a file", expected]);
        fs::remove_dir(&file).expect("ours");
        fs::rename(&aside, &file).expect("ours");
    }
}

#[actix_web::test]
async fn a_folder_has_one_server() {
    let server = TestServer::start().await;
    let folder = server.data_dir();
    let output = Cli::new().run(&["--data-dir", path(&folder), "--port", "0"]);
    let pid = server.pid().to_string();
    assert_refused(
        &output,
        1,
        &["in use by another process", &pid, "--data-dir"],
    );
}

#[actix_web::test]
async fn a_database_of_a_newer_version_is_refused() {
    let mut server = TestServer::start().await;
    server.signal(Signal::SIGTERM);
    server.ended(PATIENCE).await;
    let database = server.data_dir().join("roomcast.sqlite3");
    // What a later version would have noted.
    let mut connection = SqliteConnection::establish(path(&database)).expect("a database");
    diesel::sql_query("INSERT INTO __diesel_schema_migrations (version) VALUES ('99991231000000')")
        .execute(&mut connection)
        .expect("writable");
    drop(connection);
    let folder = server.data_dir();
    let output = Cli::new().run(&[
        "--data-dir",
        path(&folder),
        "--port",
        "0",
        "--rust-log",
        "warn",
    ]);
    assert_refused(&output, 1, &["newer"]);
}

#[actix_web::test]
async fn the_secret_is_made_once_for_the_owner_alone() {
    let mut server = TestServer::start().await;
    let file = server.data_dir().join("jwt.secret");
    let mode = |path: &Path| fs::metadata(path).expect("it exists").permissions().mode() & 0o777;
    assert_eq!(mode(&file), 0o600);
    assert_eq!(mode(&server.data_dir()), 0o700);
    let first = fs::read_to_string(&file).expect("readable");
    assert!(first.trim().len() >= 32);
    let shown = banner(&server).await;
    assert!(shown.contains(path(&file)), "the banner says where it lies");
    assert!(!shown.contains(first.trim()), "and not what it is");
    for file in ["roomcast.sqlite3", "log.sqlite3"] {
        assert_eq!(mode(&server.data_dir().join(file)), 0o600, "{file}");
    }
    let user = server.user("ann").await;
    server.signal(Signal::SIGTERM);
    server.ended(PATIENCE).await;
    let server = server.restart().await;
    assert_eq!(fs::read_to_string(&file).expect("readable"), first);
    user.at(&server).get("/me").await.ok(200);
}

#[actix_web::test]
async fn the_banner_says_where_everything_is() {
    let server = TestServer::start().await;
    let shown = banner(&server).await;
    let base = server.url("");
    for address in ["/", "/demo", "/health"] {
        assert!(
            shown.contains(&format!("{base}{address}")),
            "{address} in {shown}"
        );
    }
    assert!(shown.contains(&server.ws_url()), "{shown}");
    assert!(shown.contains(server.metrics_url()), "{shown}");
    assert!(shown.contains(path(&server.data_dir())), "{shown}");
    assert!(!shown.contains('\u{1b}'), "no colours but on a terminal");
}

#[actix_web::test]
async fn an_ephemeral_server_leaves_nothing_behind() {
    let cli = Cli::new().file("tmp/.keep", "");
    let tmp = cli.folder().join("tmp");
    let cli = cli.env("TMPDIR", tmp.display());
    let (mut server, page) = start_dev(&cli, &["--ephemeral"]);
    let ready = reqwest::get(format!("{page}/health/ready"))
        .await
        .expect("it answers");
    assert_eq!(ready.status(), 200);
    let names = |folder: &Path| -> Vec<String> {
        let entries = fs::read_dir(folder)
            .expect("readable")
            .map_while(Result::ok);
        let mut names: Vec<_> = entries
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        names.sort_unstable();
        names
    };
    assert!(
        names(&tmp).iter().any(|name| name.starts_with("roomcast-")),
        "{:?}",
        names(&tmp)
    );
    server.end(Signal::SIGTERM);
    assert_eq!(names(&tmp), [".keep"]);
    assert_eq!(names(cli.folder()), ["tmp"], "no data folder either");
}

#[actix_web::test]
async fn a_token_signed_beside_the_server_counts() {
    let server = TestServer::start().await;
    let ann = server.user("ann").await;
    let data_dir = server.data_dir();
    let token = |subject: &str, more: &[&str]| {
        let output =
            Cli::new().run(&[&["token", subject, "--data-dir", path(&data_dir)], more].concat());
        let text = stdout(&output);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        assert_eq!(text.lines().count(), 1, "the token alone");
        text.trim().to_owned()
    };
    for subject in [&ann.id, &ann.email, &ann.email.to_uppercase()] {
        let me = ann
            .with_token(&token(subject, &[]))
            .get("/me")
            .await
            .ok(200);
        assert_eq!(me["id"], ann.id.as_str());
    }
    let short = token(&ann.email, &["--expires-in", "90s"]);
    let client = ann.with_token(&short).connect().await;
    let expires_at = client.ready["expiresAt"]
        .as_str()
        .expect("a time")
        .to_owned();
    let expires_at = chrono::DateTime::parse_from_rfc3339(&expires_at).expect("RFC 3339");
    let left_s = (expires_at.to_utc() - chrono::Utc::now()).num_seconds();
    assert!((80..=90).contains(&left_s), "{left_s}");
    client.close().await;
    let unknown = Cli::new().run(&["token", "nobody@example.com", "--data-dir", path(&data_dir)]);
    assert_refused(&unknown, 1, &["no user", "nobody@example.com", "register"]);
    let env = Cli::new().env("ROOMCAST_DATA_DIR", data_dir.display());
    assert_eq!(env.run(&["token", &ann.email]).status.code(), Some(0));
}

#[actix_web::test]
async fn a_token_lives_no_longer_than_the_server_allows() {
    let options = ServerOptions::new().env("JWT_EXPIRES_IN", "90s");
    let server = options.start().await;
    let ann = server.user("ann").await;
    let data_dir = server.data_dir();
    // Its own JWT_EXPIRES_IN is a day.
    let token = |more: &[&str]| {
        let args = ["token", &ann.email, "--data-dir", path(&data_dir)];
        Cli::new().run(&[&args, more].concat())
    };
    for more in [&[][..], &["--expires-in", "90s"]] {
        let output = token(more);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        let signed = stdout(&output);
        ann.with_token(signed.trim()).get("/me").await.ok(200);
    }
    let expected = ["--expires-in", "90 s", "JWT_EXPIRES_IN"];
    assert_refused(&token(&["--expires-in", "91s"]), 2, &expected);
    let room = ann.room("followed").await;
    ann.say(&room, "hello").await;
    let url = server.url("");
    let args = [&room, "--url", &url, "--data-dir", path(&data_dir)];
    let mut tail = Tail::start(&args);
    assert!(tail.next().await.contains("hello"));
    tail.interrupt();
}

#[actix_web::test]
async fn a_token_nobody_reads_is_no_panic() {
    let server = TestServer::start().await;
    let ann = server.user("ann").await;
    let data_dir = server.data_dir();
    let args = ["token", &ann.email, "--data-dir", path(&data_dir)];
    let output = run_unread(&Cli::new(), &args);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(output.stderr.is_empty(), "{}", stderr(&output));
}

#[actix_web::test]
async fn a_healthcheck_says_0_or_1() {
    let server = TestServer::start().await;
    let url = server.url("");
    let ready = Cli::new().run(&["healthcheck", "--url", &url]);
    assert_eq!(ready.status.code(), Some(0), "{}", stderr(&ready));
    assert_eq!(stdout(&ready).lines().count(), 1);
    let live = Cli::new().run(&["healthcheck", "--live", "--url", &url]);
    assert_eq!(live.status.code(), Some(0), "{}", stderr(&live));
    let port = url.rsplit(':').next().expect("a port").to_owned();
    let by_port = Cli::new().env("PORT", &port).run(&["healthcheck"]);
    assert_eq!(by_port.status.code(), Some(0), "{}", stderr(&by_port));
    // Something that answers, and is no healthy server of ours.
    let other = Cli::new().run(&["healthcheck", "--url", server.metrics_url()]);
    assert_refused(&other, 1, &["404", "no roomcast", "--url"]);
}

#[actix_web::test]
async fn a_healthcheck_of_a_server_with_tls_asks_where_there_is_none() {
    let server = TestServer::start().await;
    let url = server.metrics_url().trim_end_matches("/metrics");
    let host = url.trim_start_matches("http://");
    // What the server has in its environment, an image's health check has, too.
    let with_tls = || Cli::new().env("TLS_CERT", "cert.pem").env("PORT", 1);
    let probe = with_tls().env("METRICS_ADDR", host).run(&["healthcheck"]);
    assert_eq!(probe.status.code(), Some(0), "{}", stderr(&probe));
    assert!(stdout(&probe).contains(host), "{}", stdout(&probe));
    let nowhere = with_tls().env("METRICS_ADDR", "off").run(&["healthcheck"]);
    assert_eq!(nowhere.status.code(), Some(2), "{}", stderr(&nowhere));
    assert!(
        stderr(&nowhere).contains("METRICS_ADDR"),
        "{}",
        stderr(&nowhere)
    );
    let named = with_tls().run(&["healthcheck", "--url", url]);
    assert_eq!(named.status.code(), Some(0), "{}", stderr(&named));
}
