//! A conversation with the program of a pod, through the API server and the pod's kubelet: policies under test concern
//! what pods send one another, and not this.

use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{AttachParams, AttachedProcess};
use serde_json::Value;
use sluice_prober::protocol::{Answer, Asker, Numbered, PROGRAM, Request, Said};
use tokio::io::{
    AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, ReadHalf, SimplexStream, WriteHalf,
};
use tokio::sync::Mutex;

use super::api::{Api, said};

/// By then a conversation has begun.
const BEGIN: Duration = Duration::from_secs(30);
/// By then a row has been asked: a denied cell costs its asker up to 2.5 s, and all of a row are asked at once.
const ANSWER: Duration = Duration::from_secs(30);
/// How much is under way at once in either direction.
const BUFFER: usize = 1 << 16;

/// Where a pod is asked.
pub(super) struct Session {
    api: Api,
    namespace: String,
    pod: String,
    /// Of the pod's containers, the one that serves.
    container: String,
    state: Mutex<State>,
}

/// Who asks, and the conversation that is under way.
#[derive(Default)]
struct State {
    asker: Asker,
    open: Option<Open>,
}

struct Open {
    requests: WriteHalf<SimplexStream>,
    answers: BufReader<ReadHalf<SimplexStream>>,
    // Dropping it ends the conversation.
    process: AttachedProcess,
}

impl Session {
    /// With the first container of a pod.
    pub(super) fn new(api: &Api, pod: &Value) -> Self {
        let text = |field: &Value| field.as_str().unwrap_or_default().to_owned();
        Self {
            api: api.clone(),
            namespace: text(&pod["metadata"]["namespace"]),
            pod: text(&pod["metadata"]["name"]),
            container: text(&pod["spec"]["containers"][0]["name"]),
            state: Mutex::default(),
        }
    }

    /// Asks, and where the conversation there was has ended, for the same answer in a new one. That a pod's program was
    /// started again is an error: it is not what it was made to be.
    pub(super) async fn ask(&self, request: &Request) -> Result<Answer> {
        let State { asker, open } = &mut *self.state.lock().await;
        let numbered = asker.say(request.clone());
        let said = self.say(open, &numbered).await;
        let heard = asker.hear(said.with_context(|| format!("exec in {self}"))?);
        heard.with_context(|| self.to_string())
    }

    /// What the pod says to a request, in the conversation that is open or in a new one, which then is.
    async fn say(&self, open: &mut Option<Open>, request: &Numbered) -> Result<Said> {
        // Taken out: one that failed, or was given up halfway, is not gone on with.
        if let Some(mut conversation) = open.take()
            && let Ok(said) = conversation.ask(request).await
        {
            *open = Some(conversation);
            return Ok(said);
        }
        let mut conversation = self.begin().await?;
        let said = conversation.ask(request).await?;
        *open = Some(conversation);
        Ok(said)
    }

    async fn begin(&self) -> Result<Open> {
        let pods = kube::Api::<Pod>::namespaced(self.api.client(), &self.namespace);
        let parameters = AttachParams::default()
            .container(&self.container)
            .stdin(true)
            .stderr(false)
            .max_stdin_buf_size(BUFFER)
            .max_stdout_buf_size(BUFFER);
        let begun = pods.exec(&self.pod, [PROGRAM, "ask"], &parameters);
        let begun = tokio::time::timeout(BEGIN, begun).await;
        let mut process = begun
            .with_context(|| format!("nothing in {BEGIN:?}"))?
            .map_err(|error| anyhow!(said(&error)))?;
        let (requests, answers) = process.stdin().zip(process.stdout()).context("streams")?;
        Ok(Open {
            requests,
            answers: BufReader::new(answers),
            process,
        })
    }
}

impl std::fmt::Display for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "pod {}/{}", self.namespace, self.pod)
    }
}

impl Open {
    async fn ask(&mut self, request: &Numbered) -> Result<Said> {
        let mut line = serde_json::to_vec(request)?;
        line.push(b'\n');
        let asked = async {
            self.requests.write_all(&line).await?;
            self.requests.flush().await?;
            let mut answer = String::new();
            self.answers.read_line(&mut answer).await?;
            anyhow::Ok(answer)
        };
        let answer = tokio::time::timeout(ANSWER, asked).await;
        let answer = answer.with_context(|| format!("no answer in {ANSWER:?}"))??;
        if answer.is_empty() {
            bail!("{}", self.why_it_ended().await);
        }
        Ok(serde_json::from_str(&answer)?)
    }

    async fn why_it_ended(&mut self) -> String {
        let status = match self.process.take_status() {
            Some(status) => tokio::time::timeout(BEGIN, status).await.ok().flatten(),
            None => None,
        };
        let message = status.and_then(|it| it.message);
        message.unwrap_or_else(|| "the conversation has ended".to_owned())
    }
}
