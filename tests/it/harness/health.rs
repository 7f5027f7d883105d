//! What probes read of a server.

use serde_json::{Value, json};

use super::{TestServer, await_until};

impl TestServer {
    /// Waits until `/health` names these parts as down, and no others; returns the report. A part
    /// that does not answer within its deadline, as happens on a busy machine, is down for once.
    pub async fn await_health(&self, down: &[&str]) -> Value {
        let expected: u16 = if down.is_empty() { 200 } else { 503 };
        let error = down
            .iter()
            .map(|part| ((*part).to_owned(), json!({ "status": "down" })));
        let error = Value::Object(error.collect());
        await_until(&format!("a health with the errors {error}"), || async {
            let answer = reqwest::get(self.url("/health")).await;
            let answer = answer.expect("the server answers");
            let status = answer.status();
            let report: Value = answer.json().await.expect("JSON");
            if report["error"] != error {
                return None;
            }
            assert_eq!(status, expected, "{report}");
            Some(report)
        })
        .await
    }
}
