//! `roomcast dlq`: messages that could not be stored.
//!
//! Dead letters stay where they are, also after a replay: one that can be stored now is stored once,
//! however often it is replayed, and one that cannot becomes another dead letter.

use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::json;

use super::{
    escape::escaped,
    failure::{Failure, print_line, remark},
    flags::{Flags, ForDlq},
    logging, reaching,
};
use crate::{
    config::{KafkaConfig, LogConfig, Settings, keys, parse},
    message_log::{
        dead_letter::{DeadLetter, MAX_VALUE_BYTES},
        kafka::KafkaLog,
    },
};

/// Characters of a value that a list shows.
const SHOWN_CHARS: usize = 200;

#[derive(Debug, Args)]
pub(super) struct DlqArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show the dead letters and why they are dead
    List(ListArgs),
    /// Put the dead letters back into the log
    Replay(Flags<ForDlq>),
}

#[derive(Debug, Args)]
struct ListArgs {
    /// Print each as JSON, with its whole value
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    flags: Flags<ForDlq>,
}

pub(super) fn run(args: DlqArgs) -> Result<(), Failure> {
    match args.action {
        Action::List(ListArgs { json, flags }) => {
            let (config, patience) = load(flags.settings())?;
            actix::System::new().block_on(list(config, patience, json))
        }
        Action::Replay(flags) => {
            let (config, patience) = load(flags.settings())?;
            actix::System::new().block_on(replay(config, patience))
        }
    }
}

/// Reads where Kafka is, and how long it is waited for.
fn load(mut settings: Settings) -> Result<(KafkaConfig, Duration), Failure> {
    let kafka = KafkaConfig::read(&mut settings);
    let patience = settings.read(&keys::START_TIMEOUT_S, parse::within(1..=3_600));
    let logs = LogConfig::read(&mut settings);
    let config = (|| Some((kafka?, patience?, logs?)))();
    let (kafka, patience, logs) = settings.finish(config)?;
    logging::start(&logs);
    Ok((kafka, Duration::from_secs(patience.into())))
}

async fn list(config: KafkaConfig, patience: Duration, is_json: bool) -> Result<(), Failure> {
    let log = open(&config, patience).await?;
    let mut letters = log.dead_letters();
    while let Some(letter) = letters.recv().await {
        let letter = letter.map_err(anyhow::Error::new)?;
        print_line(&match is_json {
            true => as_json(&letter),
            false => as_line(&letter),
        })?;
    }
    log.close().await;
    Ok(())
}

async fn replay(config: KafkaConfig, patience: Duration) -> Result<(), Failure> {
    let log = open(&config, patience).await?;
    let mut letters = log.dead_letters();
    let (mut replayed, mut cut) = (0, 0);
    while let Some(letter) = letters.recv().await {
        let letter = letter.map_err(anyhow::Error::new)?;
        let Some(record) = letter.again() else {
            cut += 1;
            remark(&format!(
                "dead letter {} cannot be replayed: only the first {MAX_VALUE_BYTES} bytes of it were kept",
                place(&letter)
            ));
            continue;
        };
        if let Err(error) = log.append(record).await {
            let place = place(&letter);
            return Err(anyhow::anyhow!(
                "{replayed} dead letters were replayed, then {place} was not: {error}"
            )
            .into());
        }
        replayed += 1;
    }
    log.close().await;
    print_line(&format!("{replayed} replayed, {cut} cannot be"))
}

async fn open(config: &KafkaConfig, patience: Duration) -> Result<KafkaLog, Failure> {
    reaching::service(patience, async || KafkaLog::open(config).await).await
}

/// Partition and offset, as one word.
fn place(letter: &DeadLetter) -> String {
    format!("{}/{}", letter.partition, letter.offset)
}

/// Place, reason, source, and the beginning of the value: one line, whatever is in it.
fn as_line(letter: &DeadLetter) -> String {
    let source = letter.source.as_ref().map_or_else(
        || "?".to_owned(),
        |source| format!("{}/{}/{}", source.topic, source.partition, source.offset),
    );
    let value = String::from_utf8_lossy(&letter.value);
    let value: String = value.chars().take(SHOWN_CHARS).collect();
    format!(
        "{}  {}  {}  {}",
        place(letter),
        escaped(&letter.reason),
        escaped(&source),
        escaped(&value)
    )
}

fn as_json(letter: &DeadLetter) -> String {
    let source = letter.source.as_ref().map(|source| {
        json!({"topic": source.topic, "partition": source.partition, "offset": source.offset})
    });
    json!({
        "partition": letter.partition,
        "offset": letter.offset,
        "reason": letter.reason,
        "source": source,
        "value": String::from_utf8_lossy(&letter.value),
        "isCut": letter.is_cut,
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message_log::dead_letter::Source;

    #[test]
    fn a_dead_letter_is_one_line_whatever_is_in_it() {
        let letter = DeadLetter {
            partition: 0,
            offset: 7,
            reason: "not\nJSON".into(),
            source: Some(Source {
                topic: "chat.messages.v1".into(),
                partition: 2,
                offset: 40,
            }),
            value: format!("{}\u{1b}[2J{}", "é".repeat(190), "x".repeat(50)).into(),
            is_cut: false,
        };
        let line = as_line(&letter);
        assert!(
            line.starts_with(r"0/7  not\nJSON  chat.messages.v1/2/40  éé"),
            "{line}"
        );
        assert!(line.ends_with(r"é\u{1b}[2Jxxxxxx"), "{line}");
        let json: serde_json::Value = serde_json::from_str(&as_json(&letter)).expect("JSON");
        assert_eq!(json["source"]["offset"], 40);
        assert_eq!(
            json["value"].as_str().map(|it| it.chars().count()),
            Some(244)
        );
    }
}
